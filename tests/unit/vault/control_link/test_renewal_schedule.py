"""When to ask for the next certificate."""

import pytest

from vault.control_link.credential_manager import (
    RETRY_CAP,
    seconds_until_renewal,
    seconds_until_retry,
)

HOUR = 3600 * 10**9


@pytest.mark.parametrize(("jitter", "hours"), [(0.0, 12.0), (0.5, 13.92), (0.999, 15.84)])
def test_it_is_due_between_half_and_two_thirds(jitter: float, hours: float) -> None:
    """Of 24 hours of life, at a moment of its own."""
    assert seconds_until_renewal(0, 24 * HOUR, jitter, 0) == pytest.approx(hours * 3600, abs=60)


def test_what_is_overdue_is_due_now() -> None:
    """Also long after the end."""
    assert seconds_until_renewal(0, 24 * HOUR, 0.5, 1000 * HOUR) == 0.0


def test_asking_again_backs_off() -> None:
    """At least a second, at most five minutes and one, and spread."""
    assert seconds_until_retry(0, 0.0) == 1.0
    assert seconds_until_retry(3, 0.5) == 9.0
    assert seconds_until_retry(10**6, 0.999) <= 1 + RETRY_CAP
