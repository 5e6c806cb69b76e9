"""What every database promises of what agents tell of use."""

from msgspec.structs import replace

from control.model.agents import Life, new_agent
from control.model.usage import (
    PageCursor,
    Ranked,
    SecretInventory,
    SecretQuery,
    UsageKind,
    UsagePeriod,
    Which,
    newest_by_vault,
)
from control.services.usage import ROLLED_AT_ONCE, ingest_usage
from control.store import agents, usage
from control.store.store import Store
from control.store.usage import DAY, HOUR
from protocols.link import messages as m
from protocols.link.vocabulary import OperationName
from tests.unit.control.used import hexed, named, report

NOW = 1_800_000_000 // DAY * DAY + 12 * HOUR
ALL = UsagePeriod("acme", "", 0, 2**40)


async def tell(store: Store, told: m.Usage, vault: str = "v1", org: str = "acme") -> bool:
    """An agent's report."""
    return await store.write(lambda tx: ingest_usage(tx, org, vault, told, now=NOW))


async def tops(
    store: Store, kind: UsageKind | None, span: UsagePeriod = ALL
) -> list[tuple[str, str, int]]:
    """The most used."""
    found = await store.read(lambda tx: usage.most_used(tx, span, kind, None, 100))
    return [(row.vault, row.subject, row.count) for row in found]


async def which(
    store: Store, which_: Which, bound: int, after: PageCursor | None = None
) -> list[str]:
    """Secrets in their order."""
    found = await store.read(
        lambda tx: usage.list_secrets(tx, ALL, SecretQuery(which_, bound), after, 100)
    )
    return [bytes.fromhex(row.secret).decode().strip("-") for row in found]


async def test_a_report_counts_once(store: Store) -> None:
    """Told twice it counts once; a later one of the same beginning replaces it; never backwards."""
    assert await tell(store, report(NOW - 100, NOW - 50, named("a", 5)))
    assert not await tell(store, report(NOW - 100, NOW - 50, named("a", 5)))
    assert await tell(store, report(NOW - 100, NOW, named("a", 7), named("b", 2)))
    assert not await tell(store, report(NOW - 100, NOW - 20, named("a", 6)))
    assert await tops(store, UsageKind.SECRET) == [("v1", hexed("a"), 7), ("v1", hexed("b"), 2)]
    assert await tops(store, UsageKind.IDENTITY) == [("v1", (b"u" * 16).hex(), 10)]
    assert await tops(store, None) == [("v1", "v1", 10)]


async def test_a_report_without_a_look_at_the_secrets_takes_none_away(store: Store) -> None:
    """An agent that is slow, or sealed by then, tells of operations alone."""
    await tell(store, report(NOW - 100, NOW - 50, named("a", 5)))
    assert await tell(store, report(NOW - 100, NOW, identities=(), operations=()))
    assert await tops(store, UsageKind.SECRET) == [("v1", hexed("a"), 5)]
    assert await tops(store, UsageKind.IDENTITY) == [("v1", (b"u" * 16).hex(), 10)]
    assert await tops(store, None) == []


async def test_two_parts_of_an_hour_add_up(store: Store) -> None:
    """An agent that was opened again begins a new part; the other organization's are not ours."""
    await tell(store, report(NOW, NOW + 60))
    await tell(store, report(NOW + 120, NOW + 180))
    await tell(store, report(NOW + 120, NOW + 180), org="other")
    found = await store.read(lambda tx: usage.list_operations(tx, ALL))
    assert found == [Ranked("", "secret.read", 20, 2)]
    [point] = await store.read(lambda tx: usage.usage_curve(tx, ALL, HOUR, "", 9))
    assert (point.at, point.count, point.failed) == (NOW, 20, 2)
    assert await store.read(lambda tx: usage.usage_curve(tx, ALL, HOUR, "secret.write", 9)) == []


async def test_pages_go_on_where_they_ended(store: Store) -> None:
    """The most first, ties by name; the next page begins behind the last row."""
    await tell(store, report(NOW, NOW + 1, named("a", 5), named("b", 9), named("c", 5)))
    await tell(store, report(NOW, NOW + 1, named("a", 5)), vault="v0")
    seen: list[tuple[str, str]] = []
    after = None
    for _ in range(4):
        [row] = await store.read(
            lambda tx, a=after: usage.most_used(tx, ALL, UsageKind.SECRET, a, 1)
        )  # type: ignore[misc]
        seen.append((row.vault, bytes.fromhex(row.subject).decode().strip("-")))
        after = PageCursor(row.count, row.vault, row.subject)
    assert seen == [("v1", "b"), ("v0", "a"), ("v1", "a"), ("v1", "c")]
    assert await store.read(lambda tx: usage.most_used(tx, ALL, UsageKind.SECRET, after, 1)) == []


async def test_secrets_that_need_a_look(store: Store) -> None:
    """Unused longest first, expiring soonest first, oldest versions first, and the over-used."""
    old, ago = NOW - 200 * DAY, NOW - 100 * DAY
    await tell(
        store,
        report(
            NOW,
            NOW + 1,
            named("used", 9, last=NOW, rotated=NOW, expires=NOW + 40 * DAY),
            named("idle", 0, last=ago, rotated=old, expires=NOW + 5 * DAY),
            named("never", 0, last=0, rotated=old),
            named("gone", 4, last=NOW, rotated=ago, expires=NOW - DAY),
            named("hot", 100, last=NOW, rotated=NOW),
        ),
    )
    quarter = NOW - 90 * DAY
    assert await which(store, Which.UNUSED, quarter) == ["never", "idle"]
    assert await which(store, Which.EXPIRING, NOW + 30 * DAY) == ["gone", "idle"]
    assert await which(store, Which.ROTATION, quarter) == ["idle", "never", "gone"]
    assert await which(store, Which.OVERUSED, 10) == ["hot"]
    assert await which(store, Which.OVERUSED, 12) == []
    assert await which(store, Which.ALL, 0) == ["hot", "used", "gone", "idle", "never"]
    behind = PageCursor(old, "v1", hexed("idle"))
    assert await which(store, Which.ROTATION, quarter, behind) == ["never", "gone"]


