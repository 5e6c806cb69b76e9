"""Rotations of vaults: alerts begin and end by themselves, and named channels are told once."""

from typing import Any

from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.model.records import Severity
from control.model.rotations import LATE_AFTER, RotationDebt
from control.services.event_bus import Topic
from control.services.vault_reports import record_rotations, rotation_report
from control.services.vaults import VaultFilter
from control.store import agents, notices
from protocols.instant import HOUR, SECOND
from protocols.link.messages import Clients, RotationNotice, Rotations
from protocols.link.signing import channel_digest
from protocols.link.vocabulary import RotationEvent
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

MILLI = 10**6


def counted(world: FakeWorld, **more: Any) -> Rotations:
    """A report of now: two policies, nothing owed."""
    names = (
        *("unmanaged", "due", "overdue", "overdue_since", "next_due", "running", "waiting"),
        *("failing", "stuck", "rotated_day", "rotated_month", "leases", "revoking", "irrevocable"),
    )
    fields = {**dict.fromkeys(names, 0), "policies": 2, "notices": (), "at": world.now() // MILLI}
    return Rotations(**{**fields, **more})


def notice(event: RotationEvent, number: int = 1, secret: bytes = bytes(16)) -> RotationNotice:
    """For the channel `on call`."""
    return RotationNotice(
        notice=bytes([number]) * 16, secret=secret, event=event,
        channels=(channel_digest("on call"),),
    )  # fmt: skip


async def say(
    core: Core, world: FakeWorld, vault: str, told: Rotations, clients: Clients | None = None
) -> list[tuple[str, str]]:
    """The agent reports; topic and agent of each event."""
    report = rotation_report(AgentName("acme", vault), told, clients, world)
    [events] = await core.store.write(lambda tx: record_rotations(tx, [report]))
    return [(event.topic, event.vault) for event in events]


async def firing(core: Core) -> set[tuple[str, str, Severity]]:
    """Agent, code and severity of each that fires."""
    rows = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=50)
    return {(row.vault, row.code, row.severity) for row in rows if not row.ended_at}


async def sent_notices(core: Core) -> list[tuple[str, str]]:
    """Code and subject of each notice that waits, but those of alerts."""
    queued = await core.store.read(lambda tx: notices.oldest_notices(tx, 50))
    return [(each.code, each.subject) for each in queued if each.channels]


async def test_alerts_last_as_long_as_their_cause(core: Core, world: FakeWorld) -> None:
    """Each with its severity; the same again is no event."""
    await enrolled(core, world, "a")
    bad = counted(world, overdue=1, overdue_since=5, stuck=2, irrevocable=3)
    events = await say(core, world, "a", bad)
    assert [topic for topic, _ in events] == [Topic.ROTATION, *[Topic.ALERT] * 3]
    assert await say(core, world, "a", bad) == []
    assert await firing(core) == {
        ("a", "rotation_overdue", Severity.WARNING),
        ("a", "rotation_stuck", Severity.CRITICAL),
        ("a", "leases_irrevocable", Severity.CRITICAL),
    }
    [vault] = await core.agents.vaults.list_vaults(
        "acme", VaultFilter(rotation=RotationDebt.STUCK), after="", limit=9
    )
    assert vault.rotation is not None
    assert vault.rotation.owed == 3
    world.advance(60)
    await say(core, world, "a", counted(world))
    assert await firing(core) == set()


async def test_clients_that_lag_or_never_renew_are_alerts_of_their_vault(
    core: Core, world: FakeWorld
) -> None:
    """Each while its count is not 0; an agent that says nothing of them has none."""
    await enrolled(core, world, "a", "old")
    await say(core, world, "old", counted(world))
    clients = Clients(lagging=2, unrenewed=1)
    told = counted(world)
    events = await say(core, world, "a", told, clients)
    assert [topic for topic, _ in events] == [Topic.ROTATION, *[Topic.ALERT] * 2]
    assert await say(core, world, "a", told, clients) == []
    assert await firing(core) == {
        ("a", "rotation_lagging", Severity.WARNING),
        ("a", "leases_unrenewed", Severity.WARNING),
    }
    found = await core.agents.vaults.list_vaults("acme", VaultFilter(), after="", limit=9)
    counts = {each.nodes[0].name: each.rotation.counts for each in found if each.rotation}
    assert {n: (row.lagging, row.unrenewed) for n, row in counts.items()} == {
        "a": (2, 1), "old": (0, 0),
    }  # fmt: skip
    world.advance(60)
    await say(core, world, "a", counted(world), Clients(lagging=0, unrenewed=1))
    assert {code for _, code, _ in await firing(core)} == {"leases_unrenewed"}
    await say(core, world, "a", counted(world), Clients(lagging=0, unrenewed=0))
    assert await firing(core) == set()


async def test_a_rotation_of_a_silent_agent_is_overdue_by_our_clock(
    core: Core, world: FakeWorld
) -> None:
    """It was due, and nobody says that it was done; the next report ends it."""
    await enrolled(core, world, "a")
    due = world.now() + HOUR
    await say(core, world, "a", counted(world, next_due=due // MILLI))
    world.advance((HOUR + LATE_AFTER) / SECOND)
    await core.report_watch.update()
    assert await firing(core) == set()
    world.advance(1)
    for _ in range(2):
        await core.report_watch.update()
        await core.report_watch.count()
    assert await firing(core) == {("a", "rotation_overdue", Severity.WARNING)}
    assert core.report_watch.rotation_totals == (1, 0, 0)
    await say(core, world, "a", counted(world, next_due=world.now() // MILLI + 1))
    assert await firing(core) == set()


async def test_the_newest_look_of_a_vaults_nodes_counts(core: Core, world: FakeWorld) -> None:
    """Whoever reported before neither fires an alert nor ends one."""
    await enrolled(core, world, "a", "b")
    for name in ("a", "b"):
        await core.store.write(lambda tx, n=name: agents.put_vault_id(tx, "acme", n, "shared"))
    old = counted(world)
    world.advance(60)
    await say(core, world, "b", counted(world, stuck=1))
    world.advance(60)
    await say(core, world, "a", old)
    assert {code for _, code, _ in await firing(core)} == {"rotation_stuck"}
    ahead = counted(world, at=2**50)
    await say(core, world, "a", ahead)  # its clock does not make it newer than it came
    assert await firing(core) == set()
    world.advance(60)
    await say(core, world, "b", counted(world, stuck=2))
    assert {code for _, code, _ in await firing(core)} == {"rotation_stuck"}


async def test_a_vault_reports_each_event_once(core: Core, world: FakeWorld) -> None:
    """Whichever of its nodes reports it, and however often; by an opaque id, or none."""
    await enrolled(core, world, "a", "b", "other")
    for name in ("a", "b"):
        await core.store.write(lambda tx, n=name: agents.put_vault_id(tx, "acme", n, "shared"))
    first = counted(world, notices=(notice(RotationEvent.STUCK, 1, b"s" * 16),))
    for turn, name in enumerate(("a", "a", "b")):
        await say(core, world, name, replace(first, running=turn))
    assert await sent_notices(core) == [("secret_rotation_stuck", "73" * 16)]
    more = (*first.notices, notice(RotationEvent.ROTATED, 2))
    await say(core, world, "b", replace(first, notices=more))
    assert (await sent_notices(core))[1:] == [("secret_rotated", "")]
    await say(core, world, "other", first)
    assert len(await sent_notices(core)) == 3
    queued = await core.store.read(lambda tx: notices.oldest_notices(tx, 50))
    assert {each.channels for each in queued} == {(channel_digest("on call").hex(),)}
