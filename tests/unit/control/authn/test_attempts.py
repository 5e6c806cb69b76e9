"""Five failures, fifteen minutes."""

from control.authn.attempts import LOCKOUT_DURATION, MAX_FAILURES, next_count


def test_the_sixth_does_not_count_until_the_time_is_over() -> None:
    """And trying on does not make it longer."""
    count, now = 0, 10**18
    for expected in range(1, MAX_FAILURES + 1):
        found = next_count(count, now, now)
        assert found == expected
        count = found
    assert next_count(count, now, now + LOCKOUT_DURATION - 1) is None
    assert next_count(count, now, now + LOCKOUT_DURATION) == 1
