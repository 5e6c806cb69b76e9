"""What all SQL backends share: sessions, the flush of a batch, and the life of the writer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from threading import Lock
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from msgspec import Struct

from vault.errors import TamperedError, UnavailableError
from vault.store.interface import UNKNOWN, BackendError, ConstraintError, Session, Writes
from vault.store.statements import Statements
from vault.store.table import Key, Query, Table
from vault.store.tables import ALL

R = TypeVar("R", bound=Struct)

READERS: Final = 8  # connections for reads, and the threads that may use them
_KEYS_A_STATEMENT: Final = 400  # two parameters each at most; SQLite's oldest limit is 999

_STAMPS_AT_ONCE: Final = 5_000  # of 32 bytes

_STATEMENTS: Final = {table: Statements(table) for table in ALL}


class SqlSession:
    """One transaction of one connection."""

    def __init__(self, connection: sa.Connection, fault: Callable[[Exception], Exception]) -> None:
        self._connection = connection
        self._fault = fault

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row, or None."""
        statements = _STATEMENTS[table]
        records = self._records(table, statements.get, statements.key(key))
        return statements.read(records[0]) if records else None

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """The rows that exist, a few hundred a statement."""
        statements = _STATEMENTS[table]
        found: dict[Key, R] = {}
        for some in _chunks(keys):
            for record in self._records(table, statements.get_many, statements.keys(some)):
                row = statements.read(record)
                found[table.key_of(row)] = row
        return found

    def existing(self, table: Table[R], keys: Iterable[Key]) -> set[Key]:
        """The keys that exist, a few hundred a statement."""
        statements = _STATEMENTS[table]
        found: set[Key] = set()
        for some in _chunks(keys):
            records = self._records(table, statements.existing, statements.keys(some))
            found |= {tuple(record) for record in records}
        return found

    def stamps(self, table: Table[Any], keys: Iterable[Key]) -> dict[Key, bytes]:
        """The stamps of the rows that exist, a few hundred a statement."""
        statements = _STATEMENTS[table]
        found: dict[Key, bytes] = {}
        for some in _chunks(keys):
            for record in self._records(table, statements.stamps, statements.keys(some)):
                found[tuple(record[:-1])] = _stamp(record[-1])
        return found

    def every_stamp(self, table: Table[Any]) -> Iterator[bytes]:
        """The stamps of all rows, a few thousand in memory at a time."""
        statement = _STATEMENTS[table].every_stamp.execution_options(yield_per=_STAMPS_AT_ONCE)
        try:
            for stamp in self._connection.execute(statement).scalars():
                yield _stamp(stamp)
        except sa.exc.SQLAlchemyError as error:
            raise self._fault(error) from error

    def select(self, table: Table[R], query: Query) -> list[R]:
        """The rows of the query, in its order."""
        statements = _STATEMENTS[table]
        return [statements.read(r) for r in self._records(table, statements.select(query), {})]

    def flush(self, writes: Writes) -> None:
        """One executemany for each table and kind of change. Raises `ConstraintError`."""
        for table in reversed(ALL):
            if keys := writes.deletes.get(table):
                statements = _STATEMENTS[table]
                self._many(table, statements.delete, [statements.key(key) for key in keys])
        for table in ALL:
            statements = _STATEMENTS[table]
            if rows := writes.updates.get(table):
                changed = [statements.changed(row) for row in rows]
                if self._many(table, statements.update, changed) != len(rows):
                    raise ConstraintError(table.name)
            if rows := writes.inserts.get(table):
                self._many(table, statements.insert, [statements.row(row) for row in rows])

    def _records(
        self, table: Table[Any], statement: sa.Select[Any], parameters: dict[str, Any]
    ) -> list[sa.Row[Any]]:
        try:
            return list(self._connection.execute(statement, parameters))
        except (UnicodeEncodeError, OverflowError):
            return []  # a key that cannot be stored is not there
        except Exception as error:
            fault = self._fault(error)
            if isinstance(fault, TamperedError):  # the driver met it before `read` could
                fault = TamperedError(
                    fault.code, f"{table.name}: {fault.message}", table=table.name
                )
            raise fault from error

    def _many(self, table: Table[Any], statement: sa.Executable, rows: list[dict[str, Any]]) -> int:
        try:
            return self._connection.execute(statement, rows).rowcount
        except sa.exc.IntegrityError as error:
            raise ConstraintError(table.name) from error
        except Exception as error:
            raise self._fault(error) from error


