"""What control.live.hub promises."""

import pytest
import trio

from actors.testing import FakeWorld
from control.api.control_plane import ControlPlane
from control.live.hub import LiveHub, ViewKey
from control.model.agents import Life
from protocols.live.requests import WatchRequestError
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Link, Page, metrics


async def test_browsers_share_a_projection(
    plane: ControlPlane, world: FakeWorld, hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens is read once, whoever looks, and told to all."""
    await enrolled(plane, world, "v1")
    reads = 0
    read = plane.store.read

    async def counted(query: object) -> object:
        nonlocal reads
        reads += 1
        return await read(query)  # type: ignore[arg-type]

    pages = [Page(hub) for _ in range(20)]
    for page in pages:
        page.watch(3, "fleet")
        await page.until(lambda page=page: "v1" in page.rows.get(3, {}))
    assert hub.view_count == 1
    monkeypatch.setattr(hub._around.store, "read", counted)
    await plane.agents.change_life("acme", "v1", Life.LOCKED, "")
    for page in pages:
        await page.until(lambda page=page: page.rows[3]["v1"]["life"] == "locked")
    assert reads <= 4  # the fleet's own, and those of the plane's jobs meanwhile


async def test_nothing_of_another_organization_reaches_a_page(
    plane: ControlPlane, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """Its events, words and links are not this one's."""
    await enrolled(plane, world, "v1")
    page.watch(1, "fleet", org="platform")
    await page.until(lambda: 1 in page.rows)
    hub.on_linked("acme", "v1", Link())
    hub.on_message("acme", "v1", metrics(100, 0))
    await plane.agents.change_life("acme", "v1", Life.LOCKED, "")
    await trio.sleep(0.3)
    page.take()
    assert page.rows == {1: {}}
    assert len(page.said) == 1


async def test_whoever_lost_events_reads_everything(
    plane: ControlPlane, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """A change that no event has told is found then."""
    await enrolled(plane, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))
    await plane.agents.set_tags("acme", "v1", ("silent",))
    plane.bus.mark_all_lost()
    await page.until(lambda: page.rows[1]["v1"]["tags"] == ["silent"])


async def test_a_page_that_leaves_is_told_nothing_more(
    plane: ControlPlane, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """And leaving twice is once."""
    await enrolled(plane, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))
    for _ in range(2):
        hub.unsubscribe(ViewKey("fleet", "acme", ""), page.feed, 1)
    hub.unsubscribe(ViewKey("fleet", "nobody", ""), page.feed, 1)
    hub.on_linked("acme", "v1", Link())
    await trio.sleep(0.2)
    assert not page.take()


async def test_one_watch_too_many_is_refused(hub: LiveHub, page: Page) -> None:
    """By the feed's own bound."""
    for number in range(16):
        page.watch(number, "alerts")
    with pytest.raises(WatchRequestError):
        page.watch(16, "alerts")


async def test_a_view_is_forgotten_when_it_was_left(
    plane: ControlPlane, hub: LiveHub, page: Page, autojump_clock: object
) -> None:
    """So that looking at thousands of agents one after the other leaves nothing behind."""
    page.watch(1, "alerts")
    await trio.sleep(0.2)
    assert hub.view_count == 1
    hub.unsubscribe(ViewKey("alerts", "acme", ""), page.feed, 1)
    await trio.sleep(70)
    assert hub.view_count == 0
    assert not hub._by_org
