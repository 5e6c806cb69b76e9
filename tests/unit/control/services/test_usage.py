"""What agents tell of use, as the services have it."""

import pytest

from actors.testing import FakeWorld
from control.api.usage import bounded_instant, secret_view
from control.core import Core
from control.errors import NotFoundError, ValidationError
from control.model.reported_values import MAX_COUNT, MAX_SECONDS
from control.model.usage import UsageKind, UsagePeriod, Which
from control.services.agent_metrics import MAX_CLOCK_LEAD
from control.services.usage import (
    MAX_DAY_PARTS,
    MAX_PARTS,
    PARTS_KEPT,
    count_above,
    count_at_most,
    ingest_usage,
    inventory_figures,
)
from control.store.usage import DAY, HOUR
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link.limits import MAX_INT
from tests.unit.control.fleet import enrolled
from tests.unit.control.used import named, report

LAST = MAX_INT // 1000
"""Unix seconds; no clock says so."""


async def tell(core: Core, world: FakeWorld, told: m.Usage) -> bool:
    """What v1 reports."""
    now = world.now() // SECOND
    return await core.store.write(lambda tx: ingest_usage(tx, "acme", "v1", told, now=now))


async def test_pages_carry_on(core: Core, world: FakeWorld) -> None:
    """`next` leads to the next page, and is empty at the end; another text is refused."""
    await enrolled(core, world, "v1")
    now = world.now() // SECOND
    await tell(core, world, report(now, now + 1, *(named(f"s{n}", 9 - n) for n in range(5))))
    span, after, seen = UsagePeriod("acme", "v1", 0, 2**40), "", []
    while True:
        rows, after = await core.usage.usage.most_used(span, UsageKind.SECRET, after, 2)
        seen += [row.count for row in rows]
        if not after:
            break
    assert seen == [9, 8, 7, 6, 5]
    wanted = core.usage.usage.secret_query(Which.ROTATION, days=0, factor=10)
    rows_, after = await core.usage.usage.list_secrets(span, wanted, "", 3)
    more, end = await core.usage.usage.list_secrets(span, wanted, after, 3)
    assert (len({row.secret for row in (*rows_, *more)}), end) == (5, "")
    for bad in ("x", "1", "1~v1", f"{10**20}~v1~x"):
        with pytest.raises(ValidationError):
            await core.usage.usage.most_used(span, None, bad, 2)


async def test_an_unknown_agent_is_not_found(core: Core) -> None:
    """Whatever is asked of it."""
    span = UsagePeriod("acme", "v9", 0, 1)
    wanted = core.usage.usage.secret_query(Which.ALL, days=1, factor=2)
    for ask in (
        core.usage.usage.list_inventories("acme", "v9"),
        core.usage.usage.list_operations(span),
        core.usage.usage.usage_curve(span, HOUR),
        core.usage.usage.most_used(span, None, "", 1),
        core.usage.usage.list_secrets(span, wanted, "", 1),
    ):
        with pytest.raises(NotFoundError):
            await ask


