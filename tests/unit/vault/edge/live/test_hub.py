"""Each topic is read once for all who follow it, and only while somebody does."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from protocols.live.feed import LiveFeed
from protocols.live.limits import LiveLimits
from vault.edge.live.hub import POLL_INTERVAL, TopicHub
from vault.errors import UnavailableError
from vault.model.live_topics import TopicRows


class Source:
    """Counts how often it was read."""

    def __init__(self) -> None:
        self.reads = 0
        self.fault: Exception | None = None

    async def read(self) -> TopicRows:
        """A row with the count."""
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return {"now": {"reads": self.reads}}


def feed() -> LiveFeed:
    """A browser's."""
    return LiveFeed(LiveLimits(), lambda: None)


async def on(world: FakeWorld) -> None:
    """Until the next reading is done."""
    await wait_all_tasks_blocked()
    world.advance(POLL_INTERVAL)
    await wait_all_tasks_blocked()


async def test_one_reading_for_all(nursery: trio.Nursery) -> None:
    """Two browsers, one read; both are told; with the last one the reading ends."""
    world, source = FakeWorld(), Source()
    hub, one, two, read = TopicHub(world), feed(), feed(), source.read
    await nursery.start(hub.run)
    hub.subscribe(read, one, 1)
    hub.subscribe(read, two, 5)
    await wait_all_tasks_blocked()
    assert (source.reads, len(hub)) == (1, 1)
    assert one.next_message() == '{"id":1,"seq":1,"snapshot":{"now":{"reads":1}}}'
    await on(world)
    assert one.next_message() == '{"id":1,"seq":2,"rows":{"now":{"reads":2}}}'
    assert (two.next_message() or "").startswith('{"id":5,"seq":1,"snapshot":')
    hub.unsubscribe(read, one, 1)
    hub.unsubscribe(read, two, 5)
    await on(world)
    assert (source.reads, len(hub)) == (2, 0)


@pytest.mark.parametrize("fault", [UnavailableError("sealed", "sealed"), KeyError("hunter2")])
async def test_what_cannot_be_read_for_now_is_read_again(
    nursery: trio.Nursery, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a sealed vault nor a fault of ours ends the feed, and no text of it is logged."""
    world, source, browser = FakeWorld(), Source(), feed()
    hub, read = TopicHub(world), source.read
    await nursery.start(hub.run)
    source.fault = fault
    hub.subscribe(read, browser, 1)
    await wait_all_tasks_blocked()
    assert browser.next_message() is None
    source.fault = None
    await on(world)
    assert browser.next_message() == '{"id":1,"seq":1,"snapshot":{"now":{"reads":2}}}'
    assert "hunter2" not in caplog.text
