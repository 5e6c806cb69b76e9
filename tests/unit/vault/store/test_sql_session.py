"""vault.store.sql, its session: what a driver says is told in the store's words."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from tests.contract.store.samples import StampGuard, put, secret, system
from vault.errors import TamperedError
from vault.model.records import SecretRow
from vault.store import sql
from vault.store.interface import BackendError, ConstraintError, StoreSession, WriteSet
from vault.store.sql import SqlSession
from vault.store.sqlite import SqliteBackend
from vault.store.tables import SECRETS, SYSTEM
from vault.store.transaction import transact


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SqliteBackend]:
    """An open one with one secret and one system row."""
    made = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
    made.open()
    transact(made, put(SYSTEM, system("a")))
    transact(made, put(SECRETS, secret("a")), StampGuard())
    yield made
    made.close()


def driver(backend: SqliteBackend) -> sqlite3.Connection:
    """A second connection to the same file."""
    return sqlite3.connect(backend._path)


def test_undecodable(backend: SqliteBackend) -> None:
    """Text that is no UTF-8 is tampering, and the error names the table."""
    with driver(backend) as database:
        database.execute("UPDATE secrets SET id = CAST(x'ff' AS TEXT)")
    database.close()
    with backend.read() as session, pytest.raises(TamperedError) as caught:
        session.get(SECRETS, ("a",))
    assert caught.value.details == {"table": "secrets"}


def test_stamp_that_is_none(backend: SqliteBackend) -> None:
    """A stamp that is not even bytes counts as an empty one."""
    with driver(backend) as database:
        database.execute("UPDATE secrets SET mac = 'text'")
    database.close()
    with backend.read() as session:
        assert session.get_macs(SECRETS, [("a",), ("b",)]) == {("a",): b""}
        assert list(session.iter_macs(SECRETS)) == [(("a",), b"")]


def test_a_key_of_another_type_is_told_as_it_is(backend: SqliteBackend) -> None:
    """No query finds it, and no sum may take it for the row."""
    with driver(backend) as database:
        database.execute("UPDATE secrets SET name = CAST(name AS BLOB)")
    database.close()
    with backend.read() as session:
        assert [key for key, _ in session.iter_macs(SECRETS)] == [(b"a",)]


def test_iter_macs_of_many(backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them once, however many are fetched at a time."""
    monkeypatch.setattr(sql, "_MACS_PER_FETCH", 2)
    guard = StampGuard()
    for name in "bcdef":
        transact(backend, put(SECRETS, secret(name, id=f"id-{name}")), guard)
    with backend.read() as session:
        found = list(session.iter_macs(SECRETS))
        stamps = session.get_macs(SECRETS, [(name,) for name in "abcdef"])
    assert sorted(found) == sorted(stamps.items())
    assert len(found) == 6


def test_a_delete_that_meets_no_row(backend: SqliteBackend) -> None:
    """Rows that go are rows that are there: the database has accepted it and done nothing."""
    writes = WriteSet(inserts={SYSTEM: [system("b")]}, deletes={SYSTEM: [("absent",)]})
    with pytest.raises(TamperedError) as refused:
        backend.write(lambda _: writes)
    assert refused.value.code == "storage_write_ignored"
    with backend.read() as session:
        assert session.get(SYSTEM, ("b",)) is None


def test_impossible_keys(backend: SqliteBackend) -> None:
    """A key that cannot be stored is not there, and does not hide those asked for beside it."""
    keys = [("\ud800",), ("a",)]
    with backend.read() as session:
        assert session.get_many(SYSTEM, keys) == {("a",): system("a")}
        assert session.existing_keys(SYSTEM, keys) == {("a",)}


def test_update_of_nothing(backend: SqliteBackend) -> None:
    """An update that meets no row contradicts what is stored; nothing of it stays."""
    with pytest.raises(ConstraintError):
        backend.write(lambda _: WriteSet(updates={SYSTEM: [system("a", b"new"), system("b")]}))
    with backend.read() as session:
        assert session.get(SYSTEM, ("a",)) == system("a")


def test_what_stays_is_spared(backend: SqliteBackend) -> None:
    """A known row keeps its indexed columns, and its update is refused if they are not as known.

    So a row that somebody else has changed meanwhile is not left half his and half ours.
    """
    said: list[str] = []
    old = secret("a")
    new = replace(old, current_version=2, tags=["t"])
    moved = replace(new, expires_at=7)

    def write(row: SecretRow, known: SecretRow) -> None:
        backend.write(
            lambda _: WriteSet(updates={SECRETS: [row]}, previous={SECRETS: {("a",): known}})
        )

    assert backend._writer is not None
    listening(backend._writer, said)
    write(new, old)
    assert "expires_at=" not in said[-1]
    write(moved, new)
    assert "expires_at=" in said[-1]
    with pytest.raises(ConstraintError):
        write(replace(new, current_version=3), new)
    with backend.read() as session:
        assert session.get(SECRETS, ("a",)) == moved


def listening(connection: sa.Connection, said: list[str]) -> None:
    """Note each update that the driver runs."""
    database = connection.connection.dbapi_connection
    assert isinstance(database, sqlite3.Connection)
    database.set_trace_callback(lambda text: said.append(text) if "UPDATE" in text else None)


def test_driver_fault(backend: SqliteBackend) -> None:
    """What the driver raises is the store's fault, whichever way the statement was run."""

    def lose(session: StoreSession) -> WriteSet:
        assert isinstance(session, SqlSession)
        session._connection.cursor().execute("DROP TABLE credential_usage")
        session._connection.cursor().execute("DROP TABLE system")
        session.get(SYSTEM, ("a",))
        return WriteSet()

    with pytest.raises(BackendError):
        backend.write(lose)
    with backend.read() as session:
        assert session.get(SYSTEM, ("a",)) == system("a")
