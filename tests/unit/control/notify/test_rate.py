"""So many an hour, and a few at once."""

from control.notify.rate import BURST, Allowance


def test_burst_then_rate() -> None:
    """The first ones at once, then one whenever its share of an hour is over; none is saved up."""
    allowance = Allowance(0.0)
    assert [allowance.take(60, 0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert not allowance.take(60, 59.0)
    assert allowance.take(60, 61.0)
    assert [allowance.take(60, 1e6) for _ in range(BURST + 1)] == [True] * BURST + [False]


def test_few() -> None:
    """No burst beyond what an hour may have."""
    allowance = Allowance(0.0)
    assert [allowance.take(2, 1.0) for _ in range(3)] == [True, True, False]