class SqlBackend(ABC):
    """Two engines: a pool for reads, and one connection for the writer, replaced after a fault."""

    exclusive = False

    def __init__(self, readers: int = READERS) -> None:
        self.readers = readers
        self._reads: sa.Engine | None = None
        self._writes: sa.Engine | None = None
        self._writer: sa.Connection | None = None
        self._one_writer = Lock()  # two threads in one transaction would be stored as one

    # What a database has to say for itself.

    @abstractmethod
    def _take(self) -> tuple[sa.Engine, sa.Engine]:
        """Take the database: the engine for reads, and the one for writes."""

    @abstractmethod
    def _prepare(self, writer: sa.Connection) -> None:
        """Bring the schema up to date."""

    @abstractmethod
    def _verify(self, writer: sa.Connection) -> None:
        """Raise `UnavailableError` (`store_unsafe`) unless a commit there is durable."""

    @abstractmethod
    def _inspect(self, connection: sa.Connection) -> None:
        """Raise `BackendError` (`store_corrupt`) if the database is damaged."""

    @abstractmethod
    def _fault(self, error: Exception) -> Exception:
        """What a driver's exception is called here; a program's fault is returned as it is."""

    @abstractmethod
    def _is_transacting(self, writer: sa.Connection) -> bool:
        """Whether the transaction that was begun is still open."""

    @abstractmethod
    def _release(self) -> None:
        """Give the database back."""

    # Backend.

    @property
    def is_open(self) -> bool:
        """Between `open` and `close`."""
        return self._reads is not None

    def open(self) -> None:
        """Take the database, verify its durability, migrate; on failure give it back."""
        try:
            self._reads, self._writes = self._take()
            self.connect()
            self._prepare(self._connected())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection and give the database back."""
        self._discard()
        for engine in (self._reads, self._writes):
            if engine is not None:
                engine.dispose()
        self._reads = self._writes = None
        self._release()

    def connect(self) -> None:
        """A fresh, verified connection for the writer."""
        self._discard()
        if self._writes is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            self._writer = self._writes.connect()
            self._verify(self._writer)
        except UnavailableError:
            self._discard()
            raise
        except Exception as error:
            self._discard()
            raise self._fault(error) from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A pooled connection's transaction."""
        if self._reads is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            connection = self._reads.connect()
        except Exception as error:
            raise self._fault(error) from error
        with connection:
            yield SqlSession(connection, self._fault)

    def write(self, apply: Callable[[Session], Writes]) -> None:
        """One transaction; see the interface."""
        with self._one_writer:
            self._write(apply)

    def check(self) -> None:
        """Every page, index and reference."""
        if self._reads is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            with self._reads.connect() as connection:
                self._inspect(connection)
        except sa.exc.SQLAlchemyError as error:
            raise self._fault(error) from error

    # The writer.

    def _write(self, apply: Callable[[Session], Writes]) -> None:
        writer = self._connected()
        try:
            self._fill(writer, apply)
        except BackendError:
            self._discard()
            raise
        except BaseException:
            self._roll_back(writer)
            raise
        try:
            writer.commit()
        except Exception as error:
            self._discard()
            raise self._in_doubt(error) from error

    def _connected(self) -> sa.Connection:
        if self._writer is None:
            self.connect()
        if self._writer is None:
            raise BackendError("store_unavailable", "the database is not open")
        return self._writer

    def _fill(self, writer: sa.Connection, apply: Callable[[Session], Writes]) -> None:
        try:
            writer.begin()
        except Exception as error:
            raise self._fault(error) from error
        session = SqlSession(writer, self._fault)
        writes = apply(session)
        # After some errors SQLite has rolled back by itself: what follows would commit one by one.
        if not self._is_transacting(writer):
            raise BackendError("store_unavailable", "the transaction was lost")
        session.flush(writes)

    def _roll_back(self, writer: sa.Connection) -> None:
        try:
            writer.rollback()
        except sa.exc.SQLAlchemyError:
            self._discard()

    def _discard(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(sa.exc.SQLAlchemyError):  # it is broken already: that is why it goes
                writer.invalidate()
            with suppress(sa.exc.SQLAlchemyError):
                writer.close()

    def _in_doubt(self, error: Exception) -> Exception:
        fault = self._fault(error)
        if isinstance(fault, BackendError):
            return BackendError(fault.code, fault.message, UNKNOWN)
        return fault


def _stamp(cell: object) -> bytes:
    """The cell; what is no stamp at all counts as an empty one, which no row has."""
    return cell if isinstance(cell, bytes) else b""


def _chunks(keys: Iterable[Key]) -> Iterator[list[Key]]:
    rest = iter(keys)
    while some := list(islice(rest, _KEYS_A_STATEMENT)):
        yield some
