"""The common part of the PostgreSQL and MySQL backends: the head lock, lost commits, migrations.

Every write transaction first locks the head, the row that every transaction changes. So write
transactions of all clients run one after another. It also resolves a COMMIT whose reply was lost:
the head can be locked again only after that transaction has ended, and the change feed then says
whether it was stored.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum, auto
from threading import Lock
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from vault.errors import TamperedError, VaultError
from vault.model.server_address import ServerAddress, ServerTls
from vault.store.interface import (
    UNKNOWN,
    UNSAFE,
    BackendError,
    FeedPosition,
    StoreSession,
    WriteSet,
    ignore_progress,
)
from vault.store.replicas import ReplicaSet, ReplicaStats
from vault.store.schema import HEAD, SELECT_STEPS, DatabaseState
from vault.store.sql import LONG_READERS, READERS, SqlBackend, create_engine
from vault.store.tables import ALL, CHANGES, HEAD_ROW, SYSTEM

CONNECT_SECONDS: Final = 5
"""Timeout of a connection attempt. The next operation tries again."""
HEAD_WAIT_SECONDS: Final = 10
"""How long a transaction waits for the head lock; then it fails, and nothing is stored."""
HEAD_IDLE_SECONDS: Final = 5
"""Idle time after which the server ends a transaction, so that an agent that is stopped or cut off
releases the head. A commit takes a few milliseconds."""
MIGRATION_IDLE_SECONDS: Final = 60
"""The same for the transaction of a migration: a busy machine may pause it between two steps."""
QUERY_SECONDS: Final = 30
"""Timeout of a query, and of a wait for a free connection."""
GONE_SECONDS: Final = 10
"""Time until agent and server notice that the other machine is gone."""
COPY_LOCK: Final = "freehold copy"
LOCK_WAIT_SECONDS: Final = 2  # the server may notice late that the last holder is gone
MIGRATION_LOCK: Final = "freehold migration"
MIGRATION_TRIES: Final = 30  # of `LOCK_WAIT_SECONDS` each, while another agent migrates
_LOCKED: Final = "store_locked"
_NAMED: Final = 3  # findings that an error names
ENTRIES_FROM: Final = (
    f"SELECT seq, chain FROM {CHANGES.name} WHERE seq >= {{:d}} ORDER BY seq LIMIT 2"  # noqa: S608  # a name of ours
)
_LAST_COMMIT: Final = f"SELECT MAX(seq) FROM {CHANGES.name}"  # noqa: S608
_NEW_COLUMN: Final = re.compile(
    r"column \w+\.\w+ (?!.*( not null| default| generated)).*", re.IGNORECASE
)
_REVISIONS: Final = "SELECT version_num FROM alembic_version"

T = TypeVar("T")


class Role(Enum):
    """The use of a connection: reads, reads of a replica, writes, or a lock of the server."""

    READ = auto()
    REPLICA = auto()
    WRITE = auto()
    LOCK = auto()


class ServerBackend(SqlBackend):
    """A database on a server."""

    look_seconds = 1.0  # a load balancer then sends requests to an agent that has a database

    kind: str
    url: str  # for SQLAlchemy: dialect and driver only
    begin_read: str
    begin_write: str

    def __init__(
        self,
        address: ServerAddress,
        tls: ServerTls | None = None,
        password: Callable[[], str] | None = None,
        readers: int = READERS,
        patience: float = QUERY_SECONDS,
        *,
        replicas: ReplicaSet | None = None,
    ) -> None:
        """`tls` None: no TLS. `password` is called for each connection; None: it is in the address.

        `patience`: seconds that a read waits for one of `readers` connections. `replicas` are
        opened and closed with the database.
        """
        super().__init__(readers)
        self._address = address
        self._tls = tls
        self._password = password or (lambda: address.password)
        self._patience = patience
        self._copy_lock: Any = None  # the driver's connection that holds it
        self._replicas = replicas
        self._head_reader: Any = None  # the driver's connection for `read_head`
        self._head_lock = Lock()
        self.warnings: list[str] = []  # from the server, since the transaction began

    # Implemented for each kind of server.

    @abstractmethod
    def connect_driver(self, role: Role) -> Any:
        """Open a connection of the driver in autocommit mode: this class sends BEGIN and COMMIT."""

    @abstractmethod
    def limit_idle_time(self, connection: Any, seconds: int) -> None:
        """Have the server end a transaction of this connection that is idle for so long."""

    @abstractmethod
    def unsafe_settings(self, connection: Any) -> Iterable[str]:
        """Reasons why a commit would not be durable on this server, each with what to do."""

    @abstractmethod
    def unsupported_version(self, connection: Any) -> str:
        """The server's version if it is too old; else empty."""

    @abstractmethod
    def try_lock(self, connection: Any, name: str, *, wait: bool) -> bool:
        """Take the lock of this name until the connection ends. False: another client has it.

        `wait`: wait up to `LOCK_WAIT_SECONDS` for it.
        """

    @abstractmethod
    def wait_for_first_head(self, connection: Any) -> None:
        """Wait, within the transaction, for another client that is inserting the head.

        Called when the head does not exist yet, so that there is no row to lock.
        """

    @abstractmethod
    def measure_size(self, connection: Any) -> int:
        """Size of the database in bytes."""

    @abstractmethod
    def describe_schema(self, connection: Any) -> set[str]:
        """The schema as found: one line for each table, column, index, constraint or trigger."""

    @abstractmethod
    def expected_schema(self) -> set[str]:
        """What `describe_schema` returns for a database as the migrations leave it."""

    @abstractmethod
    def describe_failure(self, error: Exception) -> tuple[str, str] | None:
        """Error code and reason for an error of the driver; None for any other exception."""

    def end_stalled_holder(self, error: Exception) -> bool:
        """End a transaction that holds the head and that the server does not end by itself.

        Called after a failure to lock the head. False: there is none.
        """
        _ = error
        return False

    def is_ended(self, error: Exception) -> bool:
        """Whether the error says that the server has ended the connection; not all drivers do."""
        _ = error
        return False

    # SqlBackend.

    def _open_engines(self) -> tuple[sa.Engine, sa.Engine]:
        reads = create_engine(
            self.url,
            lambda: self.connect_driver(Role.READ),
            self.begin_read,
            poolclass=QueuePool,
            pool_size=self.readers,
            max_overflow=LONG_READERS,
            pool_timeout=self._patience,
            pool_reset_on_return=None,  # `_on_return`
        )
        writes = create_engine(
            self.url,
            lambda: self.connect_driver(Role.WRITE),
            self.begin_write,
            poolclass=NullPool,
        )
        sa.event.listen(reads, "checkout", self._on_checkout)
        sa.event.listen(reads, "reset", _on_return)
        return reads, writes

    def _on_checkout(self, reader: Any, *_: object) -> None:
        """Begin the transaction. The pool replaces a connection that the server has ended."""
        try:
            run(reader, self.begin_read)
        except Exception as error:
            dialect: Any = self._dialect
            if self.is_ended(error) or dialect.is_disconnect(error, reader, None):
                raise sa.exc.DisconnectionError from error
            raise

    def open(self) -> None:
        """As `SqlBackend`; then begin to connect to the replicas."""
        super().open()
        if self._replicas is not None:
            self._replicas.open()

    def _release(self) -> None:
        if self._replicas is not None:
            self._replicas.close()
        self._close_head()
        held, self._copy_lock = self._copy_lock, None
        if held is not None:
            with suppress(Exception):  # the server releases the lock with the connection
                held.close()

    def _begin_read(self, reader: sa.PoolProxiedConnection) -> None:
        """`_on_checkout` has begun it."""

    def _begin_write(self, writer: sa.Connection) -> None:
        """Begin, and lock the head until the transaction ends."""
        self.warnings.clear()
        try:
            super()._begin_write(writer)
        except BackendError as error:
            cause = error.__cause__
            if isinstance(cause, sa.exc.DBAPIError) and (
                cause.connection_invalidated or self.is_ended(cast("Exception", cause.orig))
            ):
                raise _ConnectionEndedError(error.code, error.message) from error
            raise
        try:
            self._lock_head(writer)
        except Exception as error:
            failure = self._store_error(error)
            if isinstance(failure, BackendError) and self._ends_stalled_holder(error):
                raise _ConnectionEndedError(failure.code, failure.message) from error
            raise failure from error

    def _ends_stalled_holder(self, error: Exception) -> bool:
        """Whether locking the head failed because its holder stands still, which is ended now."""
        try:
            return self.end_stalled_holder(error)
        except Exception as failed:
            raise self._store_error(failed) from failed

    def _lock_head(self, writer: sa.Connection) -> None:
        system = self._prepared_statements(writer.dialect)[SYSTEM]
        key = system.key_parameters((HEAD_ROW,))
        text, driver = f"{system.get} FOR UPDATE", writer.connection
        if not run(driver, text, key):
            self.wait_for_first_head(driver)
            run(driver, text, key)

    def _write_transaction(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        written: list[WriteSet] = []

        def noted(session: StoreSession) -> WriteSet:
            written[:] = [apply(session)]
            return written[0]

        try:
            try:
                super()._write_transaction(noted)
            except _ConnectionEndedError:
                super()._write_transaction(noted)
        except BackendError as error:
            if error.details["outcome"] != UNKNOWN or not written:
                raise
            self._settle(written[0], error)
        if self.warnings:
            raise BackendError(
                "store_unavailable",
                f"the change is stored, but may be lost with the server: {self.warnings[0]}",
                UNKNOWN,
            )

    def _settle(self, written: WriteSet, error: BackendError) -> None:
        """Find out by its feed entry whether a transaction without reply to COMMIT is stored.

        Returns if it is stored. Raises `error` if that is still unknown, and an error with the
        outcome `none` if nothing is stored.
        """
        try:
            (entry,) = written.inserts[CHANGES]
            writer = self._write_connection()
            self._begin_write(writer)  # waits for that transaction
            session = self._session(writer.connection, writer.dialect)
            stored = session.get(CHANGES, (entry.seq,))
            self._roll_back(writer)
        except Exception:  # noqa: BLE001  # any failure leaves the outcome unknown
            self._discard_writer()
            raise error from None
        if stored is None or stored.chain != entry.chain:
            raise BackendError(error.code, error.message) from None

    def _verify_durability(self, writer: sa.Connection) -> None:
        found = list(self.unsafe_settings(writer.connection.dbapi_connection))
        if found:
            raise BackendError(UNSAFE, f"this database is refused: {'; '.join(found)}")

    def _migrate(self, writer: sa.Connection) -> None:
        """Migrate the schema, and check that this user may write all tables."""
        super()._migrate(writer)
        quote = writer.dialect.identifier_preparer.quote
        driver = writer.connection.dbapi_connection
        try:
            for table in ALL:
                name, field = quote(table.name), quote(table.key[0])
                run(driver, f"UPDATE {name} SET {field} = {field} WHERE 1 = 0")  # noqa: S608  # names of ours
                run(driver, f"DELETE FROM {name} WHERE 1 = 0")  # noqa: S608
                run(driver, f"INSERT INTO {name} SELECT * FROM {name} WHERE 1 = 0")  # noqa: S608
        except Exception as error:
            raise self._store_error(error) from error

    def _upgrade(self, writer: sa.Connection) -> None:
        """Run the migrations, one agent at a time. Raises `BackendError` (`store_locked`)."""
        with closing(self._take_migration_lock()):
            self._prepare_upgrade(writer)
            self._limit_idle_time(writer, MIGRATION_IDLE_SECONDS)
            super()._upgrade(writer)
            self._limit_idle_time(writer, HEAD_IDLE_SECONDS)

    def _limit_idle_time(self, writer: sa.Connection, seconds: int) -> None:
        try:
            self.limit_idle_time(writer.connection.dbapi_connection, seconds)
        except Exception as error:
            raise self._store_error(error) from error

    def _prepare_upgrade(self, writer: sa.Connection) -> None:
        """Called before the migrations run, with their lock held."""

    def _take_migration_lock(self) -> Any:
        """The driver's connection that holds it."""
        try:
            connection = self.connect_driver(Role.LOCK)
            for _ in range(MIGRATION_TRIES):
                if self.try_lock(connection, MIGRATION_LOCK, wait=True):
                    return connection
            connection.close()
        except Exception as error:
            raise self._store_error(error) from error
        raise BackendError(
            _LOCKED, f"another agent is migrating the {self._address}: start this one after it"
        )

    def _verify_schema(
        self, connection: sa.PoolProxiedConnection, on_progress: Callable[[], None]
    ) -> None:
        on_progress()
        driver = connection.dbapi_connection
        found = self.describe_schema(driver)
        wanted = self.expected_schema()
        if found == wanted or (found > wanted and _is_expanded(driver, found - wanted)):
            return
        foreign = sorted(found - wanted, key=lambda line: (line.startswith("column"), line))
        told = [f"{line} is not ours" for line in foreign]
        told += sorted(f"{line} is missing" for line in wanted - found)
        more = f", and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        raise TamperedError(
            "storage_schema_changed",
            "the schema of the database was changed behind the agent's back: "
            f"{', '.join(told[:_NAMED])}{more}. Find out who can change it, then undo that or "
            "restore a backup",
        )

    def _verify_integrity(self, connection: sa.PoolProxiedConnection) -> None:
        self._verify_schema(connection, ignore_progress)

    def _store_error(self, error: Exception) -> Exception:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        known = self.describe_failure(cause) if isinstance(cause, Exception) else None
        if known is not None:
            return BackendError(known[0], f"the database failed: {known[1]}")
        if isinstance(cause, UnicodeDecodeError):
            return TamperedError("row_corrupt", "a stored row is damaged")
        if isinstance(error, sa.exc.TimeoutError):
            return BackendError(
                "store_unavailable",
                f"none of {self.readers} connections was free for {self._patience:g} s: raise "
                "storage.max_connections",
            )
        if isinstance(error, OSError | sa.exc.SQLAlchemyError):
            return BackendError("store_unavailable", "the database does not answer as it should")
        return error

    @property
    def location(self) -> str:
        """The server and the database."""
        return str(self._address)

    def size(self) -> int:
        """Size in bytes as the server reports it."""
        with self._reader() as connection:
            try:
                return self.measure_size(connection.dbapi_connection)
            except Exception as error:
                raise self._store_error(error) from error

    def read_since(self, position: FeedPosition, ask: Callable[[StoreSession], T]) -> T:
        """By a replica whose last commit is this, or else by `read`."""
        if self._replicas is not None and self.is_open:
            for found in self._replicas.read(position, self._replica_session, ask):
                return found
        with self.read() as session:
            return ask(session)

    def replica_statistics(self) -> ReplicaStats:
        """Counts of this process."""
        return ReplicaStats() if self._replicas is None else self._replicas.statistics()

    def _replica_session(self, connection: Any) -> StoreSession:
        return self._session(cast("Any", _ReplicaConnection(connection)), self._dialect)

    # `ReplicaServer`, of a backend that is never opened.

    def connect_replica(self) -> Any:
        """A connection in autocommit mode for reads that take `replicas.ANSWER_SECONDS` each."""
        return self.connect_driver(Role.REPLICA)

    def begin_at(self, connection: Any, commits: int) -> list[FeedPosition]:
        """See `ReplicaServer`."""
        run(connection, self.begin_read)
        return feed_positions(run(connection, ENTRIES_FROM.format(commits)))

    def last_commit(self, connection: Any) -> int:
        """See `ReplicaServer`."""
        return int(run(connection, _LAST_COMMIT)[0][0] or 0)

    def explain(self, error: Exception) -> str:
        """See `ReplicaServer`."""
        failure = self._store_error(error)
        return failure.message if isinstance(failure, VaultError) else type(failure).__name__

    def read_head(self) -> bytes:
        """One statement on a connection of its own, which has no transaction to begin and end.

        A connection that is not in autocommit would show one view of the head for ever.
        """
        with self._head_lock:
            try:
                return self._select_head()
            except Exception:  # noqa: BLE001  # it was ended while it was idle: once more
                self._close_head()
            try:
                return self._select_head()
            except Exception as error:
                self._close_head()
                raise self._store_error(error) from error

    @contextmanager
    def read_closed(self) -> Iterator[StoreSession]:
        """A database that is not open here, over a connection of its own; each query by itself."""
        dialect = sa.create_engine(self.url, paramstyle="format").dialect
        try:
            with closing(self.connect_driver(Role.READ)) as connection:
                yield self._session(connection, dialect)
        except Exception as error:
            raise self._store_error(error) from error

    def inspect(self, *rows: str) -> DatabaseState:
        """What is there, over a connection of its own; nothing is locked, migrated or written.

        `rows`: of `system`, which are returned as well.
        Raises `BackendError`.
        """
        dialect = sa.create_engine(self.url, paramstyle="format").dialect
        try:
            # As a writer's: what is safe depends on its settings. No transaction is begun.
            with closing(self.connect_driver(Role.WRITE)) as connection:
                if old := self.unsupported_version(connection):
                    return DatabaseState(too_old=old)
                unsafe = tuple(self.unsafe_settings(connection))
                if not any(line.startswith("table ") for line in self.describe_schema(connection)):
                    return DatabaseState(unsafe=unsafe)
                steps = [str(step) for (step,) in run(connection, SELECT_STEPS)]
                session = self._session(connection, dialect)
                found = session.get_many(SYSTEM, [(name,) for name in rows])
        except Exception as error:
            raise self._store_error(error) from error
        there = {row.name: row.value for row in found.values()}
        return DatabaseState(step="".join(steps[:1]), rows=there, unsafe=unsafe)

    def _select_head(self) -> bytes:
        if self._reads is None:
            raise BackendError("store_unavailable", "the database is not open")
        if self._head_reader is None:
            self._head_reader = self.connect_driver(Role.READ)
        system = self._prepared_statements(self._dialect)[SYSTEM]
        records = run(self._head_reader, system.get, system.key_parameters((HEAD_ROW,)))
        return bytes(records[0][1]) if records else b""

    def _close_head(self) -> None:
        reader, self._head_reader = self._head_reader, None
        if reader is not None:
            with suppress(Exception):  # it is broken already: that is why it goes
                reader.close()

    # For `vault.store.copy`.

    def hold(self) -> None:
        """Hold it until it is closed, so that no other copy begins. Raises `BackendError`."""
        try:
            self._copy_lock = self.connect_driver(Role.LOCK)
            is_ours = self.try_lock(self._copy_lock, COPY_LOCK, wait=True)
        except Exception as error:
            raise self._store_error(error) from error
        if not is_ours:
            raise BackendError(_LOCKED, f"a copy of the {self._address} is under way")

    def require_held(self) -> None:
        """Raise `BackendError` if it is no longer held."""
        try:
            run(self._copy_lock, "SELECT 1")
        except Exception as error:
            raise self._store_error(error) from error


