"""loadtests.commit_comparison: rounds are compared one by one, not by medians."""

import pytest

from loadtests.commit_comparison import RoundRatios, compare_rounds


def test_a_slow_hour_is_not_a_difference() -> None:
    """Both were slow then; the second one is a tenth quicker in each round."""
    before = [1_000.0, 500.0, 800.0, 2_000.0]
    assert compare_rounds(before, [1.1 * each for each in before]) == pytest.approx((1.1, 1.1, 1.1))


def test_half_of_the_rounds_lie_between_low_and_high() -> None:
    """One round that went wrong moves neither of them far."""
    assert compare_rounds([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 100.0]) == RoundRatios(3.0, 2.0, 4.0)


def test_one_round_says_nothing() -> None:
    """Nor does a round that one of the two did not have."""
    with pytest.raises(ValueError, match="one round"):
        compare_rounds([1.0], [1.0])
    with pytest.raises(ValueError, match="shorter"):
        compare_rounds([1.0, 1.0], [1.0])