async def test_reports_of_another_time_are_not_taken(core: Core, world: FakeWorld) -> None:
    """Older than what is remembered of reports, from the future, or of no one clock hour."""
    await enrolled(core, world, "v1")
    now = world.now() // SECOND // HOUR * HOUR
    world.advance(now + 1800 - world.now() // SECOND)
    old = now - PARTS_KEPT + HOUR
    assert not await tell(core, world, report(now - PARTS_KEPT, now - PARTS_KEPT + 1))
    assert not await tell(core, world, report(now + HOUR, now + HOUR + 1))
    assert not await tell(core, world, report(now, now + 1800 + MAX_CLOCK_LEAD + 1))
    assert not await tell(core, world, report(now, LAST))
    assert not await tell(core, world, report(old, old + HOUR + 1))
    assert not await tell(core, world, report(now + 9, now + 8))
    assert await tell(core, world, report(old, old + HOUR))
    assert await tell(core, world, report(now, now + 1800 + MAX_CLOCK_LEAD))


async def test_no_time_is_believed_that_cannot_have_been(core: Core, world: FakeWorld) -> None:
    """What an agent says of a secret was until now, and can be shown."""
    await enrolled(core, world, "v1")
    now = world.now() // SECOND
    said = named("a", 1, last=LAST, rotated=LAST, expires=LAST)
    seen = m.Secrets(at=MAX_INT, **dict.fromkeys(("total", "never_read", "expired"), MAX_INT),
                     **dict.fromkeys(("idle", "age", "expires"), (MAX_INT,) * 7))  # fmt: skip
    assert await tell(core, world, report(now, now + 1, said, secrets=seen))
    wanted = core.usage.usage.secret_query(Which.ALL, days=1, factor=2)
    [row], _ = await core.usage.usage.list_secrets(UsagePeriod("acme", "", 0, 2**40), wanted, "", 9)
    assert (row.last_read, row.rotated_at, row.seen_at) == (now, now, now)
    assert row.expires_at == MAX_SECONDS
    assert secret_view(row).expires_at == bounded_instant(LAST) == "2262-04-11T23:47:16Z"
    _, [look] = await core.usage.usage.list_inventories("acme", "v1")
    assert (look.at, look.total, look.idle) == (now, MAX_COUNT, (MAX_COUNT,) * 7)


async def test_an_agent_begins_few_parts_an_hour(core: Core, world: FakeWorld) -> None:
    """One that is begun goes on; the next hour has room again, until the day is full."""
    await enrolled(core, world, "v1")
    hour = world.now() // SECOND // DAY * DAY - 2 * DAY
    for begun in range(MAX_PARTS):
        assert await tell(core, world, report(hour + begun, hour + 60))
    assert not await tell(core, world, report(hour + 59, hour + 60))
    assert await tell(core, world, report(hour, hour + 61))
    taken = MAX_PARTS
    for later in range(1, 24):
        for begun in range(MAX_PARTS):
            at = hour + later * HOUR + begun
            taken += await tell(core, world, report(at, at + 1))
    assert taken == MAX_DAY_PARTS
    assert await tell(core, world, report(hour + DAY, hour + DAY + 1))


async def test_looks_make_a_figure_each_ten_seconds_at_most(core: Core, world: FakeWorld) -> None:
    """However many reports an agent makes of one moment."""
    await enrolled(core, world, "v1")
    now = world.now() // SECOND // HOUR * HOUR
    world.advance(HOUR)
    none = (0,) * 7
    for later, slots in ((0, 1), (1, 1), (9, 1), (10, 2), (5, 2), (11, 2)):
        seen = m.Secrets(at=(now + later) * 1000, total=1, never_read=1, expired=0, idle=none,
                         age=none, expires=none)  # fmt: skip
        await tell(core, world, report(now, now + 60 + slots + later, secrets=seen))
        found = await core.agents.metrics.query_samples(
            "acme", "v1", "secrets_never_read", resolution=0, since=0, until=2**40
        )
        assert len(found) == slots


async def test_old_counts_go(core: Core, world: FakeWorld) -> None:
    """Hours become days after a week, days go after their time; sweeping again changes nothing."""
    await enrolled(core, world, "v1")
    now = world.now() // SECOND
    await tell(core, world, report(now, now + 1, named("a", 5)))
    span = UsagePeriod("acme", "", 0, 2**40)
    for days, hours, sums in ((1, 1, 1), (8, 0, 1), (8, 0, 1), (401, 0, 0)):
        world.advance(days * DAY)
        await core.usage.usage.roll_up_and_delete()
        assert len(await core.usage.usage.usage_curve(span, HOUR)) == hours
        assert len(await core.usage.usage.usage_curve(span, DAY)) == sums


async def test_a_look_is_kept_as_series_too(core: Core, world: FakeWorld) -> None:
    """So that rotation debt can be seen to grow."""
    await enrolled(core, world, "v1")
    now = world.now() // SECOND
    seen = m.Secrets(
        at=now * 1000, total=9, never_read=2, expired=1, idle=(1, 0, 0, 1, 2, 3, 4),
        age=(0, 0, 0, 0, 0, 0, 9), expires=(1, 1, 1, 1, 0, 0, 0),
    )  # fmt: skip
    await tell(core, world, report(now, now + 1, secrets=seen))
    assert await core.agents.metrics.list_series("acme", "v1") == sorted(inventory_figures(seen))
    assert inventory_figures(seen)["secrets_idle_90d"] == count_above(seen.idle, 90) == 9
    assert inventory_figures(seen)["secrets_expiring_30d"] == count_at_most(seen.expires, 30) == 3
