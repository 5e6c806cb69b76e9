"""Tests of endings: what a transaction has touched is counted once it is over."""

from tests.contract.store.samples import system, user
from vault.store.table_versions import TableVersions
from vault.store.tables import SYSTEM, USERS


def test_a_transaction_counts_once_for_a_table() -> None:
    """However many of its rows it has changed; of `system` it counts for the row."""
    endings = TableVersions()
    assert endings.version_of(USERS) == endings.version_of(SYSTEM, "a") == 0
    rows = [(USERS, (name,), user(name)) for name in ("ann", "bob")]
    endings.record_transaction([*rows, (SYSTEM, ("a",), system("a"))])
    endings.record_transaction([(SYSTEM, ("b",), None)])
    assert (
        endings.version_of(USERS),
        endings.version_of(SYSTEM, "a"),
        endings.version_of(SYSTEM, "b"),
    ) == (1, 1, 1)
    assert endings.total == 2


def test_anything_may_have_changed() -> None:
    """Who goes by a table or a row of `system` hears of it."""
    endings = TableVersions()
    endings.record_transaction([(USERS, ("ann",), None)])
    endings.note_all()
    assert (endings.version_of(USERS), endings.version_of(SYSTEM, "a"), endings.total) == (2, 1, 2)
