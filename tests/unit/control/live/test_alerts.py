"""What control.live.alerts promises."""

from control.core import Core
from control.live.alerts import MAX_NEWEST
from control.model.records import Severity
from control.services.event_bus import Event, Topic
from tests.unit.control.live.conftest import Page


async def test_alerts_are_seen_as_they_are_raised_and_acknowledged(core: Core, page: Page) -> None:
    """Whoever did it; those of another organization are not."""
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    mine = core.agents.alerts.new_alert(
        "acme", "v1", "disk_low", Severity.WARNING, "the disk is low"
    )
    foreign = core.agents.alerts.new_alert(
        "platform", "", "disk_low", Severity.WARNING, "not for you"
    )
    await core.agents.alerts.fire_alerts(foreign, mine)
    await page.until(lambda: mine.id in page.rows[1])
    assert page.rows[1][mine.id]["message"] == "the disk is low"
    assert page.rows[1][mine.id]["acknowledged_at"] == 0
    await core.agents.alerts.acknowledge_alert("acme", mine.id, "acme/ann")
    core.bus.publish(Event(Topic.TRAIL, "acme", mine.id, "alerts.acknowledge"))
    await page.until(lambda: page.rows[1][mine.id]["acknowledged_by"] == "acme/ann")
    assert list(page.rows[1]) == [mine.id]


async def test_the_oldest_go_when_there_are_many(core: Core, page: Page) -> None:
    """The page has the newest and all that are not resolved; REST has them all."""
    raised = [
        core.agents.alerts.new_alert("acme", "", f"c{n}", Severity.INFO, "x")
        for n in range(MAX_NEWEST + 2)
    ]
    await core.agents.alerts.fire_alerts(*raised)
    oldest = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=MAX_NEWEST + 2)
    await core.agents.alerts.acknowledge_alert("acme", oldest[-1].id, "acme/ann")
    page.watch(1, "alerts")
    await page.until(lambda: 1 in page.rows)
    assert len(page.rows[1]) == MAX_NEWEST + 1
    assert oldest[-1].id not in page.rows[1]
    assert oldest[-2].id in page.rows[1]
