"""What each agent of a seeded fleet is and says: made up, but the same at each run. Pure."""

from math import pi, sin
from random import Random
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from control.model.agents import Agent, Life, Presence, new_agent
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link.vocabulary import BUCKETS_US, CounterName, GaugeName, HistogramName

PLACES: Final = ("berlin", "dublin", "osaka", "lima")
USES: Final = ("payments", "search", "mail", "build", "edge")
RELEASES: Final = ("0.1.0", "0.1.0", "0.1.0", "0.0.9")
MINUTE: Final = 60
SILENT: Final = {Presence.OFFLINE: 47, Presence.LATE: 2.5}
"""Minutes."""
WAVE: Final = 40 * MINUTE
"""Seconds from one height of the load to the next."""


class SeededAgent(NamedTuple):
    """One agent: its name, place in the fleet and requests a second on average."""

    name: str
    number: int
    request_rate: float

    @property
    def tags(self) -> tuple[str, ...]:
        """Where it is, and what for."""
        n = self.number
        return (PLACES[n % len(PLACES)], USES[n // len(PLACES) % len(USES)])

    @property
    def presence(self) -> Presence:
        """One in 37 is offline, one in 41 late."""
        if self.number % 37 == 7:  # noqa: PLR2004
            return Presence.OFFLINE
        return Presence.LATE if self.number % 41 == 27 else Presence.ONLINE  # noqa: PLR2004

    def row(self, now: int) -> Agent:
        """It on record."""
        return replace(
            new_agent("acme", self.name, Life.ACTIVE, now=now, tags=self.tags),
            facts={"release": RELEASES[self.number % len(RELEASES)]},
            presence=self.presence,
            last_seen=now - round(SILENT.get(self.presence, 0) * MINUTE) * SECOND,
        )

    def standing(self, now: int) -> dict[str, Any]:
        """Its policies, as a row of `assignments`: one in 30 has still to apply the second."""
        late = self.number % 30 == 11  # noqa: PLR2004
        return {
            "org": "acme",
            "vault": self.name,
            "version": 2,
            "contents": {"read-only": 1 if late else 2},
            "digest": b"",
            "bundle": b"",
            "outcome": "wanted" if late else "applied",
            "reason": "",
            "applied": 1 if late else 2,
            "changed_at": now,
        }

    @property
    def is_reporting(self) -> bool:
        """Whether it is heard at all."""
        return self.presence is Presence.ONLINE


def make_fleet(count: int) -> list[SeededAgent]:
    """So many agents, each with a pace of its own."""
    chance = Random(count)  # noqa: S311  # no secret
    return [
        SeededAgent(f"{_prefix(n)}-{n:0{len(str(count))}}", n, chance.lognormvariate(3.2, 0.8))
        for n in range(count)
    ]


def _prefix(n: int) -> str:
    return f"{USES[n // len(PLACES) % len(USES)]}-{PLACES[n % len(PLACES)]}"


class ReportGenerator:
    """An agent's totals as they grow, a report a minute."""

    def __init__(self, of: SeededAgent) -> None:
        self._of = of
        self._chance = Random(of.number)  # noqa: S311  # no secret
        self._requests = 0
        self._errors = 0
        self._counts = [0] * (len(BUCKETS_US) + 1)

    def report(self, second: int) -> m.Metrics:
        """What it says at this second, of the minute before it."""
        swing = 1 + 0.35 * sin(2 * pi * second / WAVE) + self._chance.uniform(-0.15, 0.15)
        made = round(self._of.request_rate * MINUTE * swing)
        slow = swing > 1.25  # noqa: PLR2004  # at the height of the load
        shares = (0.90, 0.06, 0.02, 0.015) if slow else (0.955, 0.037, 0.005, 0.002)
        for place, share in enumerate(shares):
            self._counts[place] += round(made * share)
        self._requests += made
        self._errors += sum(self._chance.random() < 0.12 for _ in range(made // 50))  # noqa: PLR2004
        return m.Metrics(
            since=0,
            until=1000 * second,
            counters=(
                m.CounterValue(name=CounterName.REQUESTS, value=self._requests),
                m.CounterValue(name=CounterName.SERVER_ERRORS, value=self._errors),
            ),
            gauges=(m.GaugeValue(name=GaugeName.SECRETS, value=40 + self._of.number * 7 % 300),),
            histograms=(
                m.HistogramValue(
                    name=HistogramName.REQUEST_DURATION, counts=tuple(self._counts), sum_us=0
                ),
            ),
        )
