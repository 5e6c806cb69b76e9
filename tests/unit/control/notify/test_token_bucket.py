"""So many an hour, and a few at once."""

from control.notify.token_bucket import BURST, TokenBucket


def test_burst_then_rate() -> None:
    """The first ones at once, then one whenever its share of an hour is over; none is saved up."""
    allowance = TokenBucket(0.0)
    assert [allowance.try_take(60, 0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert not allowance.try_take(60, 59.0)
    assert allowance.try_take(60, 61.0)
    assert [allowance.try_take(60, 1e6) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_few() -> None:
    """No burst beyond what an hour may have."""
    allowance = TokenBucket(0.0)
    assert [allowance.try_take(2, 1.0) for _ in range(3)] == [True, True, False]
