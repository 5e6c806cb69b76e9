"""A fault is told once an hour for each agent, with how often it was."""

import pytest

from control.gateway import protocol_alerts
from control.gateway.protocol_alerts import ALERT_INTERVAL, ProtocolAlerts
from protocols.link.errors import Fault
from protocols.pki.names import AgentName
from tests.unit.control.gateway.wired import Hub

ONE, TWO = AgentName("acme", "one"), AgentName("acme", "two")


async def told(hub: Hub) -> list[tuple[str, str, int, str]]:
    """Oldest first."""
    page = hub.core.agents.alerts.list_alerts("acme", vault="", before=0, limit=100)
    return [(row.vault, row.code, row.count, row.message) for row in reversed(await page)]


async def test_each_agent_once_an_hour(hub: Hub) -> None:
    """However often it comes back with the same; then with how often that was."""
    made = ProtocolAlerts(hub.core.agents.alerts, hub.world)
    for _ in range(50):
        await made.report_fault(ONE, Fault.SIGNATURE)
    hub.world.advance(1)
    await made.report_fault(TWO, Fault.SEQUENCE)
    assert [row[:3] for row in await told(hub)] == [
        ("one", "link_fault", 1),
        ("two", "link_fault", 1),
    ]
    hub.world.advance(ALERT_INTERVAL)
    await made.report_fault(ONE, Fault.GAP)
    one, _ = await told(hub)
    assert one[:3] == ("one", "link_fault", 51)
    assert "(gap)" in one[3]


async def test_an_agent_that_is_ahead_of_us_is_told_beside_its_faults(hub: Hub) -> None:
    """Another kind, with an hour of its own."""
    made = ProtocolAlerts(hub.core.agents.alerts, hub.world)
    await made.report_fault(ONE, Fault.GAP)
    for _ in range(3):
        hub.world.advance(1)
        await made.report_rollback(ONE)
    assert [code for _, code, *_ in await told(hub)] == ["link_fault", "link_lost"]


async def test_silence_is_presence_and_no_fault(hub: Hub) -> None:
    """That an agent is gone is told by its presence."""
    await ProtocolAlerts(hub.core.agents.alerts, hub.world).report_fault(ONE, Fault.TIMEOUT)
    assert await told(hub) == []


async def test_what_is_remembered_is_bounded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was told of longest ago is forgotten, and told of anew."""
    monkeypatch.setattr(protocol_alerts, "REMEMBERED", 1)
    made = ProtocolAlerts(hub.core.agents.alerts, hub.world)
    for name in (ONE, TWO, ONE):
        await made.report_fault(name, Fault.SIGNATURE)
        hub.world.advance(1)
    assert [row[:3] for row in await told(hub)] == [
        ("one", "link_fault", 2),
        ("two", "link_fault", 1),
    ]
