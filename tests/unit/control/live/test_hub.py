"""What control.live.hub promises."""

from typing import Any

import pytest
import trio

from actors.testing import FakeWorld
from control.core import Core
from control.errors import UnavailableError
from control.live.hub import LINGER_SECONDS, LiveHub, ProjectionWorker, ViewKey
from control.live.projection import Projection
from control.model.agents import Life
from protocols.live.feed import LiveFeed
from protocols.live.limits import LiveLimits
from protocols.live.requests import WatchRequestError
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Link, Page, TrioWorld, metrics


async def test_browsers_share_a_projection(
    core: Core, world: FakeWorld, hub: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens is read once, whoever looks, and told to all."""
    await enrolled(core, world, "v1")
    reads = 0
    read = core.store.read

    async def counted(query: object) -> object:
        nonlocal reads
        reads += 1
        return await read(query)  # type: ignore[arg-type]

    pages = [Page(hub) for _ in range(20)]
    for page in pages:
        page.watch(3, "fleet")
        await page.until(lambda page=page: "v1" in page.rows.get(3, {}))
    assert hub.view_count == 1
    monkeypatch.setattr(hub._projection_context.store, "read", counted)
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "")
    for page in pages:
        await page.until(lambda page=page: page.rows[3]["v1"]["life"] == "locked")
    assert reads <= 4  # the fleet's own, and those of the plane's jobs meanwhile


async def test_nothing_of_another_organization_reaches_a_page(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """Its events, words and links are not this one's."""
    await enrolled(core, world, "v1")
    page.watch(1, "fleet", org="platform")
    await page.until(lambda: 1 in page.rows)
    hub.on_linked("acme", "v1", Link())
    hub.on_message("acme", "v1", metrics(100, 0))
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "")
    await trio.sleep(0.3)
    page.take()
    assert page.rows == {1: {}}
    assert len(page.said) == 1


async def test_whoever_lost_events_reads_everything(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """A change that no event has told is found then."""
    await enrolled(core, world, "v1")
    page.watch(1, "fleet")
    await page.until(lambda: "v1" in page.rows.get(1, {}))
    await core.agents.registry.set_tags("acme", "v1", ("silent",))
    core.bus.mark_all_lost()
    await page.until(lambda: page.rows[1]["v1"]["tags"] == ["silent"])


async def test_a_page_that_leaves_is_told_nothing_more(
    core: Core, world: FakeWorld, hub: LiveHub, page: Page
) -> None:
    """And leaving twice is once."""
    await enrolled(core, world, "v1")
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
    core: Core, hub: LiveHub, page: Page, autojump_clock: object
) -> None:
    """So that looking at thousands of agents one after the other leaves nothing behind."""
    page.watch(1, "alerts")
    await trio.sleep(0.2)
    assert hub.view_count == 1
    hub.unsubscribe(ViewKey("alerts", "acme", ""), page.feed, 1)
    await trio.sleep(70)
    assert hub.view_count == 0
    assert not hub._by_org


class Counted(Projection):
    """One row that says how often it was loaded and refreshed."""

    def __init__(self) -> None:
        super().__init__(None, "acme", "")  # type: ignore[arg-type]  # it asks nobody
        self.loads = self.refreshes = 0
        self.failures: list[Exception] = []
        self.takes = 0.0
        self.parts = 0

    @property
    def has_more(self) -> bool:
        """See `Projection`."""
        return self.parts > 0

    async def load(self) -> None:
        """See `Projection`."""
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        self.loads += 1
        self._set()

    async def refresh(self) -> None:
        """See `Projection`."""
        await trio.sleep(self.takes)
        self.parts = max(0, self.parts - 1)
        self.refreshes += 1
        self._set()

    def _set(self) -> None:
        row: dict[str, Any] = {"loads": self.loads, "refreshes": self.refreshes}
        self.collection.replace_rows({"row": row})


@pytest.fixture
def projection() -> Counted:
    """Of nothing."""
    return Counted()


@pytest.fixture
async def worker(
    projection: Counted, nursery: trio.Nursery, autojump_clock: object
) -> ProjectionWorker:
    """That runs."""
    made = ProjectionWorker(projection, TrioWorld())
    nursery.start_soon(made.run, lambda worker: not worker.has_subscribers)
    return made


