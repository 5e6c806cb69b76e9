"""What the agent tells Prometheus about itself: the design's names, and the health of its parts.

One `Metrics` a process, handed down; no global registry. Labels are bounded: operations are keys
of the handler table and endpoints are route templates, never a path that a caller made up.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import Final, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from actors.tree import Node
from vault.model.health import DiskHealth

ReadValue = Callable[[], float]
Operations: TypeAlias = tuple[str, str, int]  # operation, status, how often
Requests: TypeAlias = tuple[str, str, list[int], float]  # method, endpoint, by bucket, seconds
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST", "OPTIONS"})
MAX_SERIES: Final = 1_000
"""Label sets a metric may grow to; what comes later is counted under `other`. The agent has about
100 routes with 2 methods and 60 operations with 9 outcomes."""
OTHER: Final = "other"
REFUSAL_REASONS: Final = ("sealed", "audit_unavailable", "store_unavailable", "overloaded")
"""Of refused requests, those that are shown before there is one."""
MAX_REASONS: Final = 64  # codes of errors; the agent has some 30 of this type
DURATION_BUCKETS: Final = (*Histogram.DEFAULT_BUCKETS,)
"""Seconds. A duration is in the first bucket whose bound it does not exceed; the last: inf."""

GAUGES: Final[Mapping[str, str]] = {
    "active_connections": "Number of active connections",
    "cache_hit_rate": "Cache hit rate percentage",
    "cache_bytes": "Bytes of sealed rows in the cache",
    "sealed": "1 while the agent is sealed, 0 while it serves",
    "audit_records": "Records in the audit log of this agent since it was made",
    "audit_sinks_failing": "Audit sinks that do not accept records, or only on their last room",
    "key_provider_failing": "Key providers that do not do what they are asked to",
    "break_glass_uses": "How often break-glass holders have opened the vault, on any agent",
    "break_glass_shares": "Shares of the break-glass set in force; 0 without one",
    "refusing": "1 while the agent is open and serves nothing: no audit sink accepts records",
    "store_failing": "1 when the last change of the database could not be stored",
    "audit_damaged": "1 when the last reading of the whole audit log found damage",
    "anchor_failing": "1 while the anchor outside the database cannot be written",
    "retention_suspended": "1 while the clock is too far ahead to delete anything by age",
    "clock_behind_seconds": "Seconds that the machine's clock is behind the time that has passed",
    "control_plane_enabled": "1 when the agent is to be linked to a control plane",
    "control_plane_state": "0 offline, 1 queueing, 2 syncing, 3 online",
    "control_plane_connected": "1 while a session with the control plane is open",
    "control_plane_closed": "1 when the link's own files kept it from being opened at this start",
    "control_plane_faults": "Sessions that the control plane ended by breaking the protocol",
    "outbox_messages": "Messages that the control plane is still owed",
    "outbox_bytes": "Bytes of those messages",
    "policy_version": "Version of the control plane's bundle in force",
    "key_generation": "Number of the key-encryption key that seals now",
    "key_rotation_due": "1 when that key has reached its age or its number of uses",
    "workers_open": "Worker processes that have opened the vault; the others relay",
    "workers_failing": "1 while worker processes end again and again",
    "database_clock_offset_seconds": "Seconds that the database's clock is ahead of the machine's",
    "replicas_usable": "Read replicas of the database that are connected and have not failed since",
    "replica_lag_commits": "Commits that the read replica which is furthest behind lacks",
    "redis_failing": "1 while rate limits are each agent's own because Redis is away",
    "backup_age_seconds": "Age of the newest backup, at the destination where it is oldest",
    "backup_late": "1 while a scheduled backup is missing for more than an hour",
    "backup_unproven": "1 while no restore of the newest full backup has been tested",
    "backup_duration_seconds": "How long the last backup run took",
    "backup_destinations_failing": "Destinations where the last backup failed",
    "dynamic_leases": "Leases of dynamic credentials that may have a user at a server",
    "dynamic_leases_failing": "Leases that have ended, whose users could not be dropped yet",
    "dynamic_leases_irrevocable": "Those of them that have failed so often that somebody must look",
    "dynamic_clients_unrenewed": "Clients that ask for new credentials instead of renewing leases",
    "dynamic_orphans": "Users at servers that have a name of this vault's and belong to no lease",
    "rotations_due": "Secrets whose rotation is due within a day",
    "rotations_overdue": "Secrets that should have been rotated more than an hour ago",
    "rotations_running": "Rotations whose new value is not current yet",
    "rotations_waiting": "Rotations that wait until applications have fetched the new value",
    "rotations_failing": "Secrets whose last rotation was undone",
    "rotations_stuck": "Rotations that wait for a person",
    "rotations_lagging": "Rotations whose new value an application has not fetched, and it is late",
    "secrets_without_rotation": "Secrets without a rotation policy",
    "secrets_expiring": "Secrets that expire within the longest of `expiry_warnings`",
}
"""Name without its `vault_` → help. The first two are the design's."""

