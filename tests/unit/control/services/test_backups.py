"""Backups of vaults: their alerts fire and end once, whichever node reports."""

from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.model.agents import Life
from control.model.backups import GRACE
from control.model.records import Alert, Severity
from control.services.event_bus import Topic
from control.services.vault_reports import backup_report, record_backups
from control.services.vaults import VaultFilter
from control.store import agents, notices
from protocols.instant import DAY, HOUR, MINUTE, SECOND
from protocols.link.messages import Backups
from protocols.link.vocabulary import BackupState
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

MILLI = 10**6
STATE = BackupState


def good(world: FakeWorld, state: BackupState = STATE.GOOD) -> Backups:
    """A backup of now, proven."""
    now = world.now() // MILLI
    return Backups(
        state=state, newest=now, proven=now, count=1, period=86_400, rto=9, rpo=8,
        certificate=b"c" * 32,
    )  # fmt: skip


async def say(core: Core, world: FakeWorld, vault: str, told: Backups) -> list[tuple[str, str]]:
    """The agent reports; topic and agent of each event."""
    report = backup_report(AgentName("acme", vault), told, world)
    [events] = await core.store.write(lambda tx: record_backups(tx, [report]))
    return [(event.topic, event.vault) for event in events]


async def nodes(core: Core, *names: str) -> None:
    """They serve one vault."""
    for name in names:
        await core.store.write(lambda tx, n=name: agents.put_vault_id(tx, "acme", n, "shared"))


async def alerts(core: Core) -> list[Alert]:
    """All, the newest first."""
    return await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=50)


async def firing(core: Core) -> set[tuple[str, str]]:
    """Agent and code of each that fires."""
    return {(row.vault, row.code) for row in await alerts(core) if not row.ended_at}


async def test_an_alert_lasts_as_long_as_its_state(core: Core, world: FakeWorld) -> None:
    """One episode with its severity; the same report again is no write and no event."""
    await enrolled(core, world, "a")
    assert await say(core, world, "a", good(world)) == [(Topic.BACKUP, "a")]
    bad = good(world, STATE.FAILED)
    assert await say(core, world, "a", bad) == [(Topic.BACKUP, "a"), (Topic.ALERT, "a")]
    assert await say(core, world, "a", bad) == []
    [row] = await alerts(core)
    assert (row.code, row.severity, row.count) == ("backup_failed", Severity.WARNING, 1)
    world.advance(60)
    await say(core, world, "a", good(world, STATE.UNPROVEN))
    assert await firing(core) == {("a", "backup_unproven")}
    world.advance(60)
    await say(core, world, "a", good(world))
    assert await firing(core) == set()
    assert len(await alerts(core)) == 2


async def test_a_silent_agent_is_late_by_our_clock(core: Core, world: FakeWorld) -> None:
    """Offline or sealed: the look finds it, once; the next backup ends it."""
    await enrolled(core, world, "a", "off")
    await say(core, world, "a", good(world))
    await say(core, world, "off", good(world, STATE.OFF))
    world.advance((DAY + GRACE) / SECOND)
    await core.report_watch.update()
    assert await firing(core) == set()
    world.advance(1)
    for _ in range(2):
        await core.report_watch.update()
    [row] = await alerts(core)
    assert (row.vault, row.code, row.severity) == ("a", "backup_late", Severity.CRITICAL)
    [late, _] = await core.agents.vaults.list_vaults("acme", after="", limit=9)
    assert late.backup is not None
    assert late.backup.state is STATE.LATE
    await say(core, world, "a", good(world))
    assert await firing(core) == set()


async def test_nodes_of_a_vault_have_one_alert(core: Core, world: FakeWorld) -> None:
    """It does not flap as they report in turn, and goes to another node with its agent's end."""
    await enrolled(core, world, "a", "b", "c")
    await nodes(core, "a", "b", "c")
    bad = good(world, STATE.FAILED)
    told = {"b": bad, "a": bad, "c": replace(good(world, STATE.OFF), newest=0, proven=0)}
    for turn in range(3):
        for name, each in told.items():
            await say(core, world, name, replace(each, count=turn))
    [row] = await alerts(core)
    assert (row.vault, row.code, row.ended_at) == ("b", "backup_failed", 0)
    await core.agents.registry.change_life("acme", "b", Life.RETIRED, "old")
    assert await firing(core) == set()
    await core.report_watch.update()
    assert await firing(core) == {("a", "backup_failed")}
    world.advance(60)
    events = await say(core, world, "a", good(world))
    assert await firing(core) == set()
    assert {vault for topic, vault in events if topic is Topic.BACKUP} == {"a", "c"}


async def test_two_agents_that_turn_out_to_be_nodes_share_an_alert(
    core: Core, world: FakeWorld
) -> None:
    """The second one ends."""
    await enrolled(core, world, "a", "b")
    for name in ("a", "b"):
        await say(core, world, name, good(world, STATE.UNPROVEN))
    assert len(await firing(core)) == 2
    await nodes(core, "a", "b")
    await core.report_watch.update()
    assert await firing(core) == {("a", "backup_unproven")}


async def test_who_is_locked_says_nothing(core: Core, world: FakeWorld) -> None:
    """What it says late is dropped, and its alerts are over."""
    await enrolled(core, world, "a")
    await say(core, world, "a", good(world, STATE.FAILED))
    await core.agents.registry.change_life("acme", "a", Life.LOCKED, "lost")
    assert await say(core, world, "a", good(world, STATE.LATE)) == []
    world.advance(5 * DAY / SECOND)
    await core.report_watch.update()
    assert await firing(core) == set()


async def test_people_are_notified_of_begin_and_end(core: Core, world: FakeWorld) -> None:
    """Like of any condition."""
    await enrolled(core, world, "a")
    await say(core, world, "a", good(world, STATE.LATE))
    world.advance(HOUR / SECOND)
    await say(core, world, "a", good(world))
    queued = await core.store.read(lambda tx: notices.oldest_notices(tx, 10))
    assert [notice.code for notice in queued] == ["backup_late", "backup_late"]


async def test_vaults_without_a_fresh_certificate_are_found(core: Core, world: FakeWorld) -> None:
    """Also those that never had a backup."""
    await enrolled(core, world, "bare", "off", "proven", "stale")
    await say(core, world, "proven", good(world))
    await say(core, world, "off", good(world, STATE.OFF))
    stale = replace(good(world), proven=(world.now() - 8 * DAY) // MILLI)
    await say(core, world, "stale", stale)
    world.advance(MINUTE / SECOND)

    async def found(wanted: VaultFilter) -> list[str]:
        rows = await core.agents.vaults.list_vaults("acme", wanted, after="", limit=9)
        return [row.name for row in rows]

    assert await found(VaultFilter(certified=False)) == ["bare", "stale"]
    assert await found(VaultFilter(certified=True)) == ["off", "proven"]
    assert await found(VaultFilter(backup=STATE.OFF)) == ["off"]
    assert await found(VaultFilter(backup=STATE.LATE)) == []
