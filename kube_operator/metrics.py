"""The operator's metrics for Prometheus: read at each scrape, and no name in them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Figures = Mapping[str, Mapping[str, float]]
"""Values by the metric's name, then by kind of resource (empty for metrics without one)."""

HELP: Final = {
    "leader": "Whether this process works",
    "objects": "Resources that are known",
    "queue": "Resources that wait for a worker",
    "lists": "Complete lists since the start",
    "watches": "Watches since the start",
    "failures": "Failed pieces of work since the start",
    "agent_sessions": "Agents and accounts that are asked",
    "agent_sessions_failing": "Of them, those that do not answer",
}
COUNTERS: Final = frozenset({"lists", "watches", "failures"})


class OperatorMetrics(Collector):
    """Renders what `read` says."""

    def __init__(self, read: Callable[[], Figures]) -> None:
        self._read = read
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def describe(self) -> list[Metric]:
        """Return nothing: a description would have to read the figures."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Each figure, by kind where it has one."""
        for name, values in self._read().items():
            kind = CounterMetricFamily if name in COUNTERS else GaugeMetricFamily
            labels = ["kind"] if "" not in values else []
            family = kind(f"freehold_operator_{name}", HELP[name], labels=labels)
            for label, value in values.items():
                family.add_metric([label] if labels else [], value)
            yield family

    def render(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)