COUNTERS: Final[Mapping[str, str]] = {
    "requests_shed": "Requests turned away because too many were in hand",
    "syslog_dropped": "Audit records that could not be forwarded to syslog",
    "worker_restarts": "Worker processes that have ended and were replaced",
    "store_tampered": "Times that the database was found changed by somebody else, or damaged",
    "replica_reads": "Reads of the database that a read replica answered",
    "replica_misses": "Reads that no read replica could answer, so the database itself did",
    "limit_tokens_charged": "Tokens of rate limits that other agents granted, counted here",
    "limit_messages_refused": "Messages over Redis that were old or not from this vault",
    "backups": "Backups that were made, one a destination",
    "backup_failures": "Backups that failed, one a destination",
    "spans_dropped": "Spans of traces that found no place in the queue to the receiver",
}
"""The same, of what is counted elsewhere; Prometheus adds `_total`."""


@dataclass
class BackupCounts:
    """Backups of this process, one a destination. `last_seconds`: of the last run."""

    made: int = 0
    failed: int = 0
    last_seconds: float = 0.0


class Metrics:
    """Counts and times. Observing costs less than a microsecond and never awaits or fails."""

    def __init__(self, *, enabled: bool = True) -> None:
        """`enabled`: whether `/metrics` is served (`monitoring.metrics_enabled`)."""
        self.enabled = enabled
        self.actors: Callable[[], Node] | None = None
        """The tree of actors, while there is one."""
        self.sinks: Callable[[], Mapping[str, float]] = dict
        """The audit sinks, as in `track_sinks`."""
        self.disks: Callable[[], tuple[DiskHealth, ...]] = tuple
        """The file systems, as in `track_disks`."""
        self.store_tampered = 0
        """Counted by whoever finds it; a process does not forget it when the vault is sealed."""
        self.backups = BackupCounts()
        """The same."""
        self._registry = CollectorRegistry()
        self._requests = RequestCollector()
        self._registry.register(self._requests)
        self._gauges = {
            name: Gauge(f"vault_{name}", text, registry=self._registry)
            for name, text in GAUGES.items()
        }
        self._counts = CounterCollector()
        self._registry.register(self._counts)
        self.register_counters(
            store_tampered=lambda: float(self.store_tampered),
            backups=lambda: float(self.backups.made),
            backup_failures=lambda: float(self.backups.failed),
        )
        self.count_operation = self._requests.count_operation
        self.observe_request = self._requests.observe_request
        self.count_refusal = self._requests.count_refusal
        self.drain_counts = self._requests.drain_counts
        self.merge_counts = self._requests.merge_counts
        self.totals = self._requests.totals

    @contextmanager
    def track_gauges(self, **readers: ReadValue) -> Iterator[None]:
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

    def gauge_value(self, name: str) -> float:
        """A gauge as it reads now; names are those of `GAUGES`."""
        (family,) = self._gauges[name].collect()  # of this one alone, not of the whole registry
        return float(family.samples[0].value)

    def register_counters(self, **readers: ReadValue) -> None:
        """Let counters read from these functions from now on. Names are those of `COUNTERS`."""
        for name, reader in readers.items():
            self._counts.readers[name] = (COUNTERS[name], reader)

    def counter_value(self, name: str) -> float | None:
        """A counter as it reads now; None while nobody counts it."""
        known = self._counts.readers.get(name)
        return None if known is None else known[1]()

    @contextmanager
    def track_actors(self, snapshot: Callable[[], Node]) -> Iterator[None]:
        """Show every actor below `snapshot()` for as long as the block runs."""
        collector = ActorCollector(snapshot)
        self._registry.register(collector)
        self.actors = snapshot
        try:
            yield
        finally:
            self.actors = None
            self._registry.unregister(collector)

    @contextmanager
    def track_sinks(self, sinks: Callable[[], Mapping[str, float]]) -> Iterator[None]:
        """Show every audit sink for as long as the block runs.

        `sinks`: of each how many seconds it has not accepted records, 0 while it does.
        """
        collector = SinkCollector(sinks)
        self._registry.register(collector)
        self.sinks = sinks
        try:
            yield
        finally:
            self.sinks = dict
            self._registry.unregister(collector)

    @contextmanager
    def track_disks(self, disks: Callable[[], tuple[DiskHealth, ...]]) -> Iterator[None]:
        """Show the free space of every place for as long as the block runs."""
        collector = DiskCollector(disks)
        self._registry.register(collector)
        self.disks = disks
        try:
            yield
        finally:
            self.disks = tuple
            self._registry.unregister(collector)

    def families(self) -> list[Metric]:
        """All of it as it is now, for other encoders."""
        return list(self._registry.collect())

    def render(self) -> bytes:
        """All of it in Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class RequestTotals(NamedTuple):
    """(operation, status) → how often; requests by bucket of their duration, and their seconds."""

    operations: dict[tuple[str, str], int]
    counts: tuple[int, ...]
    seconds: float


class DurationHistogram:
    """How often and how long: counts by bucket, the last one without a bound, and the sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(DURATION_BUCKETS)
        self.total = 0.0


