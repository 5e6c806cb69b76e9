"""The control plane's metrics for Prometheus."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

COUNTED_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GaugeReaders = Mapping[str, Callable[[], float]]


class PrometheusMetrics:
    """A registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "control_requests", "Answered requests", ["method", "status"], registry=self._registry
        )

    def count_request(self, method: str, status: int) -> None:
        """Count one answer."""
        self._requests.labels(method if method in COUNTED_METHODS else "other", str(status)).inc()

    @contextmanager
    def sample_gauges(
        self, agents: Callable[[], Mapping[str, int]], gauges: GaugeReaders
    ) -> Iterator[None]:
        """Read these at each scrape for the length of the block."""
        collector = _ScrapeCollector(agents, gauges)
        self._registry.register(collector)
        try:
            yield
        finally:
            self._registry.unregister(collector)

    def families(self) -> list[Metric]:
        """All metrics as they are now, for other encoders."""
        return list(self._registry.collect())

    def render(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)


class _ScrapeCollector(Collector):
    def __init__(self, agents: Callable[[], Mapping[str, int]], gauges: GaugeReaders) -> None:
        self._agents = agents
        self._gauges = gauges

    def describe(self) -> list[Metric]:
        """Nothing: describing must not read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Active agents by state, and each gauge."""
        family = GaugeMetricFamily("control_agents", "Active agents by state", labels=["state"])
        for state, count in self._agents().items():
            family.add_metric([state], count)
        yield family
        for name, read in self._gauges.items():
            yield GaugeMetricFamily(f"control_{name}", name.replace("_", " "), value=read())
