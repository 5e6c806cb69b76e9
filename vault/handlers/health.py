"""How the open agent does: its load, keyring, cache and audit log in one look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import sub
from typing import Final

from actors.world import World
from vault import operations
from vault.audit.broker import BrokerState
from vault.errors import ErrorType
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import KeyStore
from vault.metrics import DURATION_BUCKETS, Metrics, RequestTotals
from vault.model.health import HealthState, SinkHealth
from vault.model.operation import Capability
from vault.model.payloads import Nothing

MIN_INTERVAL: Final = 2.0
"""Seconds that rates are over at least: whoever looks more often sees the ones before."""
_OURS: Final = frozenset({ErrorType.INTERNAL, ErrorType.UNAVAILABLE})


class RequestRates:
    """How busy the agent was between two looks."""

    def __init__(self) -> None:
        self._at = 0.0
        self._totals: RequestTotals | None = None
        self.requests: float | None = None
        self.errors: float | None = None
        self.p50: float | None = None
        self.p99: float | None = None

    def sample(self, totals: RequestTotals, now: float) -> None:
        """`now`: seconds of a clock that only moves forward."""
        before, seconds = self._totals, now - self._at
        if before is not None and seconds < MIN_INTERVAL:
            return
        self._at, self._totals = now, totals
        if before is None:
            return
        counts = tuple(map(sub, totals.counts, before.counts))
        self.requests = sum(counts) / seconds
        self.errors = (_server_errors(totals) - _server_errors(before)) / seconds
        self.p50, self.p99 = quantile(counts, 0.5), quantile(counts, 0.99)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The bound in ms of the bucket that this share of all is reached in; None of nothing."""
    wanted = sum(counts) * share
    if not wanted:
        return None
    index = next(i for i, reached in enumerate(accumulate(counts)) if reached >= wanted)
    return min(DURATION_BUCKETS[index], DURATION_BUCKETS[-2]) * 1000


def _server_errors(totals: RequestTotals) -> int:
    return sum(count for (_, status), count in totals.operations.items() if status in _OURS)


@dataclass(frozen=True)
class HealthHandlers:
    """The handler of `sys.health`."""

    keys: KeyStore
    metrics: Metrics
    audit_state: Callable[[], BrokerState]
    version: str
    opened_at: int
    world: World
    rates: RequestRates = field(default_factory=RequestRates)

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(operations.READ_HEALTH, run=self.health, capability=Capability.READ)
        )

    async def health(self, _: Call[Nothing]) -> HealthState:
        """As of now."""
        return self.state()

    def state(self) -> HealthState:
        """The same, for whoever follows it."""
        pace, totals, log = self.rates, self.metrics.totals(), self.audit_state()
        pace.sample(totals, self.world.monotonic())
        key, cache = self.keys.state, self.keys.cache_state
        return HealthState(
            version=self.version,
            opened_at=self.opened_at,
            connections=int(self.metrics.gauge_value("active_connections")),
            requests=sum(totals.counts),
            requests_per_second=pace.requests,
            errors_per_second=pace.errors,
            p50=pace.p50,
            p99=pace.p99,
            key_epoch=key.epoch,
            key_generation=key.generation,
            key_created_at=key.created_at,
            key_uses=key.uses,
            rotation_due=key.rotation_due,
            cache_bytes=cache.bytes,
            cache_max_bytes=cache.max_bytes,
            cache_entries=cache.entries,
            cache_hit_rate=cache.hit_rate,
            audit_size=log.size,
            trouble=log.trouble,
            sinks=tuple(
                SinkHealth(
                    name=sink.name,
                    size=sink.size,
                    behind=sink.behind,
                    on_reserve=sink.on_reserve,
                    error=sink.error,
                )
                for sink in log.sinks
            ),
            disks=self.metrics.disks(),
        )
