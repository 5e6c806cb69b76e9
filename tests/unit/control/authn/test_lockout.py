"""Five failures, fifteen minutes."""

from control.authn.lockout import DURATION, FAILURES, attempt


def test_the_sixth_does_not_count_until_the_time_is_over() -> None:
    """And trying on does not make it longer."""
    count, now = 0, 10**18
    for expected in range(1, FAILURES + 1):
        found = attempt(count, now, now)
        assert found == expected
        count = found
    assert attempt(count, now, now + DURATION - 1) is None
    assert attempt(count, now, now + DURATION) == 1