class RequestCollector(Collector):
    """Operations and requests, counted by the event loop alone and so without a lock.

    `prometheus_client`'s own counters take one for each increment, three in a request.
    """

    def __init__(self) -> None:
        self._operations: dict[tuple[str, str], int] = {}
        self._durations: dict[tuple[str, str], DurationHistogram] = {}
        self._refused = dict.fromkeys(REFUSAL_REASONS, 0)

    def count_operation(self, operation: str, status: str) -> None:
        """Count one operation; `status` is `ok` or the type of its error."""
        count = self._operations.get((operation, status))
        if count is None:
            if has_max_series(self._operations):
                operation = status = OTHER
            count = self._operations.get((operation, status), 0)
        self._operations[operation, status] = count + 1

    def observe_request(self, method: str, endpoint: str, seconds: float) -> None:
        """Time one answered request; `endpoint` is its route's template."""
        series = self._durations.get((method, endpoint))
        if series is None:
            series = self._new_series(method, endpoint)
        series.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        series.total += seconds

    def count_refusal(self, reason: str) -> None:
        """Count one request that was refused because nothing can be served, by the error's code."""
        if reason not in self._refused and len(self._refused) >= MAX_REASONS:
            reason = OTHER
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def drain_counts(self) -> tuple[list[Operations], list[Requests], dict[str, int]]:
        """Return all counts for another process's `merge_counts`, and start again from zero."""
        operations = [(*labels, count) for labels, count in self._operations.items()]
        requests = [(*key, one.counts, one.total) for key, one in self._durations.items()]
        refused = self._refused
        self._operations, self._durations, self._refused = {}, {}, {}
        return operations, requests, refused

    def totals(self) -> RequestTotals:
        """Everything counted so far."""
        series = self._durations.values()
        return RequestTotals(
            operations=dict(self._operations),
            counts=tuple(map(sum, zip(*(one.counts for one in series), strict=True)))
            or (0,) * len(DURATION_BUCKETS),
            seconds=sum(one.total for one in series),
        )

    def merge_counts(
        self, operations: list[Operations], requests: list[Requests], refused: Mapping[str, int]
    ) -> None:
        """Count what another process has counted."""
        for reason, count in refused.items():
            self._refused[reason] = self._refused.get(reason, 0) + count
        for operation, status, count in operations:
            self._operations[operation, status] = (
                self._operations.get((operation, status), 0) + count
            )
        for method, endpoint, counts, total in requests:
            series = self._durations.get((method, endpoint)) or self._new_series(method, endpoint)
            series.counts = [a + b for a, b in zip(series.counts, counts, strict=True)]
            series.total += total

    def _new_series(self, method: str, endpoint: str) -> DurationHistogram:
        if method not in METHODS or has_max_series(self._durations):
            method = endpoint = OTHER
        return self._durations.setdefault((method, endpoint), DurationHistogram())

    def describe(self) -> list[Metric]:
        """Nothing: the names below are no one else's."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Both, as they are now."""
        operations = CounterMetricFamily(
            "vault_secret_operations_total",
            "Total number of secret operations",
            labels=["operation", "status"],
        )
        for labels, count in self._operations.items():
            operations.add_metric(labels, count)
        durations = HistogramMetricFamily(
            "vault_request_duration_seconds",
            "Request duration in seconds",
            labels=["method", "endpoint"],
        )
        for labels, series in self._durations.items():
            sums = zip(DURATION_BUCKETS, accumulate(series.counts), strict=True)
            buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in sums]
            durations.add_metric(labels, buckets, series.total)
        refused = CounterMetricFamily(
            "vault_requests_refused_total",
            "Requests refused because nothing can be served now, by the error's code",
            labels=["reason"],
        )
        for reason, count in self._refused.items():
            refused.add_metric([reason], count)
        yield from (operations, durations, refused)


