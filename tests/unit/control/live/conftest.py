"""A hub over a whole plane, a browser's feed, and agents that are linked as far as it can tell."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from actors.testing import FakeWorld
from control.core import Core
from control.live.hub import LiveHub, ViewKey
from control.live.projection import ProjectionContext
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.live.feed import LiveFeed
from protocols.live.limits import LiveLimits
from tests.support.trio_world import TrioWorld

PATIENCE = 60.0


@dataclass
class Link:
    """An agent's connection."""

    since: int = 5_000_000_000
    health: str = "serving"
    sync: str = "online"
    acknowledged: int = 0
    observed: list[int] = field(default_factory=list)

    def observe(self, seconds: int) -> None:
        """See `ObservedLink`."""
        self.observed.append(seconds)


class Page:
    """What a browser makes of its feed."""

    def __init__(self, hub: LiveHub) -> None:
        self.hub = hub
        self.feed = LiveFeed(LiveLimits(), self._stir)
        self.rows: dict[int, dict[str, Any]] = {}
        self.said: list[Any] = []
        self._stirred = trio.Event()

    def watch(self, number: int, topic: str, of: str = "", org: str = "acme") -> None:
        """Follow."""
        self.hub.subscribe(ViewKey(topic, org, of), self.feed, number)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Take what comes until that is so."""
        with trio.fail_after(PATIENCE):
            while not holds():
                self._stirred = trio.Event()
                if not self.take():
                    await self._stirred.wait()

    def take(self) -> bool:
        """All that there is; whether there was something."""
        count = len(self.said)
        while (text := self.feed.next_message()) is not None:
            self.said.append(message := json.loads(text))
            kept = self.rows.setdefault(message["id"], {})
            if "snapshot" in message:
                if message["seq"] == 1:
                    kept.clear()
                kept.update(message["snapshot"])
            for key, columns in message.get("rows", {}).items():
                if columns is None:
                    del kept[key]
                else:
                    kept.setdefault(key, {}).update(columns)
        return len(self.said) > count

    def _stir(self) -> None:
        self._stirred.set()


def metrics(until: float, requests: int, errors: int = 0, slow: int = 0) -> m.Metrics:
    """A report (seconds); all requests were fast but for `slow`."""
    counts = [requests - slow, *(0 for _ in words.BUCKETS_US)]
    counts[5] = slow
    return m.Metrics(
        since=0,
        until=round(until * 1000),
        counters=(
            m.CounterValue(name=words.CounterName.REQUESTS, value=requests),
            m.CounterValue(name=words.CounterName.SERVER_ERRORS, value=errors),
        ),
        gauges=(m.GaugeValue(name=words.GaugeName.SECRETS, value=12),),
        histograms=(
            m.HistogramValue(
                name=words.HistogramName.REQUEST_DURATION, counts=tuple(counts), sum_us=0
            ),
        ),
    )


@pytest.fixture
def world() -> FakeWorld:
    """The clock, also of the plane's own fixture."""
    return TrioWorld()


@pytest.fixture
async def hub(core: Core, world: FakeWorld, nursery: trio.Nursery) -> AsyncIterator[LiveHub]:
    """One that runs."""
    made = LiveHub(core.store, core.bus, core.presence, world)
    await nursery.start(made.run)
    yield made
    nursery.cancel_scope.cancel()


@pytest.fixture
def page(hub: LiveHub) -> Page:
    """A browser."""
    return Page(hub)


@pytest.fixture
def around(hub: LiveHub) -> ProjectionContext:
    """What projections are made of."""
    return hub._projection_context
