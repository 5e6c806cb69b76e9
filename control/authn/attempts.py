"""Wrong passwords and codes of an account, counted for each purpose (`lockout`).

What strangers can try does not lock what its signed-in owner confirms with: each purpose has a
counter of its own.
"""

from enum import Enum

from control.authn import lockout
from control.store import people
from control.store.rows import Tx


class Purpose(Enum):
    """What is tried; the value ends the counter's name, which is no name of a user."""

    SIGN_IN = ""
    SIGN_IN_CODE = "#code"
    CONFIRM = "#confirm"
    CONFIRM_CODE = "#confirm-code"


def count_attempt(tx: Tx, org: str, name: str, purpose: Purpose, now: int) -> bool:
    """Count an attempt; False while they are locked."""
    counter = name + purpose.value
    count, last_at = people.get_failures(tx, org, counter)
    counted = lockout.next_count(count, last_at, now)
    if counted is not None:
        people.put_failures(tx, org, counter, counted, now)
    return counted is not None


def clear_attempts(tx: Tx, org: str, name: str, *purposes: Purpose) -> None:
    """An attempt was right, or nothing of it counts any more; without purposes all of them."""
    for purpose in purposes or Purpose:
        people.clear_failures(tx, org, name + purpose.value)
