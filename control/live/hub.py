"""All that is live in this process: what happens goes in, to every projection that cares.

Three ways in: the bus (what is stored), agents' words for the moment, and their links.
"""

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple

import trio

from actors import World
from control.gateway.audience import Observed
from control.live.keeper import Keeper
from control.live.projection import Around
from control.live.rates import Rates
from control.live.topics import TOPICS
from control.model.agents import SERVING
from control.services.events import Bus, Topic
from control.services.presence import Watch
from control.store.store import Store
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.live.feed import Feed

POINT_EVERY: Final = 10
"""Seconds from one point of the curves to the next."""
POINTS: Final = 360
"""Of an organization: an hour."""

Point = tuple[int, dict[str, Any]]


class View(NamedTuple):
    """What is followed."""

    topic: str
    org: str
    of: str


class Hub:
    """`run` it; browsers `join` and `leave`; the gateway tells of agents."""

    def __init__(self, store: Store, bus: Bus, watch: Watch, world: World) -> None:
        self._bus = bus
        self._world = world
        self._links: dict[tuple[str, str], Observed] = {}
        self._glimpses: dict[tuple[str, str], m.Glimpse] = {}
        self._points: dict[str, deque[Point]] = {}
        self._keepers: dict[View, Keeper] = {}
        self._by_org: dict[str, dict[View, Keeper]] = {}
        self._nursery: trio.Nursery | None = None
        self._watch = watch
        self.rates = Rates()
        self._around = Around(store, watch, self.rates, self, world)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._listen)
            self._nursery.start_soon(self._draw)
            task_status.started()

    # --- browsers ---------------------------------------------------------------------------------

    def join(self, view: View, feed: Feed, number: int) -> None:
        """Have the feed told of this view. Raises `RequestError` for one watch too many."""
        keeper = self._keepers.get(view) or self._keep(view)
        feed.watch(number, keeper.projection.collection)
        keeper.follow(feed, number)

    def leave(self, view: View, feed: Feed, number: int) -> None:
        """No longer; may be repeated."""
        if (keeper := self._keepers.get(view)) is not None:
            keeper.leave(feed, number)

    def _keep(self, view: View) -> Keeper:
        projection = TOPICS[view.topic].make(self._around, view.org, view.of)
        keeper = Keeper(projection, self._world)
        self._keepers[view] = keeper
        self._by_org.setdefault(view.org, {})[view] = keeper
        if self._nursery is None:
            raise RuntimeError("the hub does not run")
        self._nursery.start_soon(keeper.run, partial(self._end, view))
        return keeper

    def _end(self, view: View, keeper: Keeper) -> bool:
        """Forget a view that nobody follows."""
        if keeper.followed:
            return False
        del self._keepers[view]
        del self._by_org[view.org][view]
        if not self._by_org[view.org]:
            del self._by_org[view.org]
        return True

    # --- agents -----------------------------------------------------------------------------------

    def linked(self, org: str, vault: str, link: Observed) -> None:
        """This connection of the agent counts from now on."""
        self._links[org, vault] = link
        for keeper in self._of(org):
            if keeper.projection.linked(vault):
                keeper.stir()

    def unlinked(self, org: str, vault: str, link: Observed) -> None:
        """This connection is over."""
        if self._links.get((org, vault)) is not link:
            return
        del self._links[org, vault]
        self._glimpses.pop((org, vault), None)
        for keeper in self._of(org):
            if keeper.projection.linked(vault):
                keeper.stir()

    def heard(self, org: str, vault: str, message: m.Message) -> None:
        """The agent said this for the moment, or what it said is stored."""
        if isinstance(message, m.Metrics):
            self.rates.measured(org, vault, message, self._world.monotonic())
        elif isinstance(message, m.Glimpse):
            self._glimpses[org, vault] = message
        for keeper in self._of(org):
            if keeper.projection.heard(vault, message):
                keeper.stir()

    # --- what projections ask (`projection.Links`) ------------------------------------------------

    def link(self, org: str, vault: str) -> Observed | None:
        """See `Links`."""
        return self._links.get((org, vault))

    def glimpse(self, org: str, vault: str) -> m.Glimpse | None:
        """See `Links`."""
        return self._glimpses.get((org, vault))

    def points(self, org: str) -> list[Point]:
        """See `Links`."""
        return list(self._points.get(org, ()))

    # --- figures for operators --------------------------------------------------------------------

    @property
    def views(self) -> int:
        """How many projections are kept."""
        return len(self._keepers)

    # --- tasks ------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        with self._bus.subscribed(*Topic) as events:
            while True:
                happened, lost = await events.take()
                for event in happened:
                    for keeper in self._of(event.org):
                        if keeper.projection.note(event):
                            keeper.stir()
                if lost:
                    for keeper in self._keepers.values():
                        keeper.reload()

    async def _draw(self) -> None:
        while True:
            await self._world.sleep(POINT_EVERY - self._world.now() / SECOND % POINT_EVERY)
            self.draw()

    def draw(self) -> None:
        """Make a point of each organization's curves."""
        now, at = self._world.monotonic(), round(self._world.now() / SECOND)
        online: dict[str, int] = {}
        for org, state in self._watch.states():
            online[org] = online.get(org, 0) + (state in SERVING)
        for org in {*online, *self.rates.organizations(), *self._points}:
            point = self.rates.total(org, now) | {"online": online.get(org, 0)}
            self._points.setdefault(org, deque(maxlen=POINTS)).append((at, point))
            for keeper in self._of(org):
                if keeper.projection.ticked():
                    keeper.stir()

    def _of(self, org: str) -> Iterable[Keeper]:
        """The organization's keepers."""
        return self._by_org.get(org, {}).values()
