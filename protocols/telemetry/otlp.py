"""Figures as OTLP metrics, by OpenTelemetry's own protobuf classes. Pure.

Counters become cumulative monotonic sums (their `_total` is Prometheus' way of saying so), gauges
gauges, histograms histograms with explicit bounds.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from protocols.telemetry.metric_families import MetricFamilies, MetricFamily, MetricSample

HEADERS: Final = {"Content-Type": "application/x-protobuf"}
METRICS_PATH: Final = "/v1/metrics"
TRACES_PATH: Final = "/v1/traces"
SCOPE: Final = "freehold"


def metrics_request(
    families: MetricFamilies, resource: Mapping[str, str], *, since: int, now: int
) -> bytes:
    """The body of one export; `since`: when counting began; both Unix nanoseconds."""
    request = ExportMetricsServiceRequest()
    told = request.resource_metrics.add()
    told.resource.attributes.extend(_attributes(resource))
    scope = told.scope_metrics.add()
    scope.scope.name = SCOPE
    for family in families:
        if family.samples:
            _fill(scope.metrics.add(), family, since, now)
    return request.SerializeToString()


def _fill(metric: Metric, family: MetricFamily, since: int, now: int) -> None:
    metric.name, metric.description = family.name, family.documentation
    match family.type:
        case "histogram":
            metric.histogram.aggregation_temporality = (
                AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            )
            _histograms(metric, family.samples, since, now)
        case "counter":
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = (
                AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            )
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    _point(metric.sum.data_points.add(), sample, since, now)
        case _:
            for sample in family.samples:
                _point(metric.gauge.data_points.add(), sample, since, now)


def _point(point: Any, sample: MetricSample, since: int, now: int) -> None:
    point.start_time_unix_nano, point.time_unix_nano = since, now
    point.as_double = sample.value
    point.attributes.extend(_attributes(sample.labels))


def _histograms(metric: Metric, samples: Sequence[MetricSample], since: int, now: int) -> None:
    """One point a set of labels, `le` aside: cumulative buckets become counts of their own."""
    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        found = series.setdefault(tuple(sorted(labels.items())), {})
        found[sample.labels.get("le", sample.name.rpartition("_")[2])] = sample.value
    for key, values in series.items():
        by_bound = {float(n): v for n, v in values.items() if n[:1].isdigit() or n == "+Inf"}
        bounds = sorted(by_bound)
        point = metric.histogram.data_points.add()
        point.start_time_unix_nano, point.time_unix_nano = since, now
        point.attributes.extend(_attributes(dict(key)))
        point.explicit_bounds.extend(bound for bound in bounds if bound != inf)
        below = 0
        for bound in bounds:
            point.bucket_counts.append(int(by_bound[bound]) - below)
            below = int(by_bound[bound])
        point.count, point.sum = below, values.get("sum", 0.0)


def _attributes(labels: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in sorted(labels.items())]
