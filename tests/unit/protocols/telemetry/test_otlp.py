"""OTLP metrics, as OpenTelemetry's own classes read them."""

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from protocols.telemetry.otlp import metrics_request
from tests.unit.protocols.telemetry.figures import families


def test_counters_gauges_and_histograms() -> None:
    """Sums are cumulative and monotonic; buckets hold their own counts; the resource is named."""
    body = metrics_request(families(), {"service.name": "freehold"}, since=5, now=9)
    [told] = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert told.resource.attributes[0].value.string_value == "freehold"
    found = {metric.name: metric for metric in told.scope_metrics[0].metrics}
    counter = found["x_requests"].sum
    assert counter.is_monotonic
    assert counter.aggregation_temporality == 2
    [point] = counter.data_points
    assert (point.as_double, point.start_time_unix_nano, point.time_unix_nano) == (3, 5, 9)
    assert found["x_open"].gauge.data_points[0].as_double == 1.5
    [point] = found["x_seconds"].histogram.data_points
    assert list(point.explicit_bounds) == [0.5, 1.0]
    assert list(point.bucket_counts) == [2, 0, 1]
    assert (point.count, round(point.sum, 3)) == (3, 5.2)
    assert [a.key for a in point.attributes] == ["at"]
