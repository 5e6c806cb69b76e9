"""What the agent tells Prometheus about itself: the seed's names, and the health of its parts.

One `Metrics` a process, handed down; no global registry. Labels are bounded: operations are keys
of the handler table and endpoints are route templates, never a path that a caller made up.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from actors.tree import Node

Reader = Callable[[], float]
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST", "OPTIONS"})
MAX_SERIES: Final = 1_000
"""Label sets a metric may grow to; what comes later is counted under `other`. The agent has about
100 routes with 2 methods and 60 operations with 9 outcomes."""
OTHER: Final = "other"

GAUGES: Final[Mapping[str, str]] = {
    "active_connections": "Number of active connections",
    "cache_hit_rate": "Cache hit rate percentage",
    "cache_bytes": "Bytes of sealed rows in the cache",
    "sealed": "1 while the agent is sealed, 0 while it serves",
    "audit_records": "Records in the audit log of this agent since it was made",
    "audit_sinks_failing": "Audit sinks that did not accept the last record",
    "audit_damaged": "1 when the last reading of the whole audit log found damage",
    "anchor_failing": "1 while the anchor outside the database cannot be written",
}
"""Name without its `vault_` → help. The first two are the seed's."""


class Metrics:
    """Counts and times. Observing costs about a microsecond and never awaits or fails."""

    def __init__(self, *, enabled: bool = True) -> None:
        """`enabled`: whether `/metrics` is served (`monitoring.metrics_enabled`)."""
        self.enabled = enabled
        self._registry = CollectorRegistry()
        self._operations = Counter(
            "vault_secret_operations_total",
            "Total number of secret operations",
            ["operation", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "vault_request_duration_seconds",
            "Request duration in seconds",
            ["method", "endpoint"],
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(f"vault_{name}", text, registry=self._registry)
            for name, text in GAUGES.items()
        }
        # `labels()` costs twice as much as the increment itself: keep its children.
        self._operation_of: dict[tuple[str, str], Counter] = {}
        self._duration_of: dict[tuple[str, str], Histogram] = {}

    def operation(self, operation: str, status: str) -> None:
        """Count one operation; `status` is `ok` or the type of its error."""
        series = self._operation_of.get((operation, status))
        if series is None:
            series = self._new_operation(operation, status)
        series.inc()

    def request(self, method: str, endpoint: str, seconds: float) -> None:
        """Time one answered request; `endpoint` is its route's template."""
        series = self._duration_of.get((method, endpoint))
        if series is None:
            series = self._new_duration(method, endpoint)
        series.observe(seconds)

    @contextmanager
    def follow(self, **readers: Reader) -> Iterator[None]:
        """Let gauges read from these functions for as long as the block runs, and 0 after it.

        Names are those of `GAUGES`; raises `KeyError` for another. A reader runs at each scrape.
        """
        gauges = [(self._gauges[name], reader) for name, reader in readers.items()]
        for gauge, reader in gauges:
            gauge.set_function(reader)
        try:
            yield
        finally:
            for gauge, _ in gauges:
                gauge.set_function(_zero)

    @contextmanager
    def follow_actors(self, snapshot: Callable[[], Node]) -> Iterator[None]:
        """Show every actor below `snapshot()` for as long as the block runs."""
        collector = ActorCollector(snapshot)
        self._registry.register(collector)
        try:
            yield
        finally:
            self._registry.unregister(collector)

    def render(self) -> bytes:
        """All of it in Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)

    def _new_operation(self, operation: str, status: str) -> Counter:
        if len(self._operation_of) >= MAX_SERIES:
            return self._operations.labels(OTHER, OTHER)
        series = self._operations.labels(operation, status)
        self._operation_of[operation, status] = series
        return series

    def _new_duration(self, method: str, endpoint: str) -> Histogram:
        if method not in METHODS or len(self._duration_of) >= MAX_SERIES:
            return self._durations.labels(OTHER, OTHER)
        series = self._durations.labels(method, endpoint)
        self._duration_of[method, endpoint] = series
        return series


class ActorCollector(Collector):
    """The live tree of actors as metrics, read when Prometheus asks."""

    def __init__(self, snapshot: Callable[[], Node]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """Nothing: the names below are no one else's, and describing must not walk the tree."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One sample an actor, labelled with its path."""
        label = ["actor"]
        running = GaugeMetricFamily("vault_actor_up", "1 while running", labels=label)
        depth = GaugeMetricFamily("vault_actor_mailbox_depth", "Messages waiting", labels=label)
        restarts = CounterMetricFamily("vault_actor_restarts", "Restarts", labels=label)
        handled = CounterMetricFamily("vault_actor_messages", "Messages served", labels=label)
        busy = CounterMetricFamily("vault_actor_busy_seconds", "Time serving them", labels=label)
        turned_away = CounterMetricFamily(
            "vault_actor_messages_lost", "Messages refused, dropped, expired or lost", labels=label
        )
        for node in self._snapshot().walk():
            name = [node.name]
            running.add_metric(name, float(node.state == "running"))
            restarts.add_metric(name, node.restarts)
            if (box := node.mailbox) is not None:
                depth.add_metric(name, box.depth)
                handled.add_metric(name, node.handled)
                busy.add_metric(name, node.handled * node.mean_time)
                lost = box.refused + box.dropped + box.expired + box.lost
                turned_away.add_metric(name, lost)
        yield from (running, depth, restarts, handled, busy, turned_away)


def _zero() -> float:
    return 0.0
