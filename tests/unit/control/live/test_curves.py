"""What control.live.curves promises."""

from actors.testing import FakeWorld
from control.core import Core
from control.live.hub import MAX_POINTS, LiveHub
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Page, metrics


async def test_points_are_told_as_they_are_made(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """By their second; those made before anybody looked are in the snapshot."""
    await enrolled(core, world, "v1")
    core.presence.record_message("acme", "v1")
    hub.on_message("acme", "v1", metrics(100, 0))
    hub.add_points()
    page.watch(1, "curves")
    await page.until(lambda: len(page.rows.get(1, {})) == 1)
    first = next(iter(page.rows[1].values()))
    assert first == {"requests": None, "errors": None, "p50": None, "p99": None, "online": 1}
    hub.on_message("acme", "v1", metrics(160, 600))
    page.hub._points["acme"].clear()
    hub.add_points()
    await page.until(lambda: [row["requests"] for row in page.rows[1].values()] == [10.0])


async def test_no_more_points_are_kept_than_the_bound(hub: LiveHub) -> None:
    """An hour's."""
    hub.on_message("acme", "v1", metrics(100, 0))
    for _ in range(MAX_POINTS + 5):
        hub.add_points()
    assert len(hub.curve_points("acme")) == MAX_POINTS
    assert hub.curve_points("nobody") == []
