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
    await plane.alerts.fire(foreign, mine)
    await page.until(lambda: mine.id in page.rows[1])
    assert page.rows[1][mine.id]["message"] == "the disk is low"
    assert page.rows[1][mine.id]["acknowledged_at"] == 0
    await plane.alerts.acknowledge("acme", mine.id, "acme/ann")
    plane.bus.publish(Event(Topic.TRAIL, "acme", mine.id, "alerts.acknowledge"))
    await page.until(lambda: page.rows[1][mine.id]["acknowledged_by"] == "acme/ann")
    assert list(page.rows[1]) == [mine.id]


async def test_the_oldest_go_when_there_are_many(plane: Plane, page: Page) -> None:
    """The page has the newest and all that are not resolved; REST has them all."""
    raised = [plane.alerts.make("acme", "", f"c{n}", Severity.INFO, "x") for n in range(NEWEST + 2)]
    await plane.alerts.fire(*raised)
    oldest = await plane.alerts.page("acme", vault="", before=0, limit=NEWEST + 2)
    await plane.alerts.acknowledge("acme", oldest[-1].id, "acme/ann")
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    assert len(page.rows[1]) == NEWEST + 1
    assert oldest[-1].id not in page.rows[1]
    assert oldest[-2].id in page.rows[1]
