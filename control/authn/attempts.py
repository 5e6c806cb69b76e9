"""Wrong passwords and codes of an account: after five it is locked for 15 minutes (`security.md`).

Each purpose has a counter of its own, so that attempts by strangers do not lock what the signed-in
owner confirms with. An attempt is counted before the password is compared, in a transaction, so
that a hundred at once are no more than five. The counter is kept in the database, where neither
another process nor a restart resets it. Sessions and API tokens that exist go on working: an
attacker can lock an account's login and nothing else.
"""

from enum import Enum
from typing import Final

from control.store import people
from control.store.rows import Tx
from protocols.instant import MINUTE

MAX_FAILURES: Final = 5
LOCKOUT_DURATION: Final = 15 * MINUTE


def next_count(count: int, last_at: int, now: int) -> int | None:
    """The count with this attempt, or None while the account is locked.

    Neither further attempts nor a clock that was ahead lock it for longer.
    """
    if abs(now - last_at) >= LOCKOUT_DURATION:
        return 1
    return None if count >= MAX_FAILURES else count + 1


class Purpose(Enum):
    """What the attempt is for. The value ends the counter's name; no user name contains `#`."""

    SIGN_IN = ""
    SIGN_IN_CODE = "#code"
    CONFIRM = "#confirm"
    CONFIRM_CODE = "#confirm-code"


def count_attempt(tx: Tx, org: str, name: str, purpose: Purpose, now: int) -> bool:
    """Count an attempt; False while the account is locked for this purpose."""
    counter = name + purpose.value
    count, last_at = people.get_failures(tx, org, counter)
    counted = next_count(count, last_at, now)
    if counted is not None:
        people.put_failures(tx, org, counter, counted, now)
    return counted is not None


def clear_attempts(tx: Tx, org: str, name: str, *purposes: Purpose) -> None:
    """Reset the counters of these purposes, or of all, after an attempt that succeeded."""
    for purpose in purposes or Purpose:
        people.clear_failures(tx, org, name + purpose.value)
