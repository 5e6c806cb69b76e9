"""All that is live in this process: what happens goes in, to every projection that cares.

Three ways in: the bus (what is stored), agents' words for the moment, and their links.
"""

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

import trio

from actors import World
from control.gateway.link_observer import ObservedLink
from control.live.projection import ProjectionContext
from control.live.projection_worker import ProjectionWorker
from control.live.rates import RequestRates
from control.live.topics import TOPICS
from control.model.agents import SERVING
from control.services.event_bus import EventBus, Topic
from control.services.presence import PresenceTracker
from control.store.store import Store
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.live.feed import LiveFeed

POINT_INTERVAL: Final = 10
"""Seconds from one point of the curves to the next."""
MAX_POINTS: Final = 360
"""Of an organization: an hour."""

CurvePoint = tuple[int, dict[str, Any]]


class ViewKey(NamedTuple):
    """What is followed."""

    topic: str
    org: str
    of: str


class LiveHub:
    """`run` it; browsers `subscribe` and `unsubscribe`; the gateway tells of agents."""

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
        self._watch = presence
        self.rates = RequestRates()
        self._around = ProjectionContext(store, presence, self.rates, self, world)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._follow_events)
            self._nursery.start_soon(self._add_points_periodically)
            task_status.started()

    # --- browsers ---------------------------------------------------------------------------------

    def subscribe(self, view: ViewKey, feed: LiveFeed, number: int) -> None:
        """Have the feed told of this view. Raises `RequestError` for one watch too many."""
        keeper = self._workers.get(view) or self._start_worker(view)
        feed.add_watch(number, keeper.projection.collection)
        keeper.subscribe(feed, number)

    def unsubscribe(self, view: ViewKey, feed: LiveFeed, number: int) -> None:
        """No longer; may be repeated."""
        if (keeper := self._workers.get(view)) is not None:
            keeper.unsubscribe(feed, number)

    def _start_worker(self, view: ViewKey) -> ProjectionWorker:
        projection = TOPICS[view.topic].make(self._around, view.org, view.of)
        keeper = ProjectionWorker(projection, self._world)
        self._workers[view] = keeper
        self._by_org.setdefault(view.org, {})[view] = keeper
        if self._nursery is None:
            raise RuntimeError("the hub does not run")
        self._nursery.start_soon(keeper.run, partial(self._stop_worker, view))
        return keeper

    def _stop_worker(self, view: ViewKey, keeper: ProjectionWorker) -> bool:
        """Forget a view that nobody follows."""
        if keeper.has_subscribers:
            return False
        del self._workers[view]
        del self._by_org[view.org][view]
        if not self._by_org[view.org]:
            del self._by_org[view.org]
        return True

    # --- agents -----------------------------------------------------------------------------------

    def on_linked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection of the agent counts from now on."""
        self._links[org, vault] = link
        for keeper in self._workers_of(org):
            if keeper.projection.on_link_change(vault):
                keeper.wake()

    def on_unlinked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection is over."""
        if self._links.get((org, vault)) is not link:
            return
        del self._links[org, vault]
        self._glimpses.pop((org, vault), None)
        for keeper in self._workers_of(org):
            if keeper.projection.on_link_change(vault):
                keeper.wake()

    def on_message(self, org: str, vault: str, message: m.Message) -> None:
        """The agent said this for the moment, or what it said is stored."""
        if isinstance(message, m.Metrics):
            self.rates.record_report(org, vault, message, self._world.monotonic())
        elif isinstance(message, m.Glimpse):
            self._glimpses[org, vault] = message
        for keeper in self._workers_of(org):
            if keeper.projection.on_message(vault, message):
                keeper.wake()

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
        """How many projections are kept."""
        return len(self._workers)

    # --- tasks ------------------------------------------------------------------------------------

    async def _follow_events(self) -> None:
        with self._bus.subscribe(*Topic) as events:
            while True:
                happened, lost = await events.receive()
                for event in happened:
                    for keeper in self._workers_of(event.org):
                        if keeper.projection.on_event(event):
                            keeper.wake()
                if lost:
                    for keeper in self._workers.values():
                        keeper.request_reload()

    async def _add_points_periodically(self) -> None:
        while True:
            await self._world.sleep(POINT_INTERVAL - self._world.now() / SECOND % POINT_INTERVAL)
            self.add_points()

    def add_points(self) -> None:
        """Make a point of each organization's curves."""
        now, at = self._world.monotonic(), round(self._world.now() / SECOND)
        online: dict[str, int] = {}
        for org, state in self._watch.list_statuses():
            online[org] = online.get(org, 0) + (state in SERVING)
        for org in {*online, *self.rates.organizations(), *self._points}:
            point = self.rates.organization_total(org, now) | {"online": online.get(org, 0)}
            self._points.setdefault(org, deque(maxlen=MAX_POINTS)).append((at, point))
            for keeper in self._workers_of(org):
                if keeper.projection.on_point():
                    keeper.wake()

    def _workers_of(self, org: str) -> Iterable[ProjectionWorker]:
        """The organization's keepers."""
        return self._by_org.get(org, {}).values()
