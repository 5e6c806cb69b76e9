"""Late after two heartbeats, offline after five minutes, alerts both ways, over restarts."""

from dataclasses import dataclass
from typing import cast

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import UnavailableError
from control.model.agents import AgentFilter, Health, Life, Presence, State
from control.model.records import Severity
from control.services.event_bus import Topic
from control.services.presence import (
    COMPARE_INTERVAL,
    SHARED_FLUSH_INTERVAL,
    PresenceRule,
    PresenceTracker,
    health_report,
    judge_presence,
    record_health,
)
from control.store.agents import put_vault_id
from control.store.alerts import AlertFilter
from control.store.store import Store
from protocols.instant import SECOND
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

RULE = PresenceRule()
P = Presence
Codes = frozenset[str] | None


@pytest.mark.parametrize(
    ("before", "silence", "after"),
    [
        (P.ONLINE, 119, P.ONLINE),
        (P.ONLINE, 120, P.LATE),
        (P.LATE, 299, P.LATE),
        (P.LATE, 300, P.OFFLINE),
        (P.ONLINE, 10**6, P.OFFLINE),
        (P.OFFLINE, 0, P.OFFLINE),
        (P.OFFLINE, 200, P.OFFLINE),
        (P.UNKNOWN, 10**6, P.UNKNOWN),
    ],
)
def test_the_rule(before: Presence, silence: int, after: Presence) -> None:
    """Silence alone decides, and only a word brings anybody back."""
    assert judge_presence(RULE, before, silence * SECOND) is after


async def codes(core: Core, state: str = "") -> list[str]:
    """Alerts of acme, oldest first."""
    narrow = AlertFilter(state=state)
    found = await core.agents.alerts.list_alerts(
        "acme", vault="", before=0, limit=99, narrow=narrow
    )
    return [alert.code for alert in reversed(found)]


async def test_one_alert_from_offline_to_online(core: Core, world: FakeWorld) -> None:
    """It fires when the agent goes and is over when it is back; being late is none."""
    await enrolled(core, world, "v1")
    watch = PresenceTracker(core.store, core.bus, RULE, world)
    await watch.load()
    watch.record_message("acme", "v1")
    await watch.update()
    for _ in range(4):
        world.advance(100)
        await watch.update()
    assert await codes(core) == ["agent_offline"]
    watch.record_message("acme", "v1")
    await watch.update()
    world.advance(1)
    await watch.update()
    assert await codes(core, "open") == []
    assert await codes(core, "resolved") == ["agent_offline"]


async def test_an_offline_alert_says_whether_another_node_serves_the_vault(
    core: Core, world: FakeWorld
) -> None:
    """It is critical all the same: which vault an agent serves is only what it says."""
    await enrolled(core, world, "v1", "v2", "alone")
    for vault in ("v1", "v2"):
        await core.store.write(lambda tx, vault=vault: put_vault_id(tx, "acme", vault, "shared"))
    watch = PresenceTracker(core.store, core.bus, RULE, world)
    await watch.load()
    for vault in ("v1", "v2", "alone"):
        watch.record_message("acme", vault)
        watch.set_health("acme", vault, Health.SERVING)
    await watch.update()
    for _ in range(4):
        world.advance(100)
        watch.record_message("acme", "v2")
        await watch.update()
    for _ in range(4):
        world.advance(100)
        await watch.update()
    found = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=99)
    assert {alert.vault: alert.message for alert in found} == {
        "v1": "agent v1 has not been heard any more; its vault is served by v2",
        "alone": "agent alone has not been heard any more",
        "v2": "agent v2 has not been heard any more; no other node of its vault serves",
    }
    assert {alert.severity for alert in found} == {Severity.CRITICAL}


async def test_presence_survives_a_restart(core: Core, world: FakeWorld) -> None:
    """Who was offline is so still, without a second alert; who was online has its time anew."""
    await enrolled(core, world, "gone", "here")
    first = PresenceTracker(core.store, core.bus, RULE, world)
    await first.load()
    first.record_message("acme", "gone")
    world.advance(301)
    first.record_message("acme", "here")
    await first.update()
    await first.store_changes()
    world.advance(10_000)  # the control plane was away
    second = PresenceTracker(core.store, core.bus, RULE, world)
    await second.load()
    await second.update()
    assert second.status_of("acme", "gone")[0] is State.OFFLINE  # type: ignore[index]
    assert second.status_of("acme", "here")[0] is State.ONLINE  # type: ignore[index]
    world.advance(300)
    await second.update()
    assert second.count_by_status()[State.OFFLINE] == 2
    assert await codes(core) == ["agent_offline", "agent_offline"]


