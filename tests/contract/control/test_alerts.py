"""Alerts in every store: a row for each condition, its notices, and how they are listed."""

from functools import partial
from typing import Any

from msgspec.structs import replace

from control.model.agents import Life
from control.model.conditions import OFFLINE
from control.model.notices import Kind, LastNotice
from control.model.records import Alert, AlertState, Severity
from control.store import alerts, notices
from control.store.rows import Tx
from control.store.store import Store


async def test_alerts_are_narrowed_and_none_is_skipped(store: Store) -> None:
    """By severity, state and any text as it is; page by page, also where many are of one moment."""
    rows = [
        Alert(f"a{n}", "acme", "v", f"code{n}", Severity.INFO, f"message {n}", 5, "", 0)
        for n in range(5)
    ]
    rows[1] = replace(rows[1], severity=Severity.CRITICAL, message="100%_Sure", note="Über")
    rows[2] = replace(rows[2], acknowledged_at=7, vault="west")
    rows[4] = replace(rows[4], at=4)
    await store.write(lambda tx: alerts.fire_alerts(tx, *rows))
    common: Any = {"vault": "", "before": 0}

    async def ids(limit: int = 9, **narrow: Any) -> list[str]:
        narrowed = alerts.AlertFilter(**narrow)
        found = await store.read(
            lambda tx: alerts.list_alerts(tx, "acme", **common, limit=limit, narrow=narrowed)
        )
        return [alert.id for alert in found]

    assert await ids(severity="critical") == ["a1"]
    assert await ids(state="acknowledged") == ["a2"]
    for text, found in (("%_s", ["a1"]), ("WEST", ["a2"]), ("ber", ["a1"]), ("e_", [])):
        assert await ids(text=text) == found
    assert await ids(2) == ["a0", "a1"]
    assert await ids(2, behind=rows[1]) == ["a2", "a3"]
    assert await ids(2, behind=rows[3]) == ["a4"]


LATER = alerts.FLAPPING_WINDOW + 1


def offline(identifier: str, at: int, vault: str = "v", code: str = OFFLINE) -> Alert:
    """The condition, reported at that moment."""
    return Alert(identifier, "acme", vault, code, Severity.CRITICAL, "gone", at, "", 0, last_at=at)


async def fire(store: Store, *rows: Alert, repeat: bool = True) -> list[Alert]:
    """Report them."""
    return await store.write(lambda tx: alerts.fire_alerts(tx, *rows, repeat=repeat))


async def resolve(store: Store, now: int, code: str = OFFLINE, vault: str = "v") -> list[Alert]:
    """It is over."""
    return await store.write(lambda tx: alerts.resolve_alerts(tx, "acme", [code], [vault], now=now))


async def listed(store: Store) -> list[Alert]:
    """All there are."""
    return await store.read(lambda tx: alerts.list_alerts(tx, "acme", limit=99))


async def told(store: Store) -> list[Kind]:
    """The kinds of what is to be told since the last time."""

    def take(tx: Tx) -> list[Kind]:
        found = notices.oldest_notices(tx, 99)
        notices.delete_notices(tx, found)
        return [notice.kind for notice in found]

    return await store.write(take)


async def test_a_condition_is_one_row_from_start_to_end(store: Store) -> None:
    """However often it is reported; of other agents and subjects it is another one."""
    await fire(store, offline("1", 10), offline("2", 10, "w"))
    await fire(store, offline("3", 20))
    await fire(store, offline("4", 30), repeat=False)
    await fire(store, replace(offline("5", 40), subject="0f"))
    assert [(row.id, row.count) for row in await listed(store)] == [("5", 1), ("1", 2), ("2", 1)]
    [over] = await resolve(store, 50, vault="w")
    assert (over.id, over.at, over.ended_at, over.state) == ("2", 10, 50, AlertState.RESOLVED)
    assert await resolve(store, 60, vault="w") == []
    assert sorted(await told(store)) == ["raised", "raised", "raised", "resolved"]
    await fire(store, offline("6", 50 + LATER, "w"))
    assert "6" in [row.id for row in await listed(store)]


