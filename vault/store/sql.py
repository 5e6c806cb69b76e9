"""What all SQL backends share: their engines, transactions, and the life of the writer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, Final

import sqlalchemy as sa

from vault.errors import UnavailableError, VaultError
from vault.store.interface import UNKNOWN, BackendError, StoreSession, WriteSet
from vault.store.prepared_statements import PreparedStatements
from vault.store.session import STATEMENTS, SqlSession
from vault.store.statements import encode_json, pass_json_through
from vault.store.table import Table

READERS: Final = 8  # connections for reads, and the threads that may use them


class SqlBackend(ABC):
    """Two engines: a pool for reads, and one connection for the writer, replaced after a fault."""

    exclusive = False

    def __init__(self, readers: int = READERS) -> None:
        self.readers = readers
        self._reads: sa.Engine | None = None
        self._writes: sa.Engine | None = None
        self._writer: sa.Connection | None = None
        self._prepared: dict[Table[Any], PreparedStatements] = {}
        self._dialect: sa.Dialect
        self._one_writer = Lock()  # two threads in one transaction would be stored as one

    # What a database has to say for itself.

    @abstractmethod
    def _take(self) -> tuple[sa.Engine, sa.Engine]:
        """Take the database: the engine for reads, and the one for writes."""

    @abstractmethod
    def _look(self, reader: sa.PoolProxiedConnection) -> None:
        """Begin a transaction that reads, which has one view of what is committed.

        On the driver: SQLAlchemy's own beginning and end are four times what a row costs.
        """

    @abstractmethod
    def _prepare(self, writer: sa.Connection) -> None:
        """Bring the schema up to date."""

    @abstractmethod
    def _verify(self, writer: sa.Connection) -> None:
        """Raise `UnavailableError` (`store_unsafe`) unless a commit there is durable."""

    @abstractmethod
    def _inspect(self, connection: sa.PoolProxiedConnection) -> None:
        """As `StoreSession.inspect`, within the transaction of this connection."""

    @abstractmethod
    def _inspect_all(self, connection: sa.PoolProxiedConnection) -> None:
        """As `StoreBackend.check`, within the transaction of this connection."""

    @abstractmethod
    def _fault(self, error: Exception) -> Exception:
        """What a driver's exception is called here; a program's fault is returned as it is."""

    @abstractmethod
    def _is_transacting(self, writer: sa.Connection) -> bool:
        """Whether the transaction that was begun is still open."""

    @property
    @abstractmethod
    def location(self) -> str:
        """See `StoreBackend`."""

    @abstractmethod
    def size(self) -> int:
        """See `StoreBackend`."""

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
            self._dialect = self._reads.dialect
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
    def read(self) -> Iterator[StoreSession]:
        """A pooled connection's transaction."""
        with self._reader() as connection:
            yield self._session(connection, self._dialect)

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """One transaction; see the interface."""
        with self._one_writer:
            self._write(apply)

    def checkpoint(self) -> None:  # noqa: B027  # not every database has something to do
        """A database server makes its own."""

    def foreign_writes(self) -> int:
        """A database server has other clients, and knows who they are."""
        return 0

    def check(self) -> None:
        """Schema, and every page, index and reference."""
        with self._reader() as connection:
            self._translated(self._inspect_all, connection)

    # The writer.

    def _write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
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

    def _fill(self, writer: sa.Connection, apply: Callable[[StoreSession], WriteSet]) -> None:
        self._begin(writer)
        session = self._session(writer.connection, writer.dialect)
        writes = apply(session)
        # After some errors SQLite has rolled back by itself: what follows would commit one by one.
        if not self._is_transacting(writer):
            raise BackendError("store_unavailable", "the transaction was lost")
        session.flush(writes)

    def _begin(self, connection: sa.Connection) -> None:
        try:
            connection.begin()
        except Exception as error:
            raise self._fault(error) from error

    @contextmanager
    def _reader(self) -> Iterator[sa.PoolProxiedConnection]:
        """A pooled connection in a transaction, which ends with the block."""
        if self._reads is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            connection = self._reads.raw_connection()
        except Exception as error:
            raise self._fault(error) from error
        with closing(connection):  # which ends the transaction
            self._translated(self._look, connection)
            yield connection

    def _translated(
        self, fn: Callable[[sa.PoolProxiedConnection], None], connection: sa.PoolProxiedConnection
    ) -> None:
        try:
            fn(connection)
        except VaultError:
            raise
        except Exception as error:
            raise self._fault(error) from error

    def stream(self, connection: Any, text: str) -> AbstractContextManager[Any]:
        """A cursor of the driver's connection that does not hold all records at once."""
        cursor = connection.cursor()
        cursor.execute(text)
        return closing(cursor)

    def _session(self, connection: sa.PoolProxiedConnection, dialect: sa.Dialect) -> SqlSession:
        inspect = partial(self._translated, self._inspect)
        prepared = self._prepared_statements(dialect)
        return SqlSession(connection, dialect, prepared, self._fault, inspect, self.stream)

    def _prepared_statements(self, dialect: sa.Dialect) -> dict[Table[Any], PreparedStatements]:
        if not self._prepared:
            made = {t: PreparedStatements(s, dialect) for t, s in STATEMENTS.items()}
            self._prepared = made  # whole or not at all: another thread may be here too
        return self._prepared

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


def make_engine(url: str, connect: Callable[[], Any], begin: str, **pool: object) -> sa.Engine:
    """An engine whose connections `connect` makes, and whose transactions begin with `begin`."""
    dialect = sa.make_url(url).get_backend_name()
    engine = sa.create_engine(
        url,
        creator=connect,
        hide_parameters=True,  # an error's text must not repeat a value
        json_serializer=encode_json,
        json_deserializer=pass_json_through,
        **({} if dialect == "sqlite" else {"paramstyle": "format"}),
        **pool,
    )

    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine, "begin", on_begin)
    return engine