async def test_heartbeats_are_no_writes(core: Core, world: FakeWorld) -> None:
    """Many words cost one row in one batch, half a minute later at most."""
    await enrolled(core, world, "v1")
    watch = PresenceTracker(core.store, core.bus, RULE, world)
    await watch.load()
    watch.record_message("acme", "v1")
    await watch.update()
    stored = (await core.agents.registry.get_agent("acme", "v1")).last_seen
    world.advance(5)
    watch.record_message("acme", "v1")
    await watch.update()
    assert (await core.agents.registry.get_agent("acme", "v1")).last_seen == stored
    world.advance(30)
    await watch.update()
    assert (await core.agents.registry.get_agent("acme", "v1")).last_seen == stored + 5 * SECOND


async def test_a_locked_agent_is_not_missed(core: Core, world: FakeWorld) -> None:
    """Nobody is told that it went offline."""
    await enrolled(core, world, "v1")
    watch = PresenceTracker(core.store, core.bus, RULE, world)
    await watch.load()
    watch.record_message("acme", "v1")
    watch.forget("acme", "v1")
    watch.record_known_message("acme", "v1")
    world.advance(1000)
    await watch.update()
    assert await codes(core) == []
    assert not any(watch.count_by_status().values())


async def test_setting_the_clock_is_no_silence(core: Core, world: FakeWorld) -> None:
    """A day forward makes nobody offline; a day back keeps nobody online who has fallen silent."""
    await enrolled(core, world, "v1")
    watch = PresenceTracker(core.store, core.bus, RULE, world)
    await watch.load()
    watch.record_message("acme", "v1")
    world.step_wall(86_400)
    await watch.update()
    assert watch.count_by_status()[State.ONLINE] == 1
    world.step_wall(-86_400)
    world.advance(300)
    await watch.update()
    assert watch.count_by_status()[State.OFFLINE] == 1


@dataclass
class Place:
    """The lease of one of several processes; `peers` is nobody's matter here."""

    leads: bool
    shared: bool = True
    peers: frozenset[int] = frozenset()

    async def keep(self) -> None:
        """Nothing to do."""


class Two:
    """Two processes on one database: `leader` judges, agents are linked to `other`."""

    def __init__(self, core: Core, world: FakeWorld, clock: FakeWorld | None = None) -> None:
        self.worlds = {world, clock or world}
        self.leader = PresenceTracker(core.store, core.bus, RULE, world, Place(leads=True))
        self.place = Place(leads=False)
        self.other = PresenceTracker(core.store, core.bus, RULE, clock or world, self.place)

    async def load(self) -> None:
        """Both."""
        await self.leader.load()
        await self.other.load()

    async def live(self, seconds: int, *, beats: bool = False, other: bool = True) -> None:
        """So many seconds, in steps; a heartbeat a minute if it `beats`."""
        for second in range(seconds):
            for world in self.worlds:
                world.advance(1)
            if beats and second % 60 == 0:
                self.other.record_message("acme", "v1")
            if second % 5 == 0:
                if other:
                    await self.other.update()
                await self.leader.update()


@pytest.fixture
async def two(core: Core, world: FakeWorld) -> Two:
    """With one agent that is known to both."""
    await enrolled(core, world, "v1")
    made = Two(core, world)
    await made.load()
    return made


async def test_who_is_heard_elsewhere_is_not_silent(two: Two, core: Core) -> None:
    """The other one has its words, the database tells, and nobody is alarmed."""
    await two.live(1000, beats=True)
    assert two.leader.status_of("acme", "v1")[0] is State.ONLINE  # type: ignore[index]
    assert await codes(core) == []


async def test_silence_elsewhere_is_judged_once(two: Two, core: Core) -> None:
    """In time, neither early nor by both; and whoever hears the agent again says so, once."""
    await two.live(120, beats=True)
    await two.live(235)
    assert (await core.agents.registry.get_agent("acme", "v1")).presence is P.LATE
    await two.live(90)
    assert (await core.agents.registry.get_agent("acme", "v1")).presence is P.OFFLINE
    assert two.other.count_by_status()[State.OFFLINE] == 1
    two.other.record_message("acme", "v1")
    await two.live(20)
    assert two.leader.count_by_status()[State.ONLINE] == 1
    assert await codes(core, "open") == []
    assert await codes(core, "resolved") == ["agent_offline"]


async def test_a_follower_takes_over_where_the_leader_was(two: Two, core: Core) -> None:
    """It knew everything: no storm, and nobody is missed."""
    await two.live(200, beats=True)
    two.leader, two.other = two.other, two.leader
    two.place.leads = True
    await two.live(250, other=False)
    assert await codes(core) == []
    await two.live(100, other=False)
    assert await codes(core) == ["agent_offline"]