def feed_of(worker: ProjectionWorker) -> LiveFeed:
    """One that follows."""
    feed = LiveFeed(LiveLimits(), lambda: None)
    feed.add_watch(1, worker.projection.collection)
    worker.subscribe(feed, 1)
    return feed


async def test_nothing_is_read_before_somebody_follows(
    worker: ProjectionWorker, projection: Counted, autojump_clock: object
) -> None:
    """Then at once."""
    await trio.sleep(5)
    assert projection.loads == 0
    feed = feed_of(worker)
    await trio.sleep(0.1)
    assert projection.loads == 1
    assert feed.next_message() == '{"id":1,"seq":1,"snapshot":{"row":{"loads":1,"refreshes":0}}}'


async def test_what_happens_within_a_moment_is_one_message(
    worker: ProjectionWorker, projection: Counted, autojump_clock: object
) -> None:
    """Told within 100 ms of the first of it."""
    feed = feed_of(worker)
    await trio.sleep(1)
    feed.next_message()
    for _ in range(5):
        worker.wake()
        await trio.sleep(0.005)
    await trio.sleep(0.07)
    assert projection.refreshes == 1
    assert feed.next_message() == '{"id":1,"seq":2,"rows":{"row":{"refreshes":1}}}'


async def test_everything_is_read_anew_now_and_then_however_busy_it_is(
    worker: ProjectionWorker, projection: Counted, autojump_clock: object
) -> None:
    """What no event has told is found so."""
    feed_of(worker)
    for _ in range(700):
        worker.wake()
        await trio.sleep(0.1)
    assert projection.loads == 3
    assert projection.refreshes > 100


async def test_a_slow_projection_leaves_time_for_others(
    worker: ProjectionWorker, projection: Counted, autojump_clock: object
) -> None:
    """It works a fifth of the time at most."""
    feed_of(worker)
    await trio.sleep(1)
    projection.takes = 1.0
    for _ in range(200):
        worker.wake()
        await trio.sleep(0.1)
    assert projection.refreshes <= 5


async def test_what_is_done_in_parts_goes_on_by_itself(
    worker: ProjectionWorker, projection: Counted, autojump_clock: object
) -> None:
    """Each part is told, with a rest between two of them; without a follower it waits."""
    feed = feed_of(worker)
    await trio.sleep(1)
    feed.next_message()
    projection.parts = 20
    worker.wake()
    await trio.sleep(0.5)
    assert 5 <= projection.refreshes < 20
    assert feed.next_message() == '{"id":1,"seq":2,"rows":{"row":{"refreshes":1}}}'
    worker.unsubscribe(feed, 1)
    await trio.sleep(1)
    assert projection.parts
    worker.subscribe(feed, 1)
    await trio.sleep(2)
    assert (projection.parts, projection.refreshes) == (0, 20)


@pytest.mark.parametrize("error", [UnavailableError("store_down", "away"), ValueError("a bug")])
async def test_a_failure_is_tried_again(
    worker: ProjectionWorker, projection: Counted, autojump_clock: object, error: Exception
) -> None:
    """The others never know; what was missed is read with everything."""
    projection.failures = [error, error]
    feed = feed_of(worker)
    await trio.sleep(0.5)
    assert feed.next_message() is None
    await trio.sleep(20)
    assert projection.loads == 1
    assert feed.next_message() is not None


async def test_it_ends_when_nobody_has_followed_for_a_while(
    projection: Counted, autojump_clock: object
) -> None:
    """Not at once: pages come back."""
    worker = ProjectionWorker(projection, TrioWorld())
    ended = trio.Event()

    async def run() -> None:
        await worker.run(lambda worker: not worker.has_subscribers)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        feed = feed_of(worker)
        await trio.sleep(100)
        assert worker.has_subscribers
        assert not ended.is_set()
        worker.unsubscribe(feed, 1)
        await trio.sleep(LINGER_SECONDS / 2)
        assert not ended.is_set()
        with trio.fail_after(3 * LINGER_SECONDS):
            await ended.wait()
