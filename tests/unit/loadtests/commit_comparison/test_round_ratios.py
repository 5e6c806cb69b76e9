"""loadtests.commit_comparison: rounds are compared one by one, not by medians."""

import pytest

from loadtests.commit_comparison import compare_rounds


def test_a_slow_hour_is_not_a_difference() -> None:
    """Both were slow then; the second one is a tenth quicker in each round."""
    before = [1_000.0, 500.0, 800.0, 2_000.0]
    assert compare_rounds(before, [1.1 * each for each in before]) == pytest.approx((1.1, 1.1, 1.1))
