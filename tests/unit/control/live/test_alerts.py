"""What control.live.alerts promises."""

from control.api.plane import Plane
from control.live.alerts import NEWEST
from control.model.records import Severity
from control.services.events import Event, Topic
from tests.unit.control.live.conftest import Page


async def test_alerts_are_seen_as_they_are_raised_and_acknowledged(
    plane: Plane, page: Page
) -> None:
    """Whoever did it; those of another organization are not."""
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    mine = plane.alerts.make("acme", "v1", "disk_low", Severity.WARNING, "the disk is low")
    foreign = plane.alerts.make("platform", "", "disk_low", Severity.WARNING, "not for you")
    await plane.alerts.raise_(foreign, mine)
    await page.until(lambda: mine.id in page.rows[1])
    assert page.rows[1][mine.id]["message"] == "the disk is low"
    assert page.rows[1][mine.id]["acknowledged_at"] == 0
    await plane.alerts.acknowledge("acme", mine.id, "acme/ann")
    plane.bus.publish(Event(Topic.TRAIL, "acme", mine.id, "alerts.acknowledge"))
    await page.until(lambda: page.rows[1][mine.id]["acknowledged_by"] == "acme/ann")
    assert list(page.rows[1]) == [mine.id]


async def test_the_oldest_go_when_there_are_many(plane: Plane, page: Page) -> None:
    """The page has the newest; REST has them all."""
    raised = [plane.alerts.make("acme", "", f"c{n}", Severity.INFO, "x") for n in range(NEWEST + 1)]
    await plane.alerts.raise_(*raised)
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    assert len(page.rows[1]) == NEWEST