async def test_hours_become_days(store: Store) -> None:
    """The sum stays; what was added up is not told again; days go by their age."""
    day = NOW - NOW % DAY - DAY
    for hour in range(3):
        at = day + hour * HOUR
        await tell(store, report(at, at + HOUR, named("a", 2)))
    early = NOW - 30 * DAY
    await tell(store, report(early, early + 1, named("a", 1)))
    assert await store.write(lambda tx: usage.roll_up_days(tx, day + 2 * HOUR, ROLLED_AT_ONCE)) == 3
    assert await tops(store, UsageKind.SECRET) == [("v1", hexed("a"), 7)]
    hours = await store.read(lambda tx: usage.usage_curve(tx, ALL, HOUR, "", 9))
    assert [(point.at, point.count) for point in hours] == [(day + 2 * HOUR, 10)]
    days = await store.read(lambda tx: usage.usage_curve(tx, ALL, DAY, "", 9))
    assert [(p.at, p.count) for p in days] == [(early - early % DAY, 10), (day, 30)]
    assert not await tell(store, report(day, day + HOUR + 5, named("a", 50)))
    assert await store.write(lambda tx: usage.roll_up_days(tx, day + 2 * HOUR, ROLLED_AT_ONCE)) == 0
    await store.write(
        lambda tx: usage.delete_older_usage(tx, parts_before=early + 1, days_before=day)
    )
    assert await tops(store, UsageKind.SECRET) == [("v1", hexed("a"), 6)]


async def test_an_older_look_does_not_replace_a_newer_one(store: Store) -> None:
    """Reports of weeks offline come in their order, but a part of an hour can come after."""
    none = (0,) * 7
    for at, total in ((NOW, 5), (NOW - 10, 4)):
        seen = m.Secrets(
            at=at * 1000, total=total, never_read=1, expired=2, idle=none, age=none, expires=none
        )
        await tell(store, report(at, at + 1, secrets=seen))
    [look] = await store.read(lambda tx: usage.list_inventories(tx, "acme", ""))
    assert (look.total, look.never_read, look.expired, look.opaque) == (5, 1, 2, True)


async def test_what_the_program_does_itself_is_no_use(store: Store) -> None:
    """Counting usage, health, links and the pages' own questions: apart, and still there."""
    told = replace(
        report(NOW - 100, NOW - 50),
        operations=(
            m.OperationUse(name=OperationName.SECRET_READ, count=12, failed=0),
            m.OperationUse(name=OperationName.USAGE_LOOK, count=80, failed=2),
            m.OperationUse(name=OperationName.OTHER, count=8, failed=0),
        ),
    )
    await tell(store, told)
    used = replace(ALL, system=False)
    assert await tops(store, None, used) == [("v1", "v1", 12)]
    assert await tops(store, UsageKind.OPERATION, used) == [("", "secret.read", 12)]
    assert await tops(store, None) == [("v1", "v1", 100)]
    [point] = await store.read(lambda tx: usage.usage_curve(tx, used, DAY, "", 10))
    assert (point.count, point.failed) == (12, 0)


async def test_a_secret_that_several_nodes_name_is_listed_once(store: Store) -> None:
    """As the node says that named it last, with the reads of all; the median is the vault's.

    An agent by itself, and one of another vault that names the same id, are as they were.
    """
    for name, vault_id in (("n1", "x"), ("n2", "x"), ("n3", "y")):
        row = replace(new_agent("acme", name, Life.ACTIVE, now=1), vault_id=vault_id)
        await store.write(lambda tx, row=row: agents.add_agent(tx, row))
    await tell(store, report(NOW - 90, NOW - 80, named("s", 900, last=5)), "n1")
    await tell(store, report(NOW - 90, NOW - 70, named("s", 70, last=6), named("t", 4)), "n2")
    await tell(store, report(NOW - 90, NOW - 60, named("s", 1)), "n3")

    async def found(which_: Which, bound: int, vault: str = "") -> list[tuple[str, str, int, int]]:
        span, wanted = replace(ALL, vault=vault), SecretQuery(which_, bound)
        rows = await store.read(lambda tx: usage.list_secrets(tx, span, wanted, None, 100))
        return [(r.vault, r.secret, r.reads, r.last_read) for r in rows]

    assert await found(Which.ALL, 0) == [
        ("n2", hexed("s"), 970, 6), ("n2", hexed("t"), 4, 1), ("n3", hexed("s"), 1, 1),
    ]  # fmt: skip
    assert await found(Which.OVERUSED, 10) == [("n2", hexed("s"), 970, 6)]
    assert await found(Which.ALL, 0, "n1") == [("n1", hexed("s"), 900, 5)]
    assert await found(Which.UNUSED, 6) == [("n2", hexed("t"), 4, 1), ("n3", hexed("s"), 1, 1)]


def test_looks_of_one_vault_count_once() -> None:
    """The newest: each node has looked at all secrets."""
    none = (0,) * 7
    looks = [
        SecretInventory("acme", name, at, total, 0, 0, none, none, none, opaque=False)
        for name, at, total in (("n1", 5, 10), ("n2", 6, 9), ("n3", 1, 2), ("x", 1, 1))
    ]
    found = newest_by_vault(looks, {"n1": "x", "n2": "x", "n3": "y"})
    assert [(look.vault, look.total) for look in found] == [("n2", 9), ("n3", 2), ("x", 1)]
