"""Figures to encode, in tests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric


def families() -> list[Metric]:
    """A counter at 3, a gauge at 1.5, a histogram of 0.1, 0.1 and 5 with bounds 0.5 and 1."""
    registry = CollectorRegistry()
    counter = Counter("x_requests", "Requests", ["method"], registry=registry)
    counter.labels("GET").inc(3)
    Gauge("x_open", "Open", registry=registry).set(1.5)
    histogram = Histogram("x_seconds", "Time", ["at"], buckets=(0.5, 1.0), registry=registry)
    for value in (0.1, 0.1, 5.0):
        histogram.labels("a").observe(value)
    return list(registry.collect())
