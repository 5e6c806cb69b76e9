"""The control link's own small database: outbox, cursor, staged effects. SQLite, a file of its own.

It is not the vault's store, because it must be open while the vault is sealed, and because nothing
in it is a secret or an authority: bundles are signed, and messages are what leaves anyway. One
thread owns the connection; in a simulation the world runs it inline.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import trio

from actors import World
from vault.errors import UnavailableError

T = TypeVar("T")
LinkTx: TypeAlias = sqlite3.Connection
"""A connection within a transaction: to be used in the function that is given it, and not kept."""

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE outbox_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    stream BLOB NOT NULL, newest INTEGER NOT NULL, acknowledged INTEGER NOT NULL,
    bytes INTEGER NOT NULL, messages INTEGER NOT NULL, dropped INTEGER NOT NULL
) STRICT;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE TABLE peer (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL) STRICT;
CREATE TABLE inbox (
    one INTEGER PRIMARY KEY CHECK (one = 1), stream BLOB NOT NULL, applied INTEGER NOT NULL
) STRICT;
CREATE TABLE staged_bundle (
    one INTEGER PRIMARY KEY CHECK (one = 1), signed BLOB NOT NULL
) STRICT;
CREATE TABLE commands (
    id BLOB PRIMARY KEY, number INTEGER NOT NULL, command TEXT NOT NULL,
    expires_at INTEGER NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE TABLE notifications (
    id BLOB PRIMARY KEY, number INTEGER NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TABLE witnessed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL, root BLOB NOT NULL, cosignature TEXT NOT NULL
) STRICT;
"""
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS outbox_name ON outbox (name, id);
CREATE INDEX IF NOT EXISTS outbox_topic ON outbox (topic, id);
CREATE TABLE IF NOT EXISTS expiring (
    secret BLOB PRIMARY KEY, version INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    window INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS break_glass (
    vault BLOB NOT NULL, is_verified INTEGER NOT NULL, uses INTEGER NOT NULL,
    PRIMARY KEY (vault, is_verified)
) STRICT;
CREATE TABLE IF NOT EXISTS ended (
    one INTEGER PRIMARY KEY CHECK (one = 1), expires_at INTEGER NOT NULL, secret BLOB NOT NULL
) STRICT;
"""
_PASSING: Final = frozenset(
    {
        *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM),
        *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL),
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""SQLite's primary codes for what is not the file's fault."""


class LinkDatabase:
    """Made by `open_link_database`."""

    def __init__(self, path: Path | None, world: World) -> None:
        """Without a path it is in memory, and lives as long as the object: for a simulation."""
        self._path = path
        self._worker = world.worker("uplink database")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Raises `UnavailableError`, as all methods.

        `uplink_store` may pass; `uplink_damaged` and `uplink_version` are for a person to mend.
        """
        await self._worker.run(self._told, self._open)

    async def close(self) -> None:
        """Give up the connection and its thread."""
        with trio.CancelScope(shield=True):
            await self._worker.run(self._close)
        self._worker.close()

    async def transact(self, change: Callable[[LinkTx], T]) -> T:
        """Run `change` in one durable transaction, all of it or nothing, and return its result."""
        return await self._worker.run(self._told, lambda: self._transact(change))

    def _open(self) -> None:
        if self._path is not None:
            # Its owner's alone from its first byte on, whatever the umask.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path or ":memory:", isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise UnavailableError(
                "uplink_version", f"{self._path} was written by a later version of Freehold"
            )
        if not found:
            script = f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            connection.executescript(script)
        connection.executescript(_INDEXES)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transact(self, change: Callable[[LinkTx], T]) -> T:
        connection = self._connection
        if connection is None:
            raise UnavailableError("uplink_store", "the control link's database is closed")
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = change(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has ended it itself when the disk is full
                connection.execute("ROLLBACK")
            raise
        return result

    def _told(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            passing = getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
            raise UnavailableError(
                "uplink_store" if passing else "uplink_damaged",
                f"the control link's database {self._path}: {error}",
            ) from error
        except ValueError as error:
            # sqlite3's own, when it complains of a name that is damaged.
            raise UnavailableError(
                "uplink_damaged", f"the control link's database {self._path} is damaged: {error}"
            ) from error
        except OSError as error:
            raise UnavailableError(
                "uplink_store", f"the control link's database {self._path}: {error.strerror}"
            ) from error


@asynccontextmanager
async def open_link_database(path: Path | None, world: World) -> AsyncIterator[LinkDatabase]:
    """The database for the length of the block."""
    database = LinkDatabase(path, world)
    try:
        await database.open()
        yield database
    finally:
        await database.close()
