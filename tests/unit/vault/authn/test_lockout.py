"""Lockout: five failures, fifteen minutes, within a bound of memory."""

from vault.authn.lockout import DURATION, FAILURES, RESET, Lockout

KEY = ("id", "10.0.0.1")


def _fail(lockout: Lockout, times: int, now: int = 0, key: tuple[str, str] = KEY) -> None:
    for _ in range(times):
        lockout.record_failure(key, now)


def test_locks_at_the_fifth() -> None:
    """Four failures do nothing, the fifth locks, for this pair only."""
    lockout = Lockout()
    _fail(lockout, FAILURES - 1)
    assert not lockout.is_locked(KEY, 0)
    _fail(lockout, 1)
    assert lockout.is_locked(KEY, 0)
    assert not lockout.is_locked(("id", "10.0.0.2"), 0)
    assert not lockout.is_locked(("other", "10.0.0.1"), 0)


def test_ends_exactly() -> None:
    """It ends after 15 minutes to the nanosecond; trying on does not make it longer."""
    lockout = Lockout()
    _fail(lockout, FAILURES)
    _fail(lockout, 100, DURATION - 1)
    assert lockout.is_locked(KEY, DURATION - 1)
    assert not lockout.is_locked(KEY, DURATION)


def test_counts_anew_after_it() -> None:
    """After a lockout five more failures are needed, not one."""
    lockout = Lockout()
    _fail(lockout, FAILURES)
    _fail(lockout, FAILURES - 1, DURATION)
    assert not lockout.is_locked(KEY, DURATION)
    _fail(lockout, 1, DURATION)
    assert lockout.is_locked(KEY, DURATION)


def test_reset() -> None:
    """A success, or 15 minutes without a failure, forgets what was counted."""
    lockout = Lockout()
    _fail(lockout, FAILURES - 1)
    lockout.record_success(KEY)
    _fail(lockout, FAILURES - 1)
    assert not lockout.is_locked(KEY, 0)
    _fail(lockout, 1, RESET)
    assert not lockout.is_locked(KEY, RESET)


def test_bounded() -> None:
    """At most `max_keys` pairs are kept; the one that failed longest ago goes first."""
    lockout = Lockout(max_keys=10)
    _fail(lockout, FAILURES)
    for i in range(9):
        lockout.record_failure((f"{i}", "x"), 0)
    assert (len(lockout), lockout.is_locked(KEY, 0)) == (10, True)
    for i in range(100):
        lockout.record_failure((f"n{i}", "x"), 0)
    assert (len(lockout), lockout.is_locked(KEY, 0)) == (10, False)


def test_a_clock_that_was_ahead_locks_nobody() -> None:
    """When it is right again."""
    lockout = Lockout()
    _fail(lockout, FAILURES, 100 * DURATION)
    assert not lockout.is_locked(KEY, 0)
    _fail(lockout, FAILURES - 1, 0)
    assert not lockout.is_locked(KEY, 0)
