"""Five wrong passwords, and the account waits for 15 minutes (`security.md`).

An attempt is counted before the password is looked at, in a transaction, so that a hundred at once
are no more than five; it is kept in the database, so that neither another process nor a restart
gives new ones. Spellings do not matter: a name has only one. Sessions and API tokens that exist
go on working, so an attacker cannot lock anybody out of more than the login.
"""

from typing import Final

from protocols.instant import SECOND

MAX_FAILURES: Final = 5
LOCKOUT_DURATION: Final = 15 * 60 * SECOND


def next_count(count: int, last_at: int, now: int) -> int | None:
    """The count with this attempt, or None for one that does not count: locked.

    A locked account is not locked for longer by trying on, nor by a clock that was ahead.
    """
    if abs(now - last_at) >= LOCKOUT_DURATION:
        return 1
    return None if count >= MAX_FAILURES else count + 1