def _on_return(reader: Any, record: Any, _: object) -> None:
    """End the transaction. The pool itself would log a traceback for a connection that is gone."""
    try:
        reader.rollback()
    except Exception:  # noqa: BLE001  # what it was needed for is done: the next one is a new one
        record.invalidate()


def _is_expanded(connection: Any, foreign: Iterable[str]) -> bool:
    """Whether these are columns that a newer program's migration may have added, and no more.

    They can be empty and have no default, so what this program reads and writes stays the same.
    """
    if not all(map(_NEW_COLUMN.fullmatch, foreign)):
        return False
    return [revision for (revision,) in run(connection, _REVISIONS)] > [HEAD]


class _ReplicaConnection:
    """A driver's connection as a session has it: as SQLAlchemy's pool wraps one."""

    def __init__(self, connection: Any) -> None:
        self.dbapi_connection = connection
        self.cursor = connection.cursor


class _ConnectionEndedError(BackendError):
    """The server ended a connection, ours or the holder's: the transaction can begin anew."""


def feed_positions(records: Iterable[Any]) -> list[FeedPosition]:
    """Of the records of `ENTRIES_FROM`."""
    return [FeedPosition(int(seq), bytes(chain)) for seq, chain in records]


def run(connection: Any, text: str, parameters: Any = None) -> list[Any]:
    """Run one statement on the driver; returns its rows."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(text, parameters)
        return list(cursor.fetchall()) if cursor.description else []
