"""Totals of rows: the same whichever way the rows came, another for every other set of rows."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.contract.store.samples import put, secret, user
from tests.unit.vault.seal.anchor.places import KEYRING, KEYS, renamed
from vault.barrier import HmacRowGuard
from vault.seal.anchor.row_totals import (
    GUARDED_TABLES,
    RowTotals,
    sum_rows,
)
from vault.store.memory import MemoryBackend
from vault.store.tables import AUDIT, SECRETS, SYSTEM, TOKENS, USERS
from vault.store.transaction import transact

STAMPS = st.sets(st.binary(min_size=32, max_size=32), max_size=6)


def of(**tables: set[bytes]) -> RowTotals:
    """The totals of rows with these stamps."""
    by_name = {table.name: table for table in GUARDED_TABLES}
    stamps: Any = {by_name[name]: ([], list(found)) for name, found in tables.items()}
    return RowTotals().apply_changes(stamps, KEYS)


@given(STAMPS, STAMPS, STAMPS)
def test_a_change_gives_the_totals_of_what_is_left(
    stay: set[bytes], go: set[bytes], come: set[bytes]
) -> None:
    """Whatever went and came: only what is there counts."""
    go, come = go - stay, come - stay
    changed = of(users=stay | go).apply_changes({USERS: (list(go), list(come))}, KEYS)
    assert changed.differing_tables(of(users=stay | come)) == []


def test_the_tables_that_differ_are_named() -> None:
    """A row less, another row, a row in another table."""
    whole = of(users={b"a", b"b"}, tokens={b"c"})
    assert whole.differing_tables(of(users={b"a"}, tokens={b"c"})) == ["users"]
    assert whole.differing_tables(of(users={b"a", b"x"})) == ["tokens", "users"]
    assert whole.differing_tables(of(users={b"a", b"b", b"c"})) == ["tokens", "users"]


def test_they_are_read_back() -> None:
    """An empty table is one that is not named."""
    totals = of(users={b"a"}, tokens=set())
    assert RowTotals.from_bytes(totals.to_bytes()).differing_tables(totals) == []
    assert totals.apply_changes({USERS: ([b"a"], [])}, KEYS).to_bytes() == RowTotals().to_bytes()


def test_all_that_gives_authority_is_counted() -> None:
    """And what is only a help or is counted elsewhere is not."""
    assert {SECRETS, USERS, TOKENS} < set(GUARDED_TABLES)
    assert not {SYSTEM, AUDIT} & set(GUARDED_TABLES)
    backend, guard = MemoryBackend(), HmacRowGuard(KEYRING)
    transact(backend, put(SECRETS, secret("a")), guard)
    transact(backend, put(USERS, user("u")), guard)
    with backend.read() as session:
        found = sum_rows(session, KEYS)
    assert found.differing_tables(RowTotals()) == ["secrets", "users"]
    assert sum_rows(session, KEYS).differing_tables(found) == []


def test_a_row_under_another_key_is_another_row() -> None:
    """Its MAC is the same; nobody finds it, so nobody checks it."""
    backend, guard = MemoryBackend(), HmacRowGuard(KEYRING)
    transact(backend, put(USERS, user("u")), guard)
    with backend.read() as session:
        before = sum_rows(session, KEYS)
    renamed(backend, "u")
    with backend.read() as session:
        assert sum_rows(session, KEYS).differing_tables(before) == ["users"]
