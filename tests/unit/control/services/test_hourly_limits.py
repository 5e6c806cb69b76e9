"""So many an hour, and a few at once."""

from control.services.hourly_limits import BURST, hourly_bucket, set_hourly_rate


def test_burst_then_rate() -> None:
    """The first ones at once, then one whenever its share of an hour is over; none is saved up."""
    bucket = hourly_bucket(60, 0.0)
    assert [bucket.try_consume(0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert not bucket.try_consume(59.0)
    assert bucket.try_consume(61.0)
    assert [bucket.try_consume(1e6) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_few() -> None:
    """No burst beyond what an hour may have."""
    bucket = hourly_bucket(2, 0.0)
    assert [bucket.try_consume(1.0) for _ in range(3)] == [True, True, False]


def test_a_lower_rate_holds_at_once() -> None:
    """A channel's owner lowers it: what was saved up beyond the new burst is gone."""
    bucket = hourly_bucket(3600, 0.0)
    set_hourly_rate(bucket, 2, 0.0)
    assert [bucket.try_consume(0.0) for _ in range(3)] == [True, True, False]
    set_hourly_rate(bucket, 3600, 0.0)
    assert [bucket.try_consume(0.5) for _ in range(2)] == [False, False]
    assert bucket.try_consume(1.0)
