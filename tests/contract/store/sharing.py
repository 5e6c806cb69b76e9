"""A database that several stores share, as the processes of one agent or several agents do."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.contract.store.harness import KEYRING, KEYS, first_stamp, following
from tests.support.databases import remove_rows, server_backend
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.interface import StoreBackend
from vault.store.server import Role, run
from vault.store.shared_head import BYTES, SharedHead
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store
from vault.store.tables import HEAD_ROW, SYSTEM

ROOT_KEY = bytes(32)


class SharedDatabase(Protocol):
    """An empty database with its first commit stamp."""

    def backend(self) -> StoreBackend:
        """One more, closed."""
        ...

    def head_of(self, backend: StoreBackend) -> SharedHead | None:
        """The head of its file; None: it is on a server."""
        ...

    def run(self, statement: str, *values: object) -> list[Any]:
        """A statement of another program, with `?` for values; the rows."""
        ...


class SharedServer:
    """On a database server, which keeps its head."""

    def __init__(self, url: str) -> None:
        self._url = url
        backend = server_backend(url)
        remove_rows(backend)
        backend.open()
        first_stamp(backend)
        backend.close()

    def backend(self) -> StoreBackend:
        """One more, closed."""
        return server_backend(self._url)

    def head_of(self, _: StoreBackend) -> None:
        """The database's own."""

    def run(self, statement: str, *values: object) -> list[Any]:
        """A statement of another program, with `?` for values; the rows."""
        connection = server_backend(self._url).connect_driver(Role.WRITE)
        try:
            return list(run(connection, statement.replace("?", "%s"), list(values)) or ())
        finally:
            connection.close()


class SharedFile:
    """A SQLite file whose head is in memory: each backend with a descriptor of its own.

    Such locks exclude each other within one process, too.
    """

    def __init__(self, folder: Path, memory: memoryview | None = None) -> None:
        self.file = folder / "vault.db"
        self.memory = memoryview(bytearray(BYTES)) if memory is None else memory
        self._heads: dict[StoreBackend, SharedHead] = {}
        self.first = self._make(joins=False)
        self.first.open()
        first_stamp(self.first)
        (folder / "keyring").write_bytes(KEYRING.encode(ROOT_KEY))
        row = stored_stamp(self.first)
        self.head_of(self.first).end_commit(decode_state(row, CommitStamp, KEYS).commits)

    def backend(self) -> SqliteBackend:
        """One more, closed."""
        return self._make(joins=True)

    def head_of(self, backend: StoreBackend) -> SharedHead:
        """Its own view of the head."""
        return self._heads[backend]

    def run(self, statement: str, *values: object) -> list[Any]:
        """A statement of another program; the rows."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the first backend, and all descriptors."""
        self.first.close()
        for head in self._heads.values():
            head.close()

    def _make(self, *, joins: bool) -> SqliteBackend:
        lock_file = self.file.with_name("vault.db.lock")
        head = SharedHead(lock_file, self.memory, len(self._heads))
        made = SqliteBackend(f"sqlite:///{self.file}", head=head, joins=joins)
        self._heads[made] = head
        return made


@contextmanager
def shared_file(folder: Path) -> Iterator[SharedFile]:
    """One that is closed afterwards."""
    made = SharedFile(folder)
    try:
        yield made
    finally:
        made.close()


def stored_stamp(backend: StoreBackend) -> bytes:
    """The commit stamp in the database."""
    with backend.read() as session:
        row = session.get(SYSTEM, (HEAD_ROW,))
    assert row is not None
    return row.value


@asynccontextmanager
async def joined(database: SharedDatabase, node: str) -> AsyncIterator[Store]:
    """One more store on the database, which goes on from what is there."""
    backend = database.backend()
    backend.open()
    try:
        async with following(backend, node, head=database.head_of(backend)) as store:
            yield store
    finally:
        backend.close()
