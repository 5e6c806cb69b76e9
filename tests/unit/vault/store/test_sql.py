"""vault.store.sql: a transaction that breaks, and a connection that is never used again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.contract.store.samples import StampGuard, put, secret, system
from vault.store.interface import UNKNOWN, BackendError, StoreSession, WriteSet
from vault.store.sqlite import SqliteBackend
from vault.store.table import StoreQuery
from vault.store.tables import SECRETS, SYSTEM
from vault.store.transaction import transact

CANARY = "canary-5f3a"


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SqliteBackend]:
    """An open one with one row."""
    made = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
    made.open()
    transact(made, put(SYSTEM, system("a")))
    yield made
    made.close()


def rows(backend: SqliteBackend) -> list[str]:
    """The names that a reader sees."""
    with backend.read() as session:
        return [row.name for row in session.select(SYSTEM, StoreQuery())]


def test_lost_transaction(backend: SqliteBackend) -> None:
    """When SQLite has rolled back by itself, the flush does not commit row by row."""

    def apply(session: Any) -> WriteSet:
        session._connection.cursor().execute("ROLLBACK")
        return WriteSet(inserts={SYSTEM: [system("b"), system("c")]})

    with pytest.raises(BackendError):
        backend.write(apply)
    assert rows(backend) == ["a"]
    transact(backend, put(SYSTEM, system("d")))
    assert rows(backend) == ["a", "d"]


def test_connection_after_a_fault(backend: SqliteBackend) -> None:
    """After a fault the writer has another connection; after a change's own error the same."""

    def fault(_: StoreSession) -> WriteSet:
        raise BackendError("store_unavailable", "the disk is gone")

    def error(_: StoreSession) -> WriteSet:
        raise ZeroDivisionError

    first = backend._writer
    with pytest.raises(ZeroDivisionError):
        backend.write(error)
    assert backend._writer is first
    with pytest.raises(BackendError):
        backend.write(fault)
    assert backend._writer is None
    transact(backend, put(SYSTEM, system("b")))
    assert backend._writer is not None
    assert backend._writer is not first
    assert first is not None
    assert first.closed


def test_failed_commit(backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the commit itself fails the outcome is unknown, and the connection is gone."""

    def fail(_: object) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("disk I/O error"))

    monkeypatch.setattr(sa.Connection, "commit", fail)
    with pytest.raises(BackendError) as caught:
        transact(backend, put(SYSTEM, system("b")))
    assert caught.value.details == {"outcome": UNKNOWN}
    assert backend._writer is None
    monkeypatch.undo()
    assert rows(backend) == ["a"]


def test_closed_backend(backend: SqliteBackend) -> None:
    """Nothing is read, written, connected or checked while it is closed."""
    backend.close()
    with pytest.raises(BackendError):
        rows(backend)
    with pytest.raises(BackendError):
        transact(backend, put(SYSTEM, system("b")))
    with pytest.raises(BackendError):
        backend.connect()
    with pytest.raises(BackendError):
        backend.check()


def test_failures_repeat_no_value(backend: SqliteBackend) -> None:
    """No text of an error, nor of those it came from, holds what was to be stored."""
    row = secret("s", created_by=CANARY)
    transact(backend, put(SECRETS, row), StampGuard())
    with pytest.raises(Exception, match="contradicts") as caught:
        backend.write(lambda _: WriteSet(inserts={SECRETS: [row]}))
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
