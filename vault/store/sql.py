"""`SqlBackend`: what every SQL database shares. A database is a subclass; see `sqlite`.

SQLAlchemy Core makes the engines, the pools and the text of each statement; rows are read and
written through the driver's own cursors (`PreparedStatements`), in threads.

To add a database, subclass `SqlBackend`, make its engines with `create_engine` and implement the
abstract methods. `columns` and `statements` say how each dialect stores a kind of column and adds
to a counter; `migration` brings the schema up to date. The backend is complete when it passes
`tests/contract/store`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from msgspec import Struct

from vault.errors import TamperedError, UnavailableError, VaultError
from vault.store.interface import (
    UNKNOWN,
    BackendError,
    ConstraintError,
    FeedPosition,
    StoreSession,
    WriteSet,
    ignore_progress,
)
from vault.store.prepared_statements import BoundParameters, PreparedStatements
from vault.store.query import is_storable
from vault.store.schema import SELECT_STEPS, VERSION_TABLE, is_at_head
from vault.store.statements import TableStatements, encode_json, pass_json_through
from vault.store.table import Key, RankedQuery, StoreQuery, Table
from vault.store.tables import ALL, HEAD_ROW, SYSTEM

READERS: Final = 8  # connections for reads, and the threads that may use them
LONG_READERS: Final = 1
"""Connections beyond those, for a reader that takes long: a backup, which would take one from
requests, or the only one."""
_MACS_PER_FETCH: Final = 500  # more of them leave the processor's cache before they are summed
STATEMENTS: Final = {table: TableStatements(table) for table in ALL}

R = TypeVar("R", bound=Struct)
T = TypeVar("T")


def create_engine(url: str, connect: Callable[[], Any], begin: str, **pool: Any) -> sa.Engine:
    """An engine whose connections `connect` makes, and whose transactions begin with `begin`.

    `url` says dialect and driver. The statements of `PreparedStatements` take parameters by
    position.
    """
    engine = sa.create_engine(
        url,
        creator=connect,
        hide_parameters=True,  # an error's text must not repeat a value
        json_serializer=encode_json,
        json_deserializer=pass_json_through,
        **({} if url.startswith("sqlite") else {"paramstyle": "format"}),
        **pool,
    )

    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine, "begin", on_begin)
    return engine


class SqlBackend(ABC):
    """A database with two engines: a pool for reads, one connection for the writer.

    The writer's connection is replaced after every fault. Subclasses implement the methods of the
    first section; those of the second may be overridden.
    """

    exclusive = False
    is_of_one_node = False
    queries_in_turn = False
    look_seconds = 30.0  # a disk may be slow
    clock = ""
    """The statement that returns the server's clock in Unix microseconds; empty: it has none."""
    names_query: str
    """Selects the names of all tables in the database."""

    def __init__(self, readers: int = READERS) -> None:
        self.readers = readers
        self._reads: sa.Engine | None = None
        self._writes: sa.Engine | None = None
        self._writer: sa.Connection | None = None
        self._prepared: dict[Table[Any], PreparedStatements] = {}
        self._dialect: sa.Dialect
        self._one_writer = Lock()  # two threads in one transaction would be stored as one

    # What a database implements.

    @abstractmethod
    def _open_engines(self) -> tuple[sa.Engine, sa.Engine]:
        """Take the database; return the engine for reads and the one for writes.

        Both are made with `create_engine`. Raises `UnavailableError` (`store_locked`) when another
        process has it and it cannot be shared.
        """

    @abstractmethod
    def _release(self) -> None:
        """Give back what `_open_engines` took besides the engines."""

    @abstractmethod
    def _verify_durability(self, writer: sa.Connection) -> None:
        """Raise `UnavailableError` (`store_unsafe`) unless a commit of it is durable."""

    @abstractmethod
    def _begin_read(self, reader: sa.PoolProxiedConnection) -> None:
        """Begin a transaction that has one view of what is committed.

        On the driver: SQLAlchemy's own begin and rollback cost four times what reading a row does.
        """

    @abstractmethod
    def _in_transaction(self, writer: sa.Connection) -> bool:
        """Whether the transaction that was begun is still open."""

    @property
    @abstractmethod
    def location(self) -> str:
        """See `StoreBackend`."""

    @abstractmethod
    def size(self) -> int:
        """See `StoreBackend`."""

    @abstractmethod
    def _verify_schema(
        self, connection: sa.PoolProxiedConnection, on_progress: Callable[[], None]
    ) -> None:
        """As `StoreSession.inspect`, within the transaction of this connection."""

    @abstractmethod
    def _verify_integrity(self, connection: sa.PoolProxiedConnection) -> None:
        """As `StoreBackend.check`, within the transaction of this connection."""

    @abstractmethod
    def _store_error(self, error: Exception) -> Exception:
        """The `BackendError` or `TamperedError` for a driver's exception; any other as it is."""

    # What a database may do in another way.

    def _migrate(self, writer: sa.Connection) -> None:
        """Bring the schema up to date."""
        try:
            if not is_at_head(writer):
                self._upgrade(writer)
        except sa.exc.SQLAlchemyError as error:
            raise self._store_error(error) from error

    def _upgrade(self, writer: sa.Connection) -> None:
        """Run the migrations that the schema lacks."""
        from vault.store.migration import migrate_schema  # slow to load, and rarely needed

        migrate_schema(writer)

    def _begin_write(self, writer: sa.Connection) -> None:
        """Begin the transaction that writes, before anything else is read in it."""
        try:
            writer.begin()
        except Exception as error:
            raise self._store_error(error) from error

    def checkpoint(self) -> None:  # noqa: B027  # not every database has something to do
        """A database server makes its own checkpoints."""

    def foreign_writes(self) -> int:
        """0: a database server has other clients, and access to it is its own matter."""
        return 0

    # The interface, `StoreBackend`.

    @property
    def is_open(self) -> bool:
        """Between `open` and `close`."""
        return self._reads is not None

    def open(self) -> None:
        """Take the database, verify its durability, migrate; on failure give it back."""
        try:
            self.take()
            self.connect()
            self.migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection and give the database back."""
        self._discard_writer()
        for engine in (self._reads, self._writes):
            if engine is not None:
                engine.dispose()
        self._reads = self._writes = None
        self._release()

    def connect(self) -> None:
        """A fresh, verified connection for the writer."""
        self._discard_writer()
        if self._writes is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            self._writer = self._writes.connect()
            self._verify_durability(self._writer)
        except UnavailableError:
            self._discard_writer()
            raise
        except Exception as error:
            self._discard_writer()
            raise self._store_error(error) from error

    @contextmanager
    def read(self) -> Iterator["SqlSession"]:
        """A pooled connection's transaction."""
        with self._reader() as connection:
            yield self._session(connection, self._dialect)

    def read_since(self, _position: FeedPosition, ask: Callable[[StoreSession], T]) -> T:
        """By `read`: without replicas each view has every commit."""
        with self.read() as session:
            return ask(session)

    def read_head(self) -> bytes:
        """By a transaction; see the interface."""
        with self.read() as session:
            row = session.get(SYSTEM, (HEAD_ROW,))
        return b"" if row is None else row.value

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """One transaction; see the interface."""
        with self._one_writer:
            self._write_transaction(apply)

    def check(self) -> None:
        """Schema, and every page, index and reference."""
        with self._reader() as connection:
            self._translate_errors(self._verify_integrity, connection)

    # For `vault.store.copy`, which takes a database as it is.

    def take(self) -> None:
        """Take the database without a look at it; `connect` verifies that a commit is durable."""
        self._reads, self._writes = self._open_engines()
        self._dialect = self._reads.dialect

    def hold(self) -> None:  # noqa: B027  # a file is
        """Hold it until it is closed, so that no other copy begins. Raises `BackendError`."""

    def require_held(self) -> None:  # noqa: B027  # as above
        """Raise `BackendError` if it is no longer held."""

    def migrate(self) -> None:
        """Bring the schema up to date."""
        self._migrate(self._write_connection())

    def read_names(self) -> set[str]:
        """The names of all tables, whoever made them. Raises `BackendError`."""
        return {name for (name,) in self._read_as_is(self.names_query)}

    def has_rows(self) -> bool:
        """Whether any table of ours has a row, whatever step it is of. Raises `BackendError`."""
        quote = self._dialect.identifier_preparer.quote
        there = self.read_names()
        return any(
            self._read_as_is(f"SELECT 1 FROM {quote(table.name)} LIMIT 1")  # noqa: S608  # ours
            for table in ALL
            if table.name in there
        )

    def read_step(self) -> str:
        """The migration step that the database says it is at; empty before the first one."""
        if VERSION_TABLE not in self.read_names():
            return ""
        return ",".join(sorted(step for (step,) in self._read_as_is(SELECT_STEPS)))

    def write_step(self, step: str) -> None:
        """Have it say so; durable on return. `step` is a constant of ours. Raises as `write`."""

        def apply(session: StoreSession) -> WriteSet:
            cast("SqlSession", session).write_step(step)
            return WriteSet()

        self.write(apply)

    def _read_as_is(self, text: str) -> list[Sequence[Any]]:
        """The records, from a database of which nothing is known."""
        if self._reads is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            with (
                closing(self._reads.raw_connection()) as connection,
                closing(connection.cursor()) as cursor,
            ):
                cursor.execute(text)
                return list(cursor.fetchall())
        except Exception as error:
            raise self._store_error(error) from error

    # The writer.

    def _write_transaction(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        writer = self._write_connection()
        try:
            self._run_changes(writer, apply)
        except BackendError:
            self._discard_writer()
            raise
        except BaseException:
            self._roll_back(writer)
            raise
        try:
            writer.commit()
        except Exception as error:
            self._discard_writer()
            raise self._commit_error(error) from error

    def _write_connection(self) -> sa.Connection:
        if self._writer is None:
            self.connect()
        if self._writer is None:
            raise BackendError("store_unavailable", "the database is not open")
        return self._writer

    def _run_changes(
        self, writer: sa.Connection, apply: Callable[[StoreSession], WriteSet]
    ) -> None:
        self._begin_write(writer)
        session = self._session(writer.connection, writer.dialect)
        writes = apply(session)
        # A database may have rolled back by itself: what follows would be committed row by row.
        if not self._in_transaction(writer):
            raise BackendError("store_unavailable", "the transaction was lost")
        session.flush(writes)

    @contextmanager
    def _reader(self) -> Iterator[sa.PoolProxiedConnection]:
        """A pooled connection in a transaction, which ends with the block."""
        if self._reads is None:
            raise BackendError("store_unavailable", "the database is not open")
        try:
            connection = self._reads.raw_connection()
        except Exception as error:
            raise self._store_error(error) from error
        with closing(connection):  # which ends the transaction
            try:
                self._translate_errors(self._begin_read, connection)
                yield connection
            except BackendError:
                connection.invalidate()  # a rollback might fail, too, with a traceback in the log
                raise

    def _translate_errors(self, fn: Callable[..., None], *args: object) -> None:
        try:
            fn(*args)
        except VaultError:
            raise
        except Exception as error:
            raise self._store_error(error) from error

    def _stream_cursor(self, connection: Any) -> Any:
        """A cursor of the driver's connection that does not hold all records at once."""
        return connection.cursor()

    @contextmanager
    def _stream(self, connection: Any, text: str) -> Iterator[Any]:
        cursor = self._stream_cursor(connection)
        try:
            cursor.execute(text)
            yield cursor
        finally:
            with suppress(Exception):  # of a lost connection; what was not read is told above
                cursor.close()

    def _session(self, connection: sa.PoolProxiedConnection, dialect: sa.Dialect) -> "SqlSession":
        return SqlSession(
            connection,
            dialect,
            self._prepared_statements(dialect),
            store_error=self._store_error,
            verify_schema=partial(self._translate_errors, self._verify_schema),
            stream=self._stream,
            clock=self.clock,
        )

    def _prepared_statements(self, dialect: sa.Dialect) -> dict[Table[Any], PreparedStatements]:
        if not self._prepared:
            made = {t: PreparedStatements(s, dialect) for t, s in STATEMENTS.items()}
            self._prepared = made  # whole or not at all: another thread may be here too
        return self._prepared

    def _roll_back(self, writer: sa.Connection) -> None:
        try:
            writer.rollback()
        except sa.exc.SQLAlchemyError:
            self._discard_writer()

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(sa.exc.SQLAlchemyError):  # it is broken already: that is why it goes
                writer.invalidate()
            with suppress(sa.exc.SQLAlchemyError):
                writer.close()

    def _commit_error(self, error: Exception) -> Exception:
        fault = self._store_error(error)
        if isinstance(fault, BackendError):
            return BackendError(fault.code, fault.message, UNKNOWN)
        return fault


class SqlSession:
    """A transaction that was begun. `store_error`: see `SqlBackend._store_error`."""

    def __init__(
        self,
        connection: sa.PoolProxiedConnection,
        dialect: sa.Dialect,
        prepared: Mapping[Table[Any], PreparedStatements],
        *,
        store_error: Callable[[Exception], Exception],
        verify_schema: Callable[[sa.PoolProxiedConnection, Callable[[], None]], None],
        stream: Callable[[Any, str], AbstractContextManager[Any]],
        clock: str = "",
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._prepared = prepared
        self._store_error = store_error
        self._verify_schema = verify_schema
        self._stream = stream
        self._clock = clock

    def inspect(self, on_progress: Callable[[], None] = ignore_progress) -> None:
        """Verify the schema, and the indexes of authority rows."""
        self._verify_schema(self._connection, on_progress)

    def database_time(self) -> int | None:
        """The clock of the server, or None for a file."""
        if not self._clock:
            return None
        [(micros,)] = self._driver_records(SYSTEM, self._clock, ())
        return int(micros) * 1000

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row, or None."""
        if not all(map(is_storable, key)):  # so no row has it, and drivers differ in what they say
            return None
        prepared = self._prepared[table]
        records = self._driver_records(table, prepared.get, prepared.key_parameters(key))
        return prepared.read_row(records[0]) if records else None

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """The rows that exist, a few hundred a statement."""
        read = self._prepared[table].read_row
        rows = [read(record) for record in self._select_among(table, keys, "get_many")]
        return {table.key_of(row): row for row in rows}

    def existing_keys(self, table: Table[R], keys: Iterable[Key]) -> set[Key]:
        """The keys that exist, a few hundred a statement."""
        key = self._prepared[table].read_key
        return {key(record) for record in self._select_among(table, keys, "existing_keys")}

    def get_macs(self, table: Table[Any], keys: Iterable[Key]) -> dict[Key, bytes]:
        """The MACs of the rows that exist, a few hundred a statement."""
        key = self._prepared[table].read_key
        records = self._select_among(table, keys, "macs")
        return {key(record[:-1]): _mac(record[-1]) for record in records}

    def iter_macs(self, table: Table[Any]) -> Iterator[tuple[Key, bytes]]:
        """The keys and MACs of all rows, some in memory at a time."""
        prepared, driver = self._prepared[table], self._connection.dbapi_connection
        try:
            with self._stream(driver, prepared.select_all_macs) as cursor:
                while some := cursor.fetchmany(_MACS_PER_FETCH):
                    yield from [(prepared.read_key(cells), _mac(mac)) for *cells, mac in some]
        except Exception as error:
            raise self._store_error(error) from error

    def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of the query, in its order."""
        prepared = self._prepared[table]
        records = self._driver_records(table, *prepared.query("select", query))
        return [prepared.read_row(record) for record in records]

    def select_keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the query's rows, in its order."""
        prepared = self._prepared[table]
        records = self._driver_records(table, *prepared.query("select_keys", query))
        return [prepared.read_key(record) for record in records]

    def select_macs(self, table: Table[Any], query: StoreQuery) -> list[tuple[Key, bytes]]:
        """The keys and MACs of the query's rows, in its order."""
        prepared = self._prepared[table]
        records = self._driver_records(table, *prepared.query("select_macs", query))
        return [(prepared.read_key(record[:-1]), _mac(record[-1])) for record in records]

    def select_ranked(self, ranking: RankedQuery) -> list[Key]:
        """The keys of its rows, in its order."""
        prepared = self._prepared[ranking.table]
        records = self._driver_records(ranking.table, *prepared.ranked(ranking))
        return [prepared.read_key(record) for record in records]

    def count_rows(self, table: Table[Any]) -> int:
        """How many there are."""
        (record,) = self._driver_records(table, self._prepared[table].count, ())
        return int(record[0])

    def write_step(self, step: str) -> None:
        """See `SqlBackend.write_step`."""
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(f"UPDATE {VERSION_TABLE} SET version_num = '{step}'")  # noqa: S608  # constants of ours
                changed = cursor.rowcount
        except Exception as error:
            raise self._store_error(error) from error
        if changed != 1:
            raise BackendError("store_corrupt", f"{VERSION_TABLE} does not have one row")

    def flush(self, writes: WriteSet) -> None:
        """One executemany for each table and kind of change; counts many rows a statement.

        Raises `ConstraintError`.
        """
        for table in reversed(ALL):
            if keys := writes.deletes.get(table):
                prepared = self._prepared[table]
                matched = self._execute_many(
                    table, prepared.delete, [prepared.key_parameters(key) for key in keys]
                )
                _require_all(table, matched, len(keys))
        for table, moves in writes.moves.items():
            move = self._prepared[table].move
            moved = self._execute_many(table, move.text, move.bind_rows([row for _, row in moves]))
            _require_all(table, moved, len(moves))
        for table in ALL:
            if rows := writes.updates.get(table):
                self._update(table, rows, writes.previous.get(table, {}))
            if rows := writes.inserts.get(table):
                insert = self._prepared[table].insert
                _require_all(
                    table, self._execute_many(table, insert.text, insert.bind_rows(rows)), len(rows)
                )
        for table, rows in writes.counts.items():
            for text, bound in self._prepared[table].upsert_counts(rows):
                self._execute_many(table, text, [bound])

    def _update(self, table: Table[Any], rows: list[Any], known: dict[Key, Any]) -> None:
        """Set all columns of a row, or, where its searched ones stay as they were, the others."""
        searched_of, key_of, prepared = table.searched_of, table.key_of, self._prepared[table]
        whole: list[Any] = []
        rest: list[Any] = []
        for row in rows:
            old = known.get(key_of(row))
            stays = old is not None and searched_of(old) == searched_of(row)
            (rest if stays else whole).append(row)
        for update, some in ((prepared.update, whole), (prepared.update_rest, rest)):
            if some and self._execute_many(table, update.text, update.bind_rows(some)) != len(some):
                raise ConstraintError(table.name)

    def _select_among(
        self, table: Table[Any], keys: Iterable[Key], what: str
    ) -> Iterator[Sequence[Any]]:
        some = [key for key in keys if all(map(is_storable, key))]  # as in `get`
        for text, bound in self._prepared[table].select_by_keys(some, what):
            yield from self._driver_records(table, text, bound)

    def _driver_records(
        self, table: Table[Any], text: str, bound: BoundParameters
    ) -> Sequence[Any]:
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(text, bound)
                return list(cursor.fetchall())
        except Exception as error:
            failure = self._store_error(error)
            if isinstance(failure, TamperedError):  # the driver met it before `read_row` could
                failure = TamperedError(
                    failure.code, f"{table.name}: {failure.message}", table=table.name
                )
            raise failure from error

    def _execute_many(self, table: Table[Any], text: str, rows: list[BoundParameters]) -> int:
        """Run it for each of the rows; how many it matched. Raises `ConstraintError`."""
        driver = self._dialect.loaded_dbapi
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.executemany(text, rows)
                return cursor.rowcount
        except driver.IntegrityError as error:
            raise ConstraintError(table.name) from error
        except Exception as error:
            raise self._store_error(error) from error


def _require_all(table: Table[Any], matched: int, wanted: int) -> None:
    """Raise `TamperedError` for writes that were accepted and not done: by no doing of ours."""
    if matched != wanted:
        raise TamperedError(
            "storage_write_ignored",
            f"{table.name}: the database accepted {wanted} changes and made {matched}; nothing was "
            "stored. Look for triggers in it, and for who can write the file",
            table=table.name,
        )


def _mac(cell: object) -> bytes:
    """The cell; what is no MAC at all counts as an empty one, which no row has."""
    return cell if isinstance(cell, bytes) else b""
