"""All topics that somebody follows: each is read a few times a second for all who do."""

import logging
from typing import Final

import trio

from actors.world import World
from protocols.errors import locate
from protocols.live.collection import LiveCollection
from protocols.live.feed import LiveFeed
from vault.errors import VaultError
from vault.model.live_topics import ReadTopic

POLL_INTERVAL: Final = 0.1
"""Seconds between two readings; one that took longer is followed by a rest of four times that."""
POLL_REST_FACTOR: Final = 4.0

log: Final = logging.getLogger("freehold.live")


class TopicHub:
    """`run` it; browsers `subscribe` and `unsubscribe`. A topic's name is its reader."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[ReadTopic, _Topic] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def subscribe(self, read: ReadTopic, feed: LiveFeed, number: int) -> None:
        """Have the feed told of this. Raises `WatchRequestError` for one watch too many."""
        topic = self._kept.get(read)
        if topic is None:
            if self._nursery is None:
                raise RuntimeError("the hub does not run")
            topic = self._kept[read] = _Topic(read, self._world)
            self._nursery.start_soon(self._keep, topic)
        feed.add_watch(number, topic.collection)
        topic.followers[feed, number] = None

    def unsubscribe(self, read: ReadTopic, feed: LiveFeed, number: int) -> None:
        """No longer; may be repeated."""
        if (topic := self._kept.get(read)) is not None:
            topic.followers.pop((feed, number), None)

    def __len__(self) -> int:
        return len(self._kept)

    async def _keep(self, topic: "_Topic") -> None:
        while topic.followers:
            began = self._world.monotonic()
            await topic.poll()
            await self._world.sleep(
                max(POLL_INTERVAL, POLL_REST_FACTOR * (self._world.monotonic() - began))
            )
        del self._kept[topic.read]


class _Topic:
    def __init__(self, read: ReadTopic, world: World) -> None:
        self.read = read
        self.collection = LiveCollection()
        self.followers: dict[tuple[LiveFeed, int], None] = {}
        self._world = world

    async def poll(self) -> None:
        """Read, and tell what has changed."""
        try:
            self.collection.replace_rows(await self.read())
        except VaultError as error:
            log.info("a live topic cannot be read: %s", error.code)
            return
        except Exception as error:  # noqa: BLE001  # told; the others go on
            log.error("a live topic failed: %s", locate(error))  # noqa: TRY400  # its text could hold anything
            return
        body = self.collection.take_changes()
        for feed, number in self.followers:
            if body is not None:
                feed.enqueue_changes(number, body)
            else:
                feed.notify_ready()