async def test_a_judgement_on_old_knowledge_does_not_count(two: Two, core: Core) -> None:
    """Whoever was heard elsewhere, and stored, before it is stored is not offline."""
    await two.live(20, beats=True)
    two.leader.record_message("acme", "v1")
    await two.leader.store_changes()
    for world in two.worlds:
        world.advance(299)
    await two.leader._compare_with_store()
    two.other.record_message("acme", "v1")
    await two.other.store_changes()
    for world in two.worlds:
        world.advance(2)
    two.leader._compared = 1e18
    await two.leader.update()
    assert await codes(core) == []
    assert two.leader.status_of("acme", "v1")[0] is State.ONLINE  # type: ignore[index]


async def test_clocks_that_disagree_make_nobody_offline(core: Core, world: FakeWorld) -> None:
    """The other process' clock is an hour behind."""
    await enrolled(core, world, "v1")
    behind = FakeWorld(now=world.now() - 3600 * SECOND)
    two = Two(core, world, behind)
    await two.load()
    two.leader.record_message("acme", "v1")
    await two.leader.store_changes()
    await two.live(1000, beats=True)
    assert await codes(core) == []
    await two.live(330)
    assert await codes(core) == ["agent_offline"]


async def test_a_database_that_was_away_makes_nobody_offline(two: Two, core: Core) -> None:
    """Nobody could tell whom it has heard: their silences begin anew."""
    await two.live(120, beats=True)
    for world in two.worlds:
        world.advance(400)
    store, two.leader._store = two.leader._store, cast("Store", Away())
    with pytest.raises(UnavailableError):
        await two.leader._compare_with_store()
    two.leader._store = store
    await two.live(10)
    assert await codes(core) == []
    await two.live(300)
    assert await codes(core) == ["agent_offline"]


class Away:
    """A database that does not answer."""

    async def read(self, _: object) -> None:
        """Not now."""
        raise UnavailableError("store_unavailable", "away")


async def test_a_dead_process_takes_words_with_it(two: Two, world: FakeWorld) -> None:
    """What it may have heard and not stored is no silence."""
    await two.live(60, beats=True)
    pulse = two.leader._agents["acme", "v1"]
    since = pulse.silent_since
    two.leader.restart_silence()
    assert pulse.silent_since == min(
        world.monotonic(), since + (SHARED_FLUSH_INTERVAL + COMPARE_INTERVAL) / SECOND
    )
    two.leader.record_message("acme", "v1")
    since = pulse.silent_since
    two.leader.restart_silence()
    assert pulse.silent_since == since


async def test_who_is_locked_or_comes_elsewhere_is_known(
    two: Two, core: Core, world: FakeWorld
) -> None:
    """By the next comparison."""
    await two.live(30, beats=True)
    await enrolled(core, world, "v2")
    await two.live(10)
    assert two.leader.status_of("acme", "v2") is not None
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "lost")
    await two.live(10)
    assert two.leader.status_of("acme", "v1") is None


async def say(
    core: Core, health: str, codes: Codes = frozenset(), vaults: tuple[str, ...] = ("v1",)
) -> list[Topic]:
    """Heartbeats of these agents, together; what is published."""
    said = [
        health_report(AgentName("acme", vault), health, "online", codes, core.world)
        for vault in vaults
    ]
    events = await core.store.write(lambda tx: record_health(tx, said))
    for each in said:
        core.presence.set_health(*each.name, each.health)
    return [event.topic for some in events for event in some]


async def firing(core: Core, vault: str = "v1") -> dict[str, Severity]:
    """Its alerts that are not resolved."""
    narrow = AlertFilter(state="open")
    found = await core.agents.alerts.list_alerts(
        "acme", vault=vault, before=0, limit=9, narrow=narrow
    )
    return {alert.code: alert.severity for alert in found}


async def test_an_agent_that_comes_sealed_has_an_alert_until_it_is_open(
    core: Core, world: FakeWorld
) -> None:
    """Critical and once, also if nothing happened while it was linked; its state says so."""
    await enrolled(core, world, "v1")
    core.presence.record_message("acme", "v1")
    await core.presence.update()
    assert await say(core, "sealed") == [Topic.HEALTH, Topic.ALERT]
    assert await say(core, "sealed") == []
    assert await firing(core) == {"sealed": Severity.CRITICAL}
    agent = await core.agents.registry.get_agent("acme", "v1")
    assert (agent.state, agent.health) == (State.SEALED, Health.SEALED)
    assert core.presence.count_by_status()[State.SEALED] == 1
    assert core.presence.count_by_status()[State.ONLINE] == 0
    assert await core.agents.registry.count_agents(9) == [("acme", 1, 0)]
    await say(core, "serving")
    assert await firing(core) == {}
    assert (await core.agents.registry.get_agent("acme", "v1")).state is State.ONLINE
    assert await core.agents.registry.count_agents(9) == [("acme", 1, 1)]


