"""Base of the topics: how a collection is filled for one organization, and what changes it.

All browsers that subscribe to a topic share one projection.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from actors import World
from control.gateway.link_observer import ObservedLink
from control.live.rates import RequestRates
from control.services.event_bus import Event, Topic
from control.services.presence import PresenceTracker
from control.store.store import Store
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.live.collection import LiveCollection

RELOAD_INTERVAL: Final = 30.0
"""Seconds until everything is read anew: what another process has done, or no event tells."""


class LiveState(Protocol):
    """Links and glimpses of the agents that are connected to this process."""

    def get_link(self, org: str, vault: str) -> ObservedLink | None:
        """The agent's active connection."""
        ...

    def get_glimpse(self, org: str, vault: str) -> m.Glimpse | None:
        """The newest glimpse of the agent, as long as it is connected."""
        ...

    def curve_points(self, org: str) -> list[tuple[int, dict[str, Any]]]:
        """Points of the organization's curves: Unix second and columns, the oldest first."""
        ...


class ProjectionContext(NamedTuple):
    """What projections are made of."""

    store: Store
    presence: PresenceTracker
    rates: RequestRates
    live: LiveState
    world: World


class Projection(ABC):
    """One topic. `on_event` marks what is stale, `refresh` reads that and no more."""

    TOPICS: ClassVar[frozenset[Topic]] = frozenset()

    def __init__(self, context: ProjectionContext, org: str, of: str) -> None:
        self.context = context
        self.org = org
        self.of = of
        self.collection = LiveCollection()

    @abstractmethod
    async def load(self) -> None:
        """Fill the collection."""

    async def refresh(self) -> None:
        """Read what `on_event` has marked as stale; by default everything."""
        await self.load()

    @property
    def has_more(self) -> bool:
        """Whether `refresh` has to be repeated without an event: it does a bounded part at once."""
        return False

    def on_event(self, event: Event) -> bool:
        """An event of this organization; whether there is something to do."""
        return event.topic in self.TOPICS

    def on_message(self, vault: str, message: m.Message) -> bool:  # noqa: ARG002  # for those who care
        """A message of an agent; whether there is something to do."""
        return False

    def on_link_change(self, vault: str) -> bool:  # noqa: ARG002  # as above
        """An agent's link was opened or closed; whether there is something to do."""
        return False

    def on_point(self) -> bool:
        """A point of the organization's curves was added; whether there is something to do."""
        return False

    @property
    def reload_interval(self) -> float:
        """Seconds until everything is read again."""
        return RELOAD_INTERVAL


ProjectionFactory = Callable[[ProjectionContext, str, str], Projection]


def to_seconds(nanoseconds: int) -> int:
    """Unix seconds."""
    return nanoseconds // SECOND


Columns = dict[str, Any]
