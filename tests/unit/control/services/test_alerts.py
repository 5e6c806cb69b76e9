"""Alerts are raised, told, acknowledged once, and kept until then."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.errors import NotFoundError
from control.model.records import Severity
from control.services.events import Topic


async def test_raised_told_acknowledged_swept(plane: Plane, world: FakeWorld) -> None:
    """The first to see it stays on record; unseen ones outlive every retention."""
    alerts = plane.alerts
    one = alerts.make("acme", "v", "x", Severity.INFO, "m")
    two = alerts.make("acme", "v", "y", Severity.INFO, "m")
    with plane.bus.subscribed(Topic.ALERT) as heard:
        await alerts.fire(one, two)
        events, _ = await heard.take()
    assert {e.subject for e in events} == {one.id, two.id}
    assert (await alerts.acknowledge("acme", one.id, "acme/ann", "mine")).note == "mine"
    assert (await alerts.acknowledge("acme", one.id, "acme/bob")).acknowledged_by == "acme/ann"
    with pytest.raises(NotFoundError):
        await alerts.acknowledge("other", one.id, "x")
    world.advance(2 * 86_400)
    await alerts.sweep(1)
    left = await alerts.page("acme", vault="", before=0, limit=9)
    assert [alert.id for alert in left] == [two.id]


async def test_a_page_begins_behind_an_alert_of_the_organization(plane: Plane) -> None:
    """Of nobody else's, and of none that is gone: it is not said that there is nothing more."""
    alerts = plane.alerts
    one, two = (alerts.make("acme", "v", code, Severity.INFO, "m") for code in "xy")
    await alerts.fire(one, two)
    wanted: Any = {"vault": "", "before": 0, "limit": 9}
    first, second = await alerts.page("acme", **wanted)
    assert await alerts.page("acme", **wanted, after=first.id) == [second]
    for org, after in (("other", first.id), ("acme", "gone")):
        with pytest.raises(NotFoundError):
            await alerts.page(org, **wanted, after=after)
