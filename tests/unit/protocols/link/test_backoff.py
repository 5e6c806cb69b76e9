"""How long to wait before connecting again."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.link.backoff import CAP_SECONDS, reconnect_delay


@given(st.integers(-1, 10_000), st.floats(0, 1, exclude_max=True), st.integers(0, 2**63 - 1))
def test_a_wait_is_bounded(attempt: int, jitter: float, spread: int):
    """However often it failed and whatever a peer asks for, it is at most a minute."""
    assert 0 <= reconnect_delay(attempt, jitter, spread) <= CAP_SECONDS


def test_windows_double_and_jitter_is_full():
    """Uniform over the whole window, which doubles from one second to a minute."""
    assert [reconnect_delay(attempt, 0.5) for attempt in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert reconnect_delay(5, 0.0) == 0


def test_the_window_can_be_kept_smaller():
    """By an owner who wants his agents back sooner."""
    assert reconnect_delay(9, 0.5, cap=4) == 2
    assert reconnect_delay(0, 0.5, 60_000, cap=4) == 2


def test_a_restarting_control_plane_spreads_its_agents():
    """The spread of its goodbye widens the first window, and later ones are wider anyway."""
    assert reconnect_delay(0, 0.5, 20_000) == 10
    assert reconnect_delay(6, 0.5, 20_000) == 30
