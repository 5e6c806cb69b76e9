"""Tests of endings: what a transaction has touched is counted once it is over."""

from tests.contract.store.samples import system, user
from vault.store.endings import Endings
from vault.store.tables import SYSTEM, USERS


def test_a_transaction_counts_once_for_a_table() -> None:
    """However many of its rows it has changed; of `system` it counts for the row."""
    endings = Endings()
    assert endings.of(USERS) == endings.of(SYSTEM, "a") == 0
    rows = [(USERS, (name,), user(name)) for name in ("ann", "bob")]
    endings.note([*rows, (SYSTEM, ("a",), system("a"))])
    endings.note([(SYSTEM, ("b",), None)])
    assert (endings.of(USERS), endings.of(SYSTEM, "a"), endings.of(SYSTEM, "b")) == (1, 1, 1)
    assert endings.total == 2


def test_anything_may_have_changed() -> None:
    """Who goes by a table or a row of `system` hears of it."""
    endings = Endings()
    endings.note([(USERS, ("ann",), None)])
    endings.note_all()
    assert (endings.of(USERS), endings.of(SYSTEM, "a"), endings.total) == (2, 1, 2)
