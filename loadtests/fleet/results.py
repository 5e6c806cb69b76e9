"""What a run has found, and what that makes for each agent: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KIB = 1024
AIM = 5.0
"""Seconds within which every agent is to have applied a policy."""


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Seconds: median, 99th percentile, longest."""

    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles":
        """Raises `ValueError` for no values."""
        if not values:
            raise ValueError("nothing was measured")
        ranked = sorted(values)
        return cls(p50=rank(ranked, 0.5), p99=rank(ranked, 0.99), longest=ranked[-1])


def rank(ranked: Sequence[float], share: float) -> float:
    """The smallest of the ascending values that at least this share of them reach at most."""
    needed = -(-len(ranked) * round(share * 100) // 100)
    return ranked[max(needed, 1) - 1]


@dataclass(frozen=True, kw_only=True)
class CpuWindow:
    """A stretch of time, and the CPU seconds that the control plane and the clients took in it."""

    seconds: float
    cpu: float
    clients: float = 0.0

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cpu / self.seconds


@dataclass(frozen=True, kw_only=True)
class FleetResult:
    """One fleet. Sizes in bytes; `connect.seconds` is until all were linked."""

    agents: int
    linked: int
    """As the control plane counts them, at the end."""
    shown_applied: int
    """As its API shows them."""
    empty: int
    """Resident bytes before the first agent, which is on record already."""
    full: int
    connect: CpuWindow
    rest: CpuWindow
    beating: CpuWindow
    beats: int
    trip: Percentiles
    """Of ten heartbeats and a ping, until its answer."""
    policy: Percentiles
    push: CpuWindow
    """From the request to the last agent's word."""
    answered: float = 0.0
    """Seconds until the request for the roll-out was."""
    first: float = 0.0
    """Seconds until the first agent's word: what is left is the pace of the fan-out."""
    losses: Mapping[str, int] = field(default_factory=dict)
    warnings: int = 0
    clients: int = 0
    """Resident bytes of all clients, at the end."""
    took: float = 0.0
    """Seconds for all of it, with enrolling, starting and stopping."""

    @property
    def kib_each(self) -> float:
        """Resident KiB of the control plane for each linked agent."""
        return (self.full - self.empty) / KIB / self.agents

    @property
    def connect_ms_each(self) -> float:
        """CPU of its handshakes, registration and first messages."""
        return self.connect.cpu * 1e3 / self.agents

    @property
    def rest_us_each(self) -> float:
        """CPU in a second of quiet life: pings, and a heartbeat a minute."""
        return self.rest.share * 1e6 / self.agents

    @property
    def beats_a_second(self) -> float:
        """Heartbeats that were taken, as fast as they came."""
        return self.beats / self.beating.seconds

    @property
    def beat_us(self) -> float:
        """CPU of one heartbeat and a tenth of a ping, beyond what the fleet costs at rest."""
        return self._beyond_rest(self.beating) * 1e6 / self.beats

    @property
    def push_ms_each(self) -> float:
        """CPU of one policy, until it is on record that it is applied, beyond that at rest."""
        return self._beyond_rest(self.push) * 1e3 / self.agents

    @property
    def misses(self) -> list[str]:
        """What is not as it must be; nothing when all is well. The aim for time is not among it."""
        wrong = []
        if self.linked != self.agents:
            wrong.append(f"{self.linked:,} of {self.agents:,} linked")
        if self.shown_applied != self.agents:
            wrong.append(f"{self.shown_applied:,} of {self.agents:,} shown as applied")
        return wrong

    def _beyond_rest(self, window: CpuWindow) -> float:
        return window.cpu - self.rest.share * window.seconds


def latest(times: Sequence[float]) -> float:
    """The last of them. Raises `ValueError` for none."""
    if not times:
        raise ValueError("nobody was there in time")
    return max(times)


def merged(answers: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """The lists that several clients answered with, as one."""
    return [value for answer in answers for value in answer[name]]


def losses(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Reasons of lost connections, over all clients."""
    total: dict[str, int] = {}
    for answer in answers:
        for reason, count in answer["losses"].items():
            total[reason] = total.get(reason, 0) + count
    return dict(sorted(total.items()))
