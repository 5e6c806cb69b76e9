"""Late after two heartbeats, offline after five minutes, alerts both ways, over restarts."""

from dataclasses import dataclass
from typing import cast

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import UnavailableError
from control.model.agents import Life, Presence, State
from control.services.presence import (
    COMPARE_INTERVAL,
    SHARED_FLUSH_INTERVAL,
    PresenceRule,
    PresenceTracker,
    judge_presence,
)
from control.store.alerts import AlertFilter
from control.store.store import Store
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled

RULE = PresenceRule()
P = Presence


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
    since = pulse.since
    two.leader.restart_silence()
    assert pulse.since == min(
        world.monotonic(), since + (SHARED_FLUSH_INTERVAL + COMPARE_INTERVAL) / SECOND
    )
    two.leader.record_message("acme", "v1")
    since = pulse.since
    two.leader.restart_silence()
    assert pulse.since == since


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
