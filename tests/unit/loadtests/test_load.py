"""What a load asks for, and how its figures are taken."""

import pytest

from loadtests.load import Load, Sample, next_begin, percentile


def test_paths_are_all_different_and_spread_over_all_names() -> None:
    """A sample of the names is no neighbourhood, and the whole is every name once."""
    load = Load(operation="read", names=1_000, folder="f")
    assert len(set(load.paths())) == 1_000
    assert load.paths(most=2) == ["/v1/secret/data/f/0/0", "/v1/secret/data/f/0/919"]


def test_a_run_begins_where_the_last_did_not() -> None:
    """Its names are the same, in the same order, from another one on."""
    load = Load(operation="read", names=1_000_000)
    first, second = (load.paths(next_begin()) for _ in range(2))
    assert set(first) == set(second)
    assert not set(first[:20_000]) & set(second[:20_000])
    assert second == first[(place := first.index(second[0])) :] + first[:place]


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.75, 3), (0.99, 4), (0, 1), (1, 4)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    """The smallest that at least this share is no larger than."""
    assert percentile([1, 2, 3, 4], share) == value


def test_nothing_has_no_percentile() -> None:
    """An empty run shows nought, it does not fail."""
    assert percentile([], 0.99) == 0


def test_a_rate_is_requests_by_seconds() -> None:
    """Not by the seconds that were asked for."""
    sample = Sample(requests=30, seconds=1.5, p50_ms=1, p95_ms=1, p99_ms=1)
    assert sample.rate == 20


def test_a_client_is_told_as_one_would_type_it() -> None:
    """With wrk for HTTP/1.1, with h2load for HTTP/2."""
    assert Load(operation="read", connections=7).client == "wrk -t1 -c7"
    assert Load(operation="read", http=2, connections=8, streams=3).client == "h2load -c8 -m3"
