"""Alerts are raised, told, acknowledged once, and kept until then."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import NotFoundError
from control.model.agents import Life
from control.model.conditions import AGENT_LOCKED, CONDITIONS, CONTRADICTED
from control.model.records import AlertState, Severity
from control.services.event_bus import Topic
from control.store import alerts as rows


async def test_raised_told_acknowledged_swept(core: Core, world: FakeWorld) -> None:
    """The first to see it stays on record; unseen ones outlive every retention."""
    alerts = core.agents.alerts
    one = alerts.new_alert("acme", "v", "x", Severity.INFO, "m")
    two = alerts.new_alert("acme", "v", "y", Severity.INFO, "m")
    with core.bus.subscribe(Topic.ALERT) as heard:
        await alerts.fire_alerts(one, two)
        events, _ = await heard.receive()
    assert {e.subject for e in events} == {one.id, two.id}
    assert (await alerts.acknowledge_alert("acme", one.id, "acme/ann", "mine")).note == "mine"
    assert (
        await alerts.acknowledge_alert("acme", one.id, "acme/bob")
    ).acknowledged_by == "acme/ann"
    with pytest.raises(NotFoundError):
        await alerts.acknowledge_alert("other", one.id, "x")
    world.advance(2 * 86_400)
    await alerts.delete_older(1)
    left = await alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert [alert.id for alert in left] == [two.id]


async def test_a_page_begins_behind_an_alert_of_the_organization(core: Core) -> None:
    """Of nobody else's, and of none that is gone: it is not said that there is nothing more."""
    alerts = core.agents.alerts
    one, two = (alerts.new_alert("acme", "v", code, Severity.INFO, "m") for code in "xy")
    await alerts.fire_alerts(one, two)
    wanted: Any = {"vault": "", "before": 0, "limit": 9}
    first, second = await alerts.list_alerts("acme", **wanted)
    assert await alerts.list_alerts("acme", **wanted, after=first.id) == [second]
    for org, after in (("other", first.id), ("acme", "gone")):
        with pytest.raises(NotFoundError):
            await alerts.list_alerts(org, **wanted, after=after)


@pytest.mark.parametrize("code", sorted(CONDITIONS))
async def test_what_holds_is_acknowledged_and_not_resolved(core: Core, code: str) -> None:
    """Whoever has seen a condition has not ended it."""
    alert = core.agents.alerts.new_alert("acme", "v", code, Severity.CRITICAL, "m")
    await core.agents.alerts.fire_alerts(alert)
    seen = await core.agents.alerts.acknowledge_alert("acme", alert.id, "acme/ann")
    assert seen.state is AlertState.ACKNOWLEDGED


async def test_what_nothing_ends_is_over_when_it_was_seen(core: Core) -> None:
    """Such as a lockout."""
    alert = core.agents.alerts.new_alert("acme", "v", "lockout", Severity.WARNING, "m")
    await core.agents.alerts.fire_alerts(alert)
    seen = await core.agents.alerts.acknowledge_alert("acme", alert.id, "acme/ann")
    assert seen.state is AlertState.RESOLVED


async def test_a_locked_agent_is_an_alert_until_it_is_enrolled_or_retired(
    core: Core,
) -> None:
    """A lock ends what is only heard of the agent; nothing is left of one that is retired."""
    codes = {AGENT_LOCKED, "agent_offline", *CONTRADICTED}

    async def left(life: Life) -> set[str]:
        made = [
            core.agents.alerts.new_alert("acme", "v", each, Severity.CRITICAL, "m")
            for each in codes
        ]
        await core.agents.alerts.fire_alerts(*made)
        await core.store.write(lambda tx: rows.follow_life(tx, "acme", "v", life, 9))
        found = await core.agents.alerts.list_alerts("acme", vault="v", before=0, limit=99)
        return {alert.code for alert in found if alert.state is AlertState.FIRING}

    assert await left(Life.LOCKED) == codes - {"agent_offline"}
    assert await left(Life.ACTIVE) == codes - {AGENT_LOCKED}
    assert await left(Life.RETIRED) == set()
