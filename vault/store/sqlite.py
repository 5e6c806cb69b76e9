"""SQLite: one file, held by one agent, with a write-ahead log and `synchronous=FULL`.

What is SQLite's own is here: pragmas, the lock beside the file, checkpoints of the log, the schema
check whenever another connection has written, and the words for its errors.

Over 15 real power cuts FULL lost no acknowledged row and NORMAL lost 3,652 (`docs/decisions`), so
whatever is weaker than FULL is refused, in the connection string and as the database reports it.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from protocols.lockfile import LockFile
from vault.errors import TamperedError, UnavailableError, ValidationError, VaultError
from vault.store.interface import UNKNOWN, BackendError, StoreSession, WriteSet
from vault.store.shared_head import SharedHead, next_file_change
from vault.store.sql import LONG_READERS, READERS, SqlBackend, create_engine
from vault.store.sqlite_schema import check_schema
from vault.store.tables import ALL, VERSIONS

_URL: Final = "sqlite://"
_BUSY_MS: Final = 5000  # an administrator's `sqlite3` on the file may hold it that long
POOL_TIMEOUT: Final = 30.0  # the store's limiter admits no more readers than there are connections
_WAL_BYTES: Final = 64 * 2**20  # what a burst leaves of the log is cut back to this

_WAL_PAGES: Final = 4000  # from here on a commit itself copies what `checkpoint` has left

_SAFE: Final = {  # what a connection string may say; nothing else of it is understood
    "synchronous": {"full", "extra", "2", "3"},
    "journal_mode": {"wal"},
    "foreign_keys": {"on", "1", "true", "yes"},
}
_FULL: Final = 2  # PRAGMA synchronous reads back as a number; EXTRA is 3
_SETTINGS: Final = (
    f"PRAGMA busy_timeout={_BUSY_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",  # macOS: fsync alone does not reach the platter
    "PRAGMA checkpoint_fullfsync=ON",
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",  # a planted view or trigger runs no function
    f"PRAGMA journal_size_limit={_WAL_BYTES}",
    f"PRAGMA wal_autocheckpoint={_WAL_PAGES}",
)
_READ_ONLY: Final = (
    f"PRAGMA busy_timeout={_BUSY_MS}",
    "PRAGMA query_only=ON",
    "PRAGMA trusted_schema=OFF",
)
_SCHEMA: Final = "schema"
"""Of a connection for reads: the number of the schema that was checked with it."""
_CHECKED: Final = tuple(t.name for t in ALL if t is not VERSIONS and t.is_guarded)
"""Tables of which each index is held against the rows at an opening: a row that its index does not
have is there for the totals and nowhere else. Versions are left to `check`: they are most of the
file, and a read that misses one says so."""
_CHANGES_AT: Final = 8
_OPCODES_PER_CALL: Final = 1_000_000  # of SQLite's virtual machine; some 50 ms
_UNDECODABLE: Final = "Could not decode to UTF-8"


def database_path(url: str) -> Path:
    """The file of `sqlite:////absolute/path`; raises `ValidationError` for what is unsafe in it."""
    parts = urlsplit(url)
    if parts.scheme not in {"sqlite", "sqlite+pysqlite"} or parts.netloc or parts.fragment:
        raise _refused("it is not of the form sqlite:////absolute/path")
    path = unquote(parts.path.removeprefix("/"))
    if path in {"", ":memory:"} or path.startswith("file:") or "\0" in path:
        raise _refused("it names no file: an in-memory database is not durable")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _SAFE:
            raise _refused(f"{name} is not a known option")
        if value.lower() not in _SAFE[name]:
            raise _refused(f"{name} is weaker than what durability takes")
    return Path(path)


def verify_durability(database: sqlite3.Connection) -> None:
    """Raise `UnavailableError` (`store_unsafe`) unless the database says that it is durable."""

    def pragma(name: str) -> object:
        return database.execute(f"PRAGMA {name}").fetchone()[0]

    synchronous = pragma("synchronous")
    if not isinstance(synchronous, int) or synchronous < _FULL:
        raise _unsafe("synchronous is weaker than FULL")
    if pragma("journal_mode") != "wal":
        raise _unsafe("it cannot use a write-ahead log (journal_mode is not WAL)")
    if pragma("foreign_keys") != 1:
        raise _unsafe("foreign keys are not enforced")
    if pragma("encoding") != "UTF-8":
        raise _unsafe("it is not encoded in UTF-8, so its order is not bytewise")


class SqliteBackend(SqlBackend):
    """One file, held by one agent: by one process, or by several that share its head."""

    is_of_one_node = True
    queries_in_turn = True  # a thread for each costs more than the query
    names_query = "SELECT name FROM sqlite_master"

    def __init__(
        self,
        url: str,
        readers: int = READERS,
        patience: float = POOL_TIMEOUT,
        *,
        head: SharedHead | None = None,
        joins: bool = False,
    ) -> None:
        """`url` as in the configuration; raises `ValidationError` (`storage_invalid`).

        `patience`: seconds that a read waits for one of `readers` connections. `head`: other
        processes of the agent write the file, too. `joins`: one of them holds it.
        """
        super().__init__(readers)
        self.exclusive = head is None
        self._head = head
        self._joins = joins
        self._index = -1  # descriptor of the write-ahead log's index, with a `head`
        self._file_changes = 0  # SQLite's count when the transaction began
        self._seen: object = None  # the writer's `data_version` at its last look
        self._schema_due = True  # the writer has not looked at the schema yet
        self._foreign = 0
        self._watch: sqlite3.Connection | None = None
        """A connection that outlives the writer's, so that no write of others is missed while the
        writer has none. Our own commits are a change to it, so it is read after each of them."""
        self._watched: object = None  # its `data_version` after our last commit
        self._patience = patience
        self._path = database_path(url)
        self._lock = LockFile(self._path.with_name(self._path.name + ".lock"))

    def _open_engines(self) -> tuple[sa.Engine, sa.Engine]:
        try:
            if not self._joins:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock.acquire()
                _create(self._path)
        except OSError as error:
            raise self._store_error(error) from error
        reads = self._read_engine()
        writes = create_engine(
            _URL, lambda: self._connection(_SETTINGS), "BEGIN IMMEDIATE", poolclass=NullPool
        )
        return reads, writes

    def _read_engine(self) -> sa.Engine:
        return create_engine(
            _URL,
            lambda: self._connection(_READ_ONLY),
            "BEGIN",
            poolclass=QueuePool,
            pool_size=self.readers,
            max_overflow=LONG_READERS,
            pool_timeout=self._patience,
        )

    def open(self) -> None:
        """As every backend; writes of others are noticed from here on."""
        super().open()
        if self._head is not None:
            self._index = _open_wal_index(self._path)
            if not self._joins:
                self._head.file_changes = self._count_file_changes()
            return
        try:
            self._watch = self._connection(_READ_ONLY)
            self._watched = _data_version(self._watch)
        except Exception as error:
            self.close()
            raise self._store_error(error) from error

    def _release(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        self._lock.release()

    @property
    def location(self) -> str:
        """The file."""
        return str(self._path)

    def size(self) -> int:
        """Of the file and of those that belong to it; one that went meanwhile has none."""
        total = 0
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                total += self._path.with_name(self._path.name + suffix).stat().st_size
        return total

    def checkpoint(self) -> None:
        """Copy as much of the log as no reader and no writer is in the way of, and sync it."""
        try:
            with closing(self._connection(_SETTINGS)) as database:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except Exception as error:
            raise self._store_error(error) from error

    def _connection(self, settings: tuple[str, ...]) -> sqlite3.Connection:
        database = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",  # never create it anew: an empty vault
            uri=True,
            isolation_level=None,  # BEGIN is ours to say, and never deferred for a writer
            check_same_thread=False,  # the store hands a connection to one thread at a time
        )
        try:
            for setting in settings:
                database.execute(setting).fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def _begin_read(self, reader: sa.PoolProxiedConnection) -> None:
        """The schema is checked whenever it has another number than this connection knows."""
        database = cast("sqlite3.Connection", reader.dbapi_connection)
        database.execute("BEGIN")
        (number,) = database.execute("PRAGMA schema_version").fetchone()
        if reader.info.get(_SCHEMA) != number:
            check_schema(database)
            reader.info[_SCHEMA] = number

    def connect(self) -> None:
        """A fresh, verified connection, whose schema its first transaction checks."""
        super().connect()
        self._schema_due = True
        if self._head is not None:
            return  # its count of changes does not depend on a connection
        try:
            self._seen = _data_version(_driver(self._write_connection()))
            seen = self._watched if self._watch is None else _data_version(self._watch)
            if seen != self._watched:
                self._watched = seen
                self._foreign += 1
        except sqlite3.Error as error:
            self._discard_writer()
            raise self._store_error(error) from error

    def foreign_writes(self) -> int:
        """Asked of the writer's connection, to which its own commits are no change.

        With a `head`, which the caller holds, of SQLite's own count.
        """
        if self._head is not None:
            self._compare_file_changes(self._head)
            return self._head.foreign_writes
        with self._one_writer:
            try:
                self._count_foreign_writes(_driver(self._write_connection()))
            except sqlite3.Error as error:
                raise self._store_error(error) from error
            return self._foreign

    def _count_foreign_writes(self, database: sqlite3.Connection) -> None:
        if _data_version(database) == self._seen:
            return
        if self._watch is not None:
            self._watched = _data_version(self._watch)
        self._seen = _data_version(database)  # after the other: twice is better than not at all
        self._foreign += 1
        self._schema_due = True

    def _discard_writer(self) -> None:
        """Look for writes of others once more, before the connection goes."""
        if self._writer is not None and self._head is None:
            with suppress(sqlite3.Error, sa.exc.SQLAlchemyError):
                self._count_foreign_writes(_driver(self._writer))
        super()._discard_writer()

    def _write_transaction(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        try:
            super()._write_transaction(apply)
        except BackendError as error:
            if error.details["outcome"] == UNKNOWN and self._head is None:
                self._record_own_commit()  # a failing disk is not another writer
            raise  # with a head, the commit has begun and not ended there, so it is expected
        self._record_own_commit()

    def _record_own_commit(self) -> None:
        if self._head is not None:
            self._head.file_changes = next_file_change(self._file_changes)
        if self._watch is not None:
            with suppress(
                sqlite3.Error
            ):  # it is stored; at worst our own commit is counted as another's, and looked into
                self._watched = _data_version(self._watch)

    def _begin_write(self, connection: sa.Connection) -> None:
        """Begin, and check the schema if any other connection has written since the last look.

        No other process may write while the file is held, so that is once, or an intruder.
        """
        super()._begin_write(connection)
        database = _driver(connection)
        try:
            if self._head is not None:
                self._compare_file_changes(self._head)
            else:
                self._count_foreign_writes(database)
            if self._schema_due:
                check_schema(database)
        except sqlite3.Error as error:
            raise self._store_error(error) from error
        self._schema_due = False

    def _compare_file_changes(self, head: SharedHead) -> None:
        """Each commit of a process that held the head is counted there; any other is not."""
        self._file_changes = self._count_file_changes()
        if not head.expects_file_changes(self._file_changes):
            head.count_foreign_write()
        head.file_changes = self._file_changes
        if head.foreign_writes != self._foreign:
            self._foreign = head.foreign_writes
            self._schema_due = True

    def _count_file_changes(self) -> int:
        """SQLite's count of commits, in the index of its write-ahead log.

        Source: https://sqlite.org/walformat.html#wal_index_header, the change counter. It begins
        anew when the index is made anew: that counts as a foreign write, and is looked into.
        """
        try:
            if not os.fstat(self._index).st_nlink:  # with the last connection SQLite removes it
                self._index = _open_wal_index(self._path)
            return int.from_bytes(os.pread(self._index, 4, _CHANGES_AT), sys.byteorder)
        except OSError as error:
            raise self._store_error(error) from error

    def _verify_durability(self, writer: sa.Connection) -> None:
        verify_durability(_driver(writer))

    def _in_transaction(self, writer: sa.Connection) -> bool:
        return _driver(writer).in_transaction

    def _verify_schema(
        self, connection: sa.PoolProxiedConnection, on_progress: Callable[[], None]
    ) -> None:
        database = cast("sqlite3.Connection", connection.dbapi_connection)
        check_schema(database)
        with _call_meanwhile(database, on_progress):
            for table in _CHECKED:
                if _first(database, f"PRAGMA integrity_check('{table}')") != "ok":
                    raise _corrupt(f"table {table} and its indexes contradict each other")

    def _verify_integrity(self, connection: sa.PoolProxiedConnection) -> None:
        database = cast("sqlite3.Connection", connection.dbapi_connection)
        check_schema(database)
        if _first(database, "PRAGMA integrity_check(1)") != "ok":
            raise _corrupt("its pages or indexes contradict each other")
        if _first(database, "PRAGMA foreign_key_check") is not None:
            raise _corrupt("a row refers to one that is not there")

    def _store_error(self, error: Exception) -> Exception:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the primary code
        if code == sqlite3.SQLITE_FULL or getattr(cause, "errno", 0) == errno.ENOSPC:
            return BackendError("store_full", "the disk of the database is full")
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return _corrupt("SQLite cannot read it")
        if isinstance(cause, sqlite3.Error) and _UNDECODABLE in str(cause):
            return TamperedError("row_corrupt", "a stored row is damaged")
        if isinstance(error, sqlite3.Error | OSError | sa.exc.SQLAlchemyError):
            return BackendError("store_unavailable", f"the database failed: {_reason(cause)}")
        return error


class ForeignSqliteReader(SqliteBackend):
    """A file that this process does not hold: of any release, or a copy of a database.

    Its schema is not checked, so its rows are worth what is signed in them, and nothing more.
    """

    def open(self) -> None:
        """For reads. Nothing is taken, migrated or verified."""
        self._reads = self._read_engine()
        self._dialect = self._reads.dialect

    def _begin_read(self, reader: sa.PoolProxiedConnection) -> None:
        cast("sqlite3.Connection", reader.dbapi_connection).execute("BEGIN")


@contextmanager
def _call_meanwhile(
    database: sqlite3.Connection, on_progress: Callable[[], None]
) -> Iterator[None]:
    """Call it from time to time while a statement runs in the block; what it raises ends that."""
    raised: list[VaultError] = []

    def progress() -> bool:
        try:
            on_progress()
        except VaultError as error:
            raised.append(error)
        return bool(raised)

    database.set_progress_handler(progress, _OPCODES_PER_CALL)
    try:
        yield
    except sqlite3.OperationalError:
        if raised:
            raise raised[0] from None
        raise
    finally:
        database.set_progress_handler(None, 0)


def _data_version(database: sqlite3.Connection) -> object:
    """Another number once another connection has committed."""
    return _first(database, "PRAGMA data_version")


def _first(database: sqlite3.Connection, statement: str) -> object:
    """The first cell of the first row; None when there is no row."""
    row = database.execute(statement).fetchone()
    return None if row is None else row[0]


def _corrupt(why: str) -> BackendError:
    return BackendError("store_corrupt", f"the database is damaged ({why}); restore a backup")


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _reason(cause: object) -> str:
    """The system's or SQLite's own words for its kind of failure: no path, no value."""
    if isinstance(cause, sqlite3.OperationalError):
        return f"{cause} ({getattr(cause, 'sqlite_errorname', 'SQLite')})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "it does not answer as it should"


_wal_indexes: Final[dict[Path, int]] = {}


def _open_wal_index(path: Path) -> int:
    """A descriptor that stays open as long as the process lives.

    To close it would release the locks that SQLite has on this file in this process (POSIX locks,
    fcntl(2)), and with them damage the database.
    """
    known = _wal_indexes.get(path)
    if known is None or not os.fstat(known).st_nlink:  # it was removed, so nobody has locks on it
        index = path.with_name(path.name + "-shm")
        known = _wal_indexes[path] = os.open(index, os.O_RDONLY | os.O_CLOEXEC)
    return known


def _create(path: Path) -> None:
    """Create the file with a mode that no umask widens; its log inherits it."""
    if path.exists():
        return
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refused(why: str) -> ValidationError:
    return ValidationError(
        "storage_invalid", f"storage.connection_string: {why}", field="storage.connection_string"
    )


def _unsafe(why: str) -> UnavailableError:
    return UnavailableError("store_unsafe", f"this database is refused: {why}")
