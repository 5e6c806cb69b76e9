"""How agents say that they are: one state everywhere, and alerts that begin and end with it."""

import pytest

from actors.testing import FakeWorld
from control.api.control_plane import ControlPlane
from control.model.agents import AgentFilter, Health, Life, State
from control.model.records import Severity
from control.services.agent_health import health_report, record_health
from control.services.event_bus import Topic
from control.store.alerts import AlertFilter
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

Codes = frozenset[str] | None


async def say(
    plane: ControlPlane, health: str, codes: Codes = frozenset(), vaults: tuple[str, ...] = ("v1",)
) -> list[Topic]:
    """Heartbeats of these agents, together; what is published."""
    said = [
        health_report(AgentName("acme", vault), health, "online", codes, plane.world)
        for vault in vaults
    ]
    events = await plane.store.write(lambda tx: record_health(tx, said))
    for each in said:
        plane.presence.set_health(*each.name, each.health)
    return [event.topic for some in events for event in some]


async def firing(plane: ControlPlane, vault: str = "v1") -> dict[str, Severity]:
    """Its alerts that are not resolved."""
    narrow = AlertFilter(state="open")
    found = await plane.alerts.list_alerts("acme", vault=vault, before=0, limit=9, narrow=narrow)
    return {alert.code: alert.severity for alert in found}


async def test_an_agent_that_comes_sealed_has_an_alert_until_it_is_open(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """Critical and once, also if nothing happened while it was linked; its state says so."""
    await enrolled(plane, world, "v1")
    plane.presence.record_message("acme", "v1")
    await plane.presence.update()
    assert await say(plane, "sealed") == [Topic.HEALTH, Topic.ALERT]
    assert await say(plane, "sealed") == []
    assert await firing(plane) == {"sealed": Severity.CRITICAL}
    agent = await plane.agents.get_agent("acme", "v1")
    assert (agent.state, agent.health) == (State.SEALED, Health.SEALED)
    assert plane.presence.count_by_status()[State.SEALED] == 1
    assert plane.presence.count_by_status()[State.ONLINE] == 0
    assert await plane.agents.count_agents(9) == [("acme", 1, 0)]
    await say(plane, "serving")
    assert await firing(plane) == {}
    assert (await plane.agents.get_agent("acme", "v1")).state is State.ONLINE
    assert await plane.agents.count_agents(9) == [("acme", 1, 1)]


async def test_an_agent_that_refuses_is_not_online(plane: ControlPlane, world: FakeWorld) -> None:
    """Its disk is full: an alert for what it is and one for why, both over with it."""
    await enrolled(plane, world, "v1")
    plane.presence.record_message("acme", "v1")
    await plane.presence.update()
    await say(plane, "refusing", frozenset({"audit_sink_failed"}))
    critical = Severity.CRITICAL
    assert await firing(plane) == {"refusing": critical, "audit_sink_failed": critical}
    assert (await plane.agents.get_agent("acme", "v1")).state is State.REFUSING
    await say(plane, "serving", frozenset({"audit_sink_failed"}))
    assert await firing(plane) == {"audit_sink_failed": critical}
    assert (await plane.agents.get_agent("acme", "v1")).state is State.DEGRADED
    await say(plane, "serving")
    assert await firing(plane) == {}


async def test_a_sealed_agent_cannot_say_that_the_rest_is_well(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """Its audit log is shut: what it said of it stands."""
    await enrolled(plane, world, "v1")
    await say(plane, "refusing", frozenset({"audit_sink_failed"}))
    await say(plane, "sealed")
    assert set(await firing(plane)) == {"sealed", "audit_sink_failed"}


async def test_an_older_agent_ends_what_its_health_says(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """It has no list of conditions: what it raised otherwise is not over by that."""
    await enrolled(plane, world, "v1")
    await say(plane, "sealed", frozenset({"store_failed"}))
    await say(plane, "serving", frozenset({"store_failed"}))
    await say(plane, "sealed", None)
    await say(plane, "serving", None)
    assert set(await firing(plane)) == {"store_failed"}


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
    plane: ControlPlane, world: FakeWorld, code: str, severity: Severity
) -> None:
    """With its own severity, and an agent that has one is degraded."""
    await enrolled(plane, world, "v1")
    await say(plane, "serving", frozenset({code}))
    assert await firing(plane) == {code: severity}
    assert (await plane.agents.get_agent("acme", "v1")).health is Health.DEGRADED
    await say(plane, "serving")
    assert await firing(plane) == {}


async def test_many_agents_at_once(plane: ControlPlane, world: FakeWorld) -> None:
    """Each has its own alert; what is over is over for those alone."""
    vaults = ("v1", "v2", "v3")
    await enrolled(plane, world, *vaults)
    await say(plane, "sealed", vaults=vaults)
    await say(plane, "serving", vaults=("v1", "v3"))
    assert [len(await firing(plane, vault)) for vault in vaults] == [0, 1, 0]


async def test_every_state_is_found_as_it_is_shown(plane: ControlPlane, world: FakeWorld) -> None:
    """The filter and the word for an agent never disagree."""
    await enrolled(plane, world, "v1", "v2", "v3", "v4")
    for vault in ("v1", "v2", "v3"):
        plane.presence.record_message("acme", vault)
    await plane.presence.update()
    await say(plane, "sealed", vaults=("v1",))
    await say(plane, "serving", frozenset({"store_failed"}), vaults=("v2",))
    for state in State:
        found = await plane.agents.find_agents("acme", AgentFilter(state=state))
        assert all(agent.state is state for agent in found)
        names = {"sealed": ["v1"], "degraded": ["v2"], "online": ["v3"], "unknown": ["v4"]}
        assert [agent.vault for agent in found] == names.get(state, [])


@pytest.mark.parametrize("said", ["sealed", "refusing", "serving"])
async def test_a_locked_agent_says_nothing(
    plane: ControlPlane, world: FakeWorld, said: str
) -> None:
    """A word that was on its way when it was locked changes nothing."""
    await enrolled(plane, world, "v1")
    await plane.agents.change_life("acme", "v1", Life.LOCKED, "lost")
    await say(plane, said)
    assert (await plane.agents.get_agent("acme", "v1")).health is Health.UNSAID
    assert await firing(plane) == {}
