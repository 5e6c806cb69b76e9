"""Two processes share the work: what one is told the other does, and either may die."""

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from trio.to_thread import run_sync as aside

from protocols.link import messages as m
from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.control.linked import Linked, heartbeat
from tests.acceptance.control.plane import Plane
from tests.acceptance.control.sharing import BASE, Estate, Mover, estate, gauge, roaming, until
from tests.acceptance.control.test_link import DOCUMENT, push
from tests.acceptance.link.test_agent import enrolled

AT_ONCE = 10.0
"""Seconds: less than the 15 after which a process that hears the others looks by itself."""


@pytest.fixture(scope="module")
def both() -> Iterator[Estate]:
    """Late after 2 s, offline after 12."""
    with own_folder() as folder, estate(folder) as made:
        yield made


def alerts(plane: Plane, vault: str) -> list[str]:
    """Codes and states, the oldest first."""
    found = plane.want(200, "GET", f"{BASE}/alerts?vault={vault}")
    return [f"{row['code']} {row['state']}" for row in reversed(found)]


def row(plane: Plane, vault: str) -> dict[str, Any]:
    """How the process shows an agent."""
    shown: dict[str, Any] = plane.want(200, "GET", f"{BASE}/agents/{vault}")
    return shown


def at(estate: Estate, place: int, *vaults: str) -> list[Mover]:
    """Agents that come to this process first."""
    made = [estate.newcomer(vault) for vault in vaults]
    for mover in made:
        mover.at = place
    return made


async def test_what_one_is_told_reaches_the_other_at_once(both: Estate) -> None:
    """A policy, a command and a lock, from the process to which the agent is not linked."""
    one, two = both.planes
    await until(lambda: gauge(one, "processes") == gauge(two, "processes") == 2)
    [mover] = at(both, 1, "told")
    async with roaming(mover):
        agent = mover.linked
        await aside(push, one, "told", "told")
        await until(lambda: agent.bundles == [1])
        one.want(201, "POST", f"{BASE}/agents/told/commands", {"command": "send_metrics"})
        await until(lambda: any(isinstance(x, m.Command) for x in agent.heard), AT_ONCE)
        await until(lambda: row(one, "told")["presence"] == "online")
        one.want(200, "POST", f"{BASE}/agents/told/lock", {"reason": "lost"})
        await until(lambda: mover.talk is None, AT_ONCE)
    assert mover.links == 1


async def test_an_agent_has_one_connection(both: Estate) -> None:
    """Wherever it comes, the one before ends."""
    [mover] = at(both, 0, "twice")
    agent = mover.linked
    async with agent.connected() as first:
        await first.say(heartbeat())
        await until(lambda: row(both.one, "twice")["facts"])  # it has its place by then
        agent.port = both.two.link_port
        async with agent.connected() as second:
            with trio.fail_after(30):
                await first.ended.wait()
            assert not second.ended.is_set()


async def test_presence_is_judged_once_and_known_to_both(both: Estate) -> None:
    """The leader hears neither of them: one is missed and found again, the other never missed."""
    follower = 1 if both.leader() is both.one else 0
    quiet, lively = at(both, follower, "quiet", "lively")
    async with roaming(lively):
        async with roaming(quiet):
            await shows(both, "quiet", "online")
        await shows(both, "quiet", "late")
        await shows(both, "quiet", "offline")
        async with roaming(quiet):
            await shows(both, "quiet", "online")
        assert lively.links == 1
    assert alerts(both.one, "quiet") == ["agent_offline resolved"]
    assert alerts(both.one, "lively") == []


async def shows(estate: Estate, vault: str, presence: str) -> None:
    """Both processes do, soon."""
    for plane in estate.planes:
        await until(lambda p=plane: row(p, vault)["presence"] == presence)


async def test_the_leader_is_killed_in_the_middle_of_a_fan_out(both: Estate) -> None:
    """Agents move, the roll-out finishes, each bundle is applied once, nobody is alarmed of."""
    dead = both.leader()
    place = both.planes.index(dead)
    left = both.planes[1 - place]
    names = [f"m{number}" for number in range(8)]
    movers = at(both, place, *names[:6]) + at(both, 1 - place, *names[6:])
    async with roaming(*movers):
        await aside(push, dead, "fan", *names)
        dead.kill()
        await until(lambda: all(mover.linked.bundles == [1] for mover in movers))
        await until(lambda: gauge(left, "leads") == 1.0)
        await until(lambda: stable(left, "fan") == 1)
        await aside(push, left, "fan", *names)
        await until(lambda: all(mover.linked.bundles == [1, 2] for mover in movers))
        await until(lambda: stable(left, "fan") == 2)
        await aside(dead.start)
        for name in names:
            assert await aside(alerts, left, name) == []
            await until(lambda name=name: row(left, name)["presence"] == "online")
    assert all(unique(mover.linked) for mover in movers)


