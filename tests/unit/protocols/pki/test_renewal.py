from hypothesis import given
from hypothesis import strategies as st

from protocols.pki.profile import renewal_time

DAY = 86_400 * 10**9


@given(st.integers(0, 2**62), st.floats(0, 1, exclude_max=True))
def test_between_half_and_two_thirds_of_its_life(begin: int, jitter: float) -> None:
    """Never earlier, never later."""
    instant = renewal_time(begin, begin + DAY, jitter)
    assert 0.50 * DAY <= instant - begin <= 0.66 * DAY


def test_a_fleet_is_spread() -> None:
    """The jitter is all of the spread."""
    assert renewal_time(0, DAY, 0.0) == DAY // 2
    assert renewal_time(0, DAY, 0.5) == round(0.58 * DAY)