async def test_what_comes_and_goes_is_three_messages(store: Store) -> None:
    """In the same row; its end is told once it has held, and then the next time is another row."""
    await fire(store, offline("0", 10))
    await resolve(store, 20)
    for turn in range(1, 20):
        await fire(store, offline(str(turn), 20 * turn + 10))
        await resolve(store, 20 * turn + 20)
    [row] = await listed(store)
    assert (row.id, row.count, row.reopened, row.at) == ("0", 20, 19, 10)
    kinds = [*await told(store)]
    assert kinds.count(Kind.RAISED) + kinds.count(Kind.RESOLVED) <= 3
    assert await store.read(lambda tx: alerts.has_settled(tx, row.ended_at)) is False
    end = row.ended_at + LATER
    assert await store.write(lambda tx: alerts.notify_settled(tx, end)) == 1
    assert await told(store) == [Kind.RESOLVED]
    assert await store.write(lambda tx: alerts.notify_settled(tx, end)) == 0
    await fire(store, offline("x", end))
    assert [one.id for one in await listed(store)] == ["x", "0"]


async def test_an_event_is_over_when_it_is_acknowledged_and_never_goes_on(store: Store) -> None:
    """A lockout after that is another one, however soon: nobody has seen it."""
    await fire(store, offline("1", 10, code="lockout"))
    [row] = await listed(store)
    await store.write(lambda tx: alerts.end_alert(tx, replace(row, acknowledged_at=20), 20))
    await fire(store, offline("2", 21, code="lockout"))
    assert [(one.id, one.state) for one in await listed(store)] == [
        ("2", AlertState.FIRING),
        ("1", AlertState.RESOLVED),
    ]


async def test_what_somebody_has_seen_is_not_told_again(store: Store) -> None:
    """Unless it becomes worse."""
    await fire(store, replace(offline("1", 10), severity=Severity.WARNING))
    [row] = await listed(store)
    await store.write(lambda tx: alerts.put_alert(tx, replace(row, acknowledged_at=15)))
    await told(store)
    await fire(store, replace(offline("2", 20), severity=Severity.INFO))
    assert await told(store) == []
    await fire(store, offline("3", 30))
    assert await told(store) == [Kind.RAISED]
    [row] = await listed(store)
    assert (row.severity, row.state) == (Severity.CRITICAL, AlertState.ACKNOWLEDGED)


async def test_the_end_of_what_began_later_is_another_one(store: Store) -> None:
    """Word from an agent of long ago ends nothing that began since."""
    await fire(store, offline("1", 100))
    ends = partial(alerts.resolve_alerts, org="acme", codes=[OFFLINE], vaults=["v"], now=200)
    assert await store.write(lambda tx: ends(tx, before=99)) == []
    assert len(await store.write(lambda tx: ends(tx, before=100))) == 1


async def test_nobody_waits_for_an_agent_that_is_not_listened_to(store: Store) -> None:
    """Its conditions are over; what a person has to see stays."""
    await fire(store, offline("1", 10), offline("2", 10, code="lockout"), offline("3", 10, "w"))
    await store.write(lambda tx: alerts.follow_life(tx, "acme", "v", Life.LOCKED, 20))
    assert {row.id for row in await listed(store) if row.ended_at} == {"1"}


async def test_many_agents_at_once(store: Store) -> None:
    """More than one statement takes."""
    rows = [offline(f"a{n}", 10, f"v{n}") for n in range(alerts.ALERTS_PER_STATEMENT + 3)]
    await fire(store, *rows)
    await fire(store, *(replace(row, id=f"b{row.id}") for row in rows))
    firing = await store.read(lambda tx: alerts.firing_agents(tx, "acme", OFFLINE))
    assert firing == {row.vault for row in rows}
    vaults = sorted(firing)
    over = await store.write(
        lambda tx: alerts.resolve_alerts(tx, "acme", [OFFLINE], vaults, now=20)
    )
    assert {(row.count, row.ended_at) for row in over} == {(2, 20)}
    assert len(over) == len(rows)


async def test_what_was_told_of_a_condition_is_known_until_its_end(store: Store) -> None:
    """Else the channels that were told its start would not be told its end."""
    await fire(store, offline("1", 10))

    def tell(tx: Tx) -> None:
        notices.put_last_notices(
            tx, [LastNotice("acme", "c", "agent_offline/v/", Kind.RAISED, 10, 0)]
        )
        notices.put_last_notices(tx, [LastNotice("acme", "c", "lockout/v/", Kind.RAISED, 10, 0)])

    await store.write(tell)
    assert await store.write(lambda tx: notices.delete_older_last_notices(tx, 1000)) == 1
    await resolve(store, 20)
    assert await store.write(lambda tx: notices.delete_older_last_notices(tx, 1000)) == 1