async def test_an_agent_that_refuses_is_not_online(core: Core, world: FakeWorld) -> None:
    """Its disk is full: an alert for what it is and one for why, both over with it."""
    await enrolled(core, world, "v1")
    core.presence.record_message("acme", "v1")
    await core.presence.update()
    await say(core, "refusing", frozenset({"audit_sink_failed"}))
    critical = Severity.CRITICAL
    assert await firing(core) == {"refusing": critical, "audit_sink_failed": critical}
    assert (await core.agents.registry.get_agent("acme", "v1")).state is State.REFUSING
    await say(core, "serving", frozenset({"audit_sink_failed"}))
    assert await firing(core) == {"audit_sink_failed": critical}
    assert (await core.agents.registry.get_agent("acme", "v1")).state is State.DEGRADED
    await say(core, "serving")
    assert await firing(core) == {}


async def test_a_sealed_agent_cannot_say_that_the_rest_is_well(
    core: Core, world: FakeWorld
) -> None:
    """Its audit log is shut: what it said of it stands."""
    await enrolled(core, world, "v1")
    await say(core, "refusing", frozenset({"audit_sink_failed"}))
    await say(core, "sealed")
    assert set(await firing(core)) == {"sealed", "audit_sink_failed"}


async def test_an_older_agent_ends_what_its_health_says(core: Core, world: FakeWorld) -> None:
    """It has no list of conditions: what it raised otherwise is not over by that."""
    await enrolled(core, world, "v1")
    await say(core, "sealed", frozenset({"store_failed"}))
    await say(core, "serving", frozenset({"store_failed"}))
    await say(core, "sealed", None)
    await say(core, "serving", None)
    assert set(await firing(core)) == {"store_failed"}


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("disk_low", Severity.WARNING),
        ("clock_set_back", Severity.WARNING),
        ("policy_expired", Severity.WARNING),
        ("certificate_expiring", Severity.WARNING),
        ("audit_sink_failed", Severity.CRITICAL),
        ("store_failed", Severity.CRITICAL),
        ("workers_failing", Severity.CRITICAL),
    ],
)
async def test_each_condition_fires_and_is_over(
    core: Core, world: FakeWorld, code: str, severity: Severity
) -> None:
    """With its own severity, and an agent that has one is degraded."""
    await enrolled(core, world, "v1")
    await say(core, "serving", frozenset({code}))
    assert await firing(core) == {code: severity}
    assert (await core.agents.registry.get_agent("acme", "v1")).health is Health.DEGRADED
    await say(core, "serving")
    assert await firing(core) == {}


async def test_many_agents_at_once(core: Core, world: FakeWorld) -> None:
    """Each has its own alert; what is over is over for those alone."""
    vaults = ("v1", "v2", "v3")
    await enrolled(core, world, *vaults)
    await say(core, "sealed", vaults=vaults)
    await say(core, "serving", vaults=("v1", "v3"))
    assert [len(await firing(core, vault)) for vault in vaults] == [0, 1, 0]


async def test_every_state_is_found_as_it_is_shown(core: Core, world: FakeWorld) -> None:
    """The filter and the word for an agent never disagree."""
    await enrolled(core, world, "v1", "v2", "v3", "v4")
    for vault in ("v1", "v2", "v3"):
        core.presence.record_message("acme", vault)
    await core.presence.update()
    await say(core, "sealed", vaults=("v1",))
    await say(core, "serving", frozenset({"store_failed"}), vaults=("v2",))
    for state in State:
        found = await core.agents.registry.find_agents("acme", AgentFilter(state=state))
        assert all(agent.state is state for agent in found)
        names = {"sealed": ["v1"], "degraded": ["v2"], "online": ["v3"], "unknown": ["v4"]}
        assert [agent.vault for agent in found] == names.get(state, [])


@pytest.mark.parametrize("said", ["sealed", "refusing", "serving"])
async def test_a_locked_agent_says_nothing(core: Core, world: FakeWorld, said: str) -> None:
    """A word that was on its way when it was locked changes nothing."""
    await enrolled(core, world, "v1")
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "lost")
    await say(core, said)
    assert (await core.agents.registry.get_agent("acme", "v1")).health is Health.UNSAID
    assert await firing(core) == {}
