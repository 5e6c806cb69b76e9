"""A topic for one organization: how its collection is filled, and what makes it change.

Shared by all browsers that follow it: an event is worked on once, whoever looks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from actors import World
from control.gateway.audience import Observed
from control.live.rates import Rates
from control.services.events import Event, Topic
from control.services.presence import Watch
from control.store.store import Store
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.live.collection import Collection

LOOK_EVERY: Final = 30.0
"""Seconds until everything is read anew: what another process has done, or no event tells."""


class Links(Protocol):
    """Who is connected here."""

    def link(self, org: str, vault: str) -> Observed | None:
        """The connection that counts."""
        ...

    def glimpse(self, org: str, vault: str) -> m.Glimpse | None:
        """The agent's newest word of itself, as long as it is connected."""
        ...

    def points(self, org: str) -> list[tuple[int, dict[str, Any]]]:
        """Of the organization's curves: Unix second and columns, the oldest first."""
        ...


class Around(NamedTuple):
    """What projections are made of."""

    store: Store
    watch: Watch
    rates: Rates
    links: Links
    world: World


class Projection(ABC):
    """One topic. `note` marks what is stale, `refresh` reads that and no more."""

    TOPICS: ClassVar[frozenset[Topic]] = frozenset()

    def __init__(self, around: Around, org: str, of: str) -> None:
        self.around = around
        self.org = org
        self.of = of
        self.collection = Collection()

    @abstractmethod
    async def load(self) -> None:
        """Fill the collection with what is."""

    async def refresh(self) -> None:
        """Read what `note` has found stale. By default that is everything."""
        await self.load()

    @property
    def more(self) -> bool:
        """Whether `refresh` has to go on though nothing happens: it does a bounded part at once."""
        return False

    def note(self, event: Event) -> bool:
        """Something happened in this organization; whether there is something to do."""
        return event.topic in self.TOPICS

    def heard(self, vault: str, message: m.Message) -> bool:  # noqa: ARG002  # for those who care
        """An agent said something for the moment; whether there is something to do."""
        return False

    def linked(self, vault: str) -> bool:  # noqa: ARG002  # as above
        """An agent's link came up or went down; whether there is something to do."""
        return False

    def ticked(self) -> bool:
        """A point of the organization's curves was made; whether there is something to do."""
        return False

    @property
    def look_every(self) -> float:
        """Seconds until everything is read anew."""
        return LOOK_EVERY


Make = Callable[[Around, str, str], Projection]


def seconds(nanoseconds: int) -> int:
    """Unix seconds."""
    return nanoseconds // SECOND


Columns = dict[str, Any]
