"""The live views of one process: dispatches what happens to every projection that shows it.

Inputs are the bus (changes of the store), messages of agents, and their links.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

import trio

from actors import World
from control.errors import ControlError
from control.gateway.link_observer import ObservedLink
from control.live.projection import Projection, ProjectionContext
from control.live.rates import RequestRates
from control.live.topics import TOPICS
from control.model.agents import SERVING
from control.services.event_bus import EventBus, Topic
from control.services.presence import PresenceTracker
from control.store.store import Store
from protocols.errors import locate
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.live.feed import LiveFeed
from protocols.live.limits import MERGE_SECONDS

POINT_INTERVAL: Final = 10
"""Seconds from one point of the curves to the next."""
MAX_POINTS: Final = 360
"""Of an organization: an hour."""

CurvePoint = tuple[int, dict[str, Any]]
RETRY_SECONDS: Final = 1.0
"""Seconds until a database that did not answer is asked again."""
MAX_BUSY_SHARE: Final = 4.0
"""A projection rests at least so many times as long as it worked: a fifth of the loop at most."""
LINGER_SECONDS: Final = 30.0
"""Seconds for which it is kept when the last browser has left: pages come back."""

log: Final = logging.getLogger("freehold.control.live")


class ProjectionWorker:
    """One projection, its subscribers and its task."""

    def __init__(self, projection: Projection, world: World) -> None:
        self.projection = projection
        self._world = world
        self._followers: dict[tuple[LiveFeed, int], None] = {}
        self._stirred = trio.Event()
        self._reload = True
        self._left = world.monotonic()  # when one left

    @property
    def has_subscribers(self) -> bool:
        """Whether there is any subscriber."""
        return bool(self._followers)

    def subscribe(self, feed: LiveFeed, number: int) -> None:
        """Send this feed the changes, under its number."""
        self._followers[feed, number] = None
        self._stirred.set()

    def unsubscribe(self, feed: LiveFeed, number: int) -> None:
        """Stop that."""
        self._followers.pop((feed, number), None)
        self._left = self._world.monotonic()

    def wake(self) -> None:
        """Have the task look for changes."""
        self._stirred.set()

    def request_reload(self) -> None:
        """Have the task read everything: something may have been missed."""
        self._reload = True
        self._stirred.set()

    async def run(self, over: Callable[["ProjectionWorker"], bool]) -> None:
        """Run until there was no subscriber for a while, and `over` agrees."""
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
        """Bring the projection up to date; False if that failed and has to be repeated."""
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


class ViewKey(NamedTuple):
    """Topic, organization and subject of a view."""

    topic: str
    org: str
    of: str


class LiveHub:
    """`run` it; feeds `subscribe` and `unsubscribe`, the gateway reports links and messages."""

    def __init__(
        self, store: Store, bus: EventBus, presence: PresenceTracker, world: World
    ) -> None:
        self._bus = bus
        self._world = world
        self._links: dict[tuple[str, str], ObservedLink] = {}
        self._glimpses: dict[tuple[str, str], m.Glimpse] = {}
        self._points: dict[str, deque[CurvePoint]] = {}
        self._workers: dict[ViewKey, ProjectionWorker] = {}
        self._by_org: dict[str, dict[ViewKey, ProjectionWorker]] = {}
        self._nursery: trio.Nursery | None = None
        self._presence = presence
        self.rates = RequestRates()
        self._projection_context = ProjectionContext(store, presence, self.rates, self, world)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._follow_events)
            self._nursery.start_soon(self._add_points_periodically)
            task_status.started()

    # --- browsers ---------------------------------------------------------------------------------

    def subscribe(self, view: ViewKey, feed: LiveFeed, number: int) -> None:
        """Send the feed this view. Raises `WatchRequestError` for one subscription too many."""
        worker = self._workers.get(view) or self._start_worker(view)
        feed.add_watch(number, worker.projection.collection)
        worker.subscribe(feed, number)

    def unsubscribe(self, view: ViewKey, feed: LiveFeed, number: int) -> None:
        """Stop that; may be repeated."""
        if (worker := self._workers.get(view)) is not None:
            worker.unsubscribe(feed, number)

    def _start_worker(self, view: ViewKey) -> ProjectionWorker:
        projection = TOPICS[view.topic].make(self._projection_context, view.org, view.of)
        worker = ProjectionWorker(projection, self._world)
        self._workers[view] = worker
        self._by_org.setdefault(view.org, {})[view] = worker
        if self._nursery is None:
            raise RuntimeError("the hub does not run")
        self._nursery.start_soon(worker.run, partial(self._stop_worker, view))
        return worker

    def _stop_worker(self, view: ViewKey, worker: ProjectionWorker) -> bool:
        """Drop a view without subscribers."""
        if worker.has_subscribers:
            return False
        del self._workers[view]
        del self._by_org[view.org][view]
        if not self._by_org[view.org]:
            del self._by_org[view.org]
        return True

    # --- agents -----------------------------------------------------------------------------------

    def on_linked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection of the agent is the active one from now on."""
        self._links[org, vault] = link
        for worker in self._workers_of(org):
            if worker.projection.on_link_change(vault):
                worker.wake()

    def on_unlinked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection has ended."""
        if self._links.get((org, vault)) is not link:
            return
        del self._links[org, vault]
        self._glimpses.pop((org, vault), None)
        for worker in self._workers_of(org):
            if worker.projection.on_link_change(vault):
                worker.wake()

    def on_message(self, org: str, vault: str, message: m.Message) -> None:
        """A message of the agent that is not stored, or one that was stored just now."""
        if isinstance(message, m.Metrics):
            self.rates.record_report(org, vault, message, self._world.monotonic())
        elif isinstance(message, m.Glimpse):
            self._glimpses[org, vault] = message
        for worker in self._workers_of(org):
            if worker.projection.on_message(vault, message):
                worker.wake()

    # --- what projections ask (`projection.LiveState`) --------------------------------------------

    def get_link(self, org: str, vault: str) -> ObservedLink | None:
        """See `LiveState`."""
        return self._links.get((org, vault))

    def get_glimpse(self, org: str, vault: str) -> m.Glimpse | None:
        """See `LiveState`."""
        return self._glimpses.get((org, vault))

    def curve_points(self, org: str) -> list[CurvePoint]:
        """See `LiveState`."""
        return list(self._points.get(org, ()))

    # --- figures for operators --------------------------------------------------------------------

    @property
    def view_count(self) -> int:
        """The number of projections."""
        return len(self._workers)

    # --- tasks ------------------------------------------------------------------------------------

    async def _follow_events(self) -> None:
        with self._bus.subscribe(*Topic) as events:
            while True:
                happened, lost = await events.receive()
                for event in happened:
                    for worker in self._workers_of(event.org):
                        if worker.projection.on_event(event):
                            worker.wake()
                if lost:
                    for worker in self._workers.values():
                        worker.request_reload()

    async def _add_points_periodically(self) -> None:
        while True:
            await self._world.sleep(POINT_INTERVAL - self._world.now() / SECOND % POINT_INTERVAL)
            self.add_points()

    def add_points(self) -> None:
        """Add a point to each organization's curves."""
        now, at = self._world.monotonic(), round(self._world.now() / SECOND)
        online: dict[str, int] = {}
        for org, state in self._presence.list_statuses():
            online[org] = online.get(org, 0) + (state in SERVING)
        for org in {*online, *self.rates.organizations(), *self._points}:
            point = self.rates.organization_total(org, now) | {"online": online.get(org, 0)}
            self._points.setdefault(org, deque(maxlen=MAX_POINTS)).append((at, point))
            for worker in self._workers_of(org):
                if worker.projection.on_point():
                    worker.wake()

    def _workers_of(self, org: str) -> Iterable[ProjectionWorker]:
        """The organization's workers."""
        return self._by_org.get(org, {}).values()
