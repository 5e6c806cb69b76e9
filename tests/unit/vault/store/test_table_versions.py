"""`TableVersions`: what a transaction has touched is counted once it is over."""

from tests.contract.store.samples import system, user
from vault.store.committer import TableVersions
from vault.store.tables import AUTH_ENTRIES, SYSTEM, USERS


def test_a_transaction_counts_once_for_a_table() -> None:
    """However many of its rows it has changed; of `system` it counts for the row."""
    versions = TableVersions()
    assert versions.version_of(USERS) == versions.version_of(SYSTEM, "a") == 0
    rows = [(USERS, (name,), user(name)) for name in ("ann", "bob")]
    versions.record_transaction([*rows, (SYSTEM, ("a",), system("a"))])
    versions.record_transaction([(SYSTEM, ("b",), None)])
    assert (
        versions.version_of(USERS),
        versions.version_of(SYSTEM, "a"),
        versions.version_of(SYSTEM, "b"),
    ) == (1, 1, 1)
    assert versions.total == 2


def test_anything_may_have_changed() -> None:
    """Who goes by a table or a row of `system` hears of it."""
    versions = TableVersions()
    versions.record_transaction([(USERS, ("ann",), None)])
    versions.record_unknown_changes()
    assert (versions.version_of(USERS), versions.version_of(SYSTEM, "a"), versions.total) == (
        2,
        1,
        2,
    )


def test_entries_count_for_their_mount() -> None:
    """And for their table; what may have been anything counts for each."""
    versions = TableVersions()
    counted = (("m",), ("other",), ())

    def found() -> list[int]:
        return [versions.version_of(AUTH_ENTRIES, *key) for key in counted]

    versions.record_transaction([(AUTH_ENTRIES, ("m", "role", name), None) for name in "ab"])
    assert found() == [1, 0, 1]
    versions.record_transaction([(AUTH_ENTRIES, ("other", "role", "a"), None)])
    assert found() == [1, 1, 2]
    versions.record_unknown_changes()
    assert found() == [2, 2, 3]
