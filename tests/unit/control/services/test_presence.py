"""Late after two heartbeats, offline after five minutes, alerts both ways, over restarts."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.agents import Presence
from control.services.presence import Rule, Watch, judge
from protocols.instant import SECOND
from tests.unit.control.fleet import enrolled

RULE = Rule()
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
    assert judge(RULE, before, silence * SECOND) is after


async def codes(plane: Plane) -> list[str]:
    """Alerts of acme, oldest first."""
    found = await plane.alerts.page("acme", vault="", unacknowledged=False, before=0, limit=99)
    return [alert.code for alert in reversed(found)]


async def test_alerts_both_ways_once(plane: Plane, world: FakeWorld) -> None:
    """One when it goes, one when it is back, none for being late."""
    await enrolled(plane, world, "v1")
    watch = Watch(plane.store, plane.bus, RULE, world)
    await watch.load()
    watch.heard("acme", "v1")
    await watch.tick()
    for _ in range(4):
        world.advance(100)
        await watch.tick()
    assert await codes(plane) == ["agent_offline"]
    watch.heard("acme", "v1")
    await watch.tick()
    world.advance(1)
    await watch.tick()
    assert await codes(plane) == ["agent_offline", "agent_online"]


async def test_presence_survives_a_restart(plane: Plane, world: FakeWorld) -> None:
    """Who was offline is so still, without a second alert; who was online has its time anew."""
    await enrolled(plane, world, "gone", "here")
    first = Watch(plane.store, plane.bus, RULE, world)
    await first.load()
    first.heard("acme", "gone")
    world.advance(301)
    first.heard("acme", "here")
    await first.tick()
    await first.flush()
    world.advance(10_000)  # the control plane was away
    second = Watch(plane.store, plane.bus, RULE, world)
    await second.load()
    await second.tick()
    assert second.presence("acme", "gone")[0] is P.OFFLINE  # type: ignore[index]
    assert second.presence("acme", "here")[0] is P.ONLINE  # type: ignore[index]
    world.advance(300)
    await second.tick()
    assert second.counts()[P.OFFLINE] == 2
    assert await codes(plane) == ["agent_offline", "agent_offline"]


async def test_heartbeats_are_no_writes(plane: Plane, world: FakeWorld) -> None:
    """Many words cost one row in one batch, half a minute later at most."""
    await enrolled(plane, world, "v1")
    watch = Watch(plane.store, plane.bus, RULE, world)
    await watch.load()
    watch.heard("acme", "v1")
    await watch.tick()
    stored = (await plane.registry.get("acme", "v1")).last_seen
    world.advance(5)
    watch.heard("acme", "v1")
    await watch.tick()
    assert (await plane.registry.get("acme", "v1")).last_seen == stored
    world.advance(30)
    await watch.tick()
    assert (await plane.registry.get("acme", "v1")).last_seen == stored + 5 * SECOND


async def test_a_locked_agent_is_not_missed(plane: Plane, world: FakeWorld) -> None:
    """Nobody is told that it went offline."""
    await enrolled(plane, world, "v1")
    watch = Watch(plane.store, plane.bus, RULE, world)
    await watch.load()
    watch.heard("acme", "v1")
    watch.forget("acme", "v1")
    world.advance(1000)
    await watch.tick()
    assert await codes(plane) == []


async def test_setting_the_clock_is_no_silence(plane: Plane, world: FakeWorld) -> None:
    """A day forward makes nobody offline; a day back keeps nobody online who has fallen silent."""
    await enrolled(plane, world, "v1")
    watch = Watch(plane.store, plane.bus, RULE, world)
    await watch.load()
    watch.heard("acme", "v1")
    world.step_wall(86_400)
    await watch.tick()
    assert watch.counts()[P.ONLINE] == 1
    world.step_wall(-86_400)
    world.advance(300)
    await watch.tick()
    assert watch.counts()[P.OFFLINE] == 1
