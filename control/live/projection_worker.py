"""Keeps one projection true while somebody follows it, and hands its changes on."""

import logging
from collections.abc import Callable
from typing import Final

import trio

from actors import World
from control.errors import ControlError
from control.live.projection import Projection
from protocols.errors import locate
from protocols.live.feed import LiveFeed
from protocols.live.limits import MERGE_SECONDS

RETRY_SECONDS: Final = 1.0
"""Seconds until a database that did not answer is asked again."""
MAX_BUSY_SHARE: Final = 4.0
"""A projection rests at least so many times as long as it worked: a fifth of the loop at most."""
LINGER_SECONDS: Final = 30.0
"""Seconds for which it is kept when the last browser has left: pages come back."""

log: Final = logging.getLogger("freehold.control.live")


class ProjectionWorker:
    """One projection, its followers and its task."""

    def __init__(self, projection: Projection, world: World) -> None:
        self.projection = projection
        self._world = world
        self._followers: dict[tuple[LiveFeed, int], None] = {}
        self._stirred = trio.Event()
        self._reload = True
        self._left = world.monotonic()  # when one left

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody follows."""
        return bool(self._followers)

    def subscribe(self, feed: LiveFeed, number: int) -> None:
        """From now on this browser is told, under its number."""
        self._followers[feed, number] = None
        self._stirred.set()

    def unsubscribe(self, feed: LiveFeed, number: int) -> None:
        """No longer."""
        self._followers.pop((feed, number), None)
        self._left = self._world.monotonic()

    def wake(self) -> None:
        """There is something to do."""
        self._stirred.set()

    def request_reload(self) -> None:
        """Something may have been missed."""
        self._reload = True
        self._stirred.set()

    async def run(self, over: Callable[["ProjectionWorker"], bool]) -> None:
        """Until nobody has followed for a while, and `over` agrees."""
        looked = began = self._world.monotonic()
        while True:
            self._stirred = trio.Event()
            if began - looked >= self.projection.reload_interval:
                looked, self._reload = began, True
                if began - self._left >= LINGER_SECONDS and over(self):
                    return
            if self._followers and await self._refresh():
                self._send_changes()
            now = self._world.monotonic()
            if not (self._followers and self.projection.has_more):
                with trio.move_on_after(max(0.0, looked + self.projection.reload_interval - now)):
                    await self._stirred.wait()
            await self._world.sleep(max(MERGE_SECONDS, MAX_BUSY_SHARE * (now - began)))
            began = self._world.monotonic()

    async def _refresh(self) -> bool:
        """Bring the projection up to date; whether that went well."""
        reload, self._reload = self._reload, False
        try:
            await (self.projection.load() if reload else self.projection.refresh())
        except ControlError as error:
            log.warning("a live view waits for the database: %s", error.code)
        except Exception as error:  # noqa: BLE001  # told; the others go on
            log.error("a live view failed: %s", locate(error))  # noqa: TRY400  # its text could hold anything
        else:
            return True
        self._reload = True
        self._stirred.set()
        await self._world.sleep(RETRY_SECONDS)
        return False

    def _send_changes(self) -> None:
        body = self.projection.collection.take_changes()
        for feed, number in self._followers:
            if body is not None:
                feed.enqueue_changes(number, body)
            else:
                feed.notify_ready()
