"""How agents say that they are: one state everywhere, and alerts that begin and end with it."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.model.agents import AgentFilter, Health, Life, State
from control.model.records import Severity
from control.services.agent_health import health_report, record_health
from control.services.event_bus import Topic
from control.store.alerts import AlertFilter
from protocols.pki.names import AgentName
from tests.unit.control.fleet import enrolled

Codes = frozenset[str] | None


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