class SinkCollector(Collector):
    """The audit sinks, read when Prometheus asks."""

    def __init__(self, sinks: Callable[[], Mapping[str, float]]) -> None:
        self._sinks = sinks

    def describe(self) -> list[Metric]:
        """Nothing: the names below are no one else's."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Whether each fails, and for how long it has."""
        failing = GaugeMetricFamily(
            "vault_audit_sink_failing", "1 while it does not accept records", labels=["sink"]
        )
        seconds = GaugeMetricFamily(
            "vault_audit_sink_failing_seconds", "For how long it has not", labels=["sink"]
        )
        for name, since in self._sinks().items():
            failing.add_metric([name], float(since > 0))
            seconds.add_metric([name], since)
        yield from (failing, seconds)


class DiskCollector(Collector):
    """The file systems that the agent writes, read when Prometheus asks."""

    def __init__(self, disks: Callable[[], tuple[DiskHealth, ...]]) -> None:
        self._disks = disks

    def describe(self) -> list[Metric]:
        """Nothing: the names below are no one else's."""
        return []

    def collect(self) -> Iterator[Metric]:
        """How much is free of how much, and whether that is little."""
        label = ["place"]
        free = GaugeMetricFamily(
            "vault_disk_free_bytes", "Bytes free on the file system of this place", labels=label
        )
        total = GaugeMetricFamily("vault_disk_bytes", "Size of that file system", labels=label)
        low = GaugeMetricFamily(
            "vault_disk_low", "1 while less is free than the configuration asks for", labels=label
        )
        for disk in self._disks():
            free.add_metric([disk.place], disk.free)
            total.add_metric([disk.place], disk.total)
            low.add_metric([disk.place], float(disk.low))
        yield from (free, total, low)


class CounterCollector(Collector):
    """Counters that their owners keep, read when Prometheus asks."""

    def __init__(self) -> None:
        self.readers: dict[str, tuple[str, ReadValue]] = {}

    def describe(self) -> list[Metric]:
        """Nothing: the names are no one else's."""
        return []

    def collect(self) -> Iterator[Metric]:
        """As they are now."""
        for name, (text, reader) in self.readers.items():
            yield CounterMetricFamily(f"vault_{name}", text, value=reader())


def has_max_series(series: Mapping[tuple[str, str], object]) -> bool:
    """Say whether a metric has all the label sets it may grow to, `other` not counted."""
    return len(series) - ((OTHER, OTHER) in series) >= MAX_SERIES


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
