"""Remote write, as a receiver takes it apart."""

import cramjam

from protocols.telemetry.remote_write import WriteRequest, write_request
from tests.unit.protocols.telemetry.figures import families


def test_every_sample_is_a_series() -> None:
    """Labels sorted, ours beside the sample's own, one value at the moment."""
    body = write_request(families(), {"job": "freehold", "instance": "a"}, 1_700_000_000_123)
    read = WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    found = {}
    for series in read.timeseries:
        labels = [(label.name, label.value) for label in series.labels]
        assert labels == sorted(labels)
        [sample] = series.samples
        assert sample.timestamp == 1_700_000_000_123
        named = dict(labels)
        assert (named.pop("job"), named.pop("instance")) == ("freehold", "a")
        found[named.pop("__name__"), tuple(named.items())] = sample.value
    assert found["x_requests_total", (("method", "GET"),)] == 3
    assert found["x_seconds_bucket", (("at", "a"), ("le", "+Inf"))] == 3
    assert found["x_open", ()] == 1.5