def stable(plane: Plane, policy: str) -> int:
    """Which version every agent should have."""
    version: int = plane.want(200, "GET", f"{BASE}/policies/{policy}")["stable"]
    return version


def unique(agent: Linked) -> bool:
    """Each bundle once."""
    return len(set(agent.bundles)) == len(agent.bundles)


async def test_a_real_agent_goes_where_it_is_served(both: Estate) -> None:
    """From the process that was killed to the other, by its list of addresses."""
    agent = vault(both)
    with running(agent):
        await until(lambda: row(both.one, "vault")["presence"] == "online")
        place = 0 if gauge(both.one, "links") else 1
        dead, left = both.planes[place], both.planes[1 - place]
        assert gauge(left, "links") == 0
        dead.kill()
        await until(lambda: gauge(left, "links") == 1)
        await aside(dead.start)
    assert alerts(left, "vault") == ["sealed firing"]  # so it is; nobody has missed it


def vault(estate: Estate) -> Agent:
    """Enrolled at the first, and told of the second."""
    folder = estate.folder / "vault"
    folder.mkdir()
    more = [f"https://127.0.0.1:{estate.two.link_port}"]
    section = {"enabled": True, "heartbeat_interval": "1s", "endpoints": more}
    agent = served_agent(folder, {"control_plane": section})
    enrolled(estate.one, "vault", "--config", str(folder / "vault.yaml"))
    return agent


async def test_without_redis_they_go_on(both: Estate) -> None:
    """A policy, a command and a lock take seconds; once it is back they take none."""
    one, two = both.planes
    [mover, other] = at(both, 1, "deaf", "deaf-too")
    async with roaming(mover, other):
        await aside(both.redis.kill)
        await until(lambda: gauge(one, "others_heard") == gauge(two, "others_heard") == 0)
        await aside(push, one, "deaf", "deaf")
        one.want(201, "POST", f"{BASE}/agents/deaf/commands", {"command": "send_metrics"})
        await until(lambda: mover.linked.bundles == [1])
        await until(lambda: any(isinstance(x, m.Command) for x in mover.linked.heard))
        one.want(200, "POST", f"{BASE}/agents/deaf-too/lock", {"reason": "lost"})
        await until(lambda: other.talk is None)
        await aside(both.redis.start)
        await until(lambda: gauge(one, "others_heard") == gauge(two, "others_heard") == 1)
        one.want(200, "POST", f"{BASE}/agents/deaf/lock", {"reason": "lost"})
        await until(lambda: mover.talk is None, AT_ONCE)
    assert alerts(one, "deaf") == []


async def test_a_restart_of_the_database_is_survived(both: Estate) -> None:
    """One leads again, agents come back, and policies reach them."""
    movers = at(both, 0, "pg-one") + at(both, 1, "pg-two")
    async with roaming(*movers):
        both.database.stop()
        both.database.start()  # by this thread, with which it ends
        body = {"document": DOCUMENT}
        await until(
            lambda: both.one.ask("POST", f"{BASE}/policies/pg/versions", body).status == 201
        )
        await aside(push, both.one, "pg", "pg-one", "pg-two")
        await until(lambda: all(mover.linked.bundles == [1] for mover in movers))
        await until(lambda: sum(gauge(plane, "leads") for plane in both.planes) == 1)
        for name in ("pg-one", "pg-two"):
            await shows(both, name, "online")


async def test_who_does_not_belong_is_refused(both: Estate) -> None:
    """Without Redis, or with other keys; the password of a Redis is not told."""
    alone = both.plane("alone", redis=None)
    assert "database_taken" in alone.refused_start()
    stranger = both.plane("stranger", keys={"folder": str(both.folder / "strange")})
    assert "keys_differ" in stranger.refused_start()
    assert both.one.process
    assert both.two.process
