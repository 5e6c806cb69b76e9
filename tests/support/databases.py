"""The databases that an agent's store is tested on, real servers among them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.support.mariadb import Mariadb, mariadb, run_mariadb
from tests.support.postgres import Postgres, postgres, run_postgres
from tests.support.shared_servers import shared_folder
from vault.model.records import ChangeRow, SystemRow
from vault.model.server_address import parse_server_address
from vault.store.interface import StoreSession, WriteSet
from vault.store.mysql import MysqlBackend
from vault.store.postgresql import PostgresqlBackend
from vault.store.server import Role, ServerBackend, run
from vault.store.sql import SqlBackend
from vault.store.sqlite import SqliteBackend
from vault.store.table import StoreQuery
from vault.store.tables import ALL, CHANGES, HEAD_ROW, SYSTEM

SERVERS: Final = ("postgresql", "mysql")
Server: TypeAlias = Postgres | Mariadb
ON_EVERY_DATABASE: Final = pytest.mark.parametrize(
    "workers",
    [1, 2, *SERVERS],
    indirect=True,
    scope="module",
    ids=["1 worker", "2 workers", *SERVERS],
)
"""Of an acceptance module: see the fixture `workers`."""


@cache
def shared_server(kind: str) -> Server:
    """The run's server of this kind: for tests that neither stop nor change it."""
    folder = shared_folder(kind)
    return Postgres(folder) if kind == "postgresql" else Mariadb(folder)


@contextmanager
def run_server(kind: str) -> Iterator[Server]:
    """A server of this kind that nobody else uses, for the length of the block."""
    with postgres() if kind == "postgresql" else mariadb() as server:
        yield server


def run_server_in(kind: str, folder: Path) -> AbstractContextManager[Server]:
    """The same, in an empty folder."""
    return run_postgres(folder) if kind == "postgresql" else run_mariadb(folder)


def database_name(url: str) -> str:
    """The database of a URL that a server has made."""
    return parse_server_address(url, url.partition(":")[0]).database


def server_backend(url: str, **options: Any) -> ServerBackend:
    """A closed backend of the URL's kind; it has time, since the machine may be busy."""
    kind = url.partition(":")[0]
    backend = PostgresqlBackend if kind == "postgresql" else MysqlBackend
    made = backend(parse_server_address(url, kind), **options)  # type: ignore[arg-type]
    made.look_seconds = SqlBackend.look_seconds
    return made


def make_backend(url: str) -> SqlBackend:
    """A closed backend of the URL's kind, a file's among them."""
    return SqliteBackend(url) if url.startswith("sqlite:") else server_backend(url)


def remove_rows(backend: ServerBackend) -> None:
    """Leave a migrated database with nothing in it: quicker than to make another."""
    connection = backend.connect_driver(Role.WRITE)
    for table in reversed(ALL):
        run(connection, f"DELETE FROM {table.name}")  # noqa: S608  # a name of ours
    connection.close()


def write_head(backend: ServerBackend, value: bytes, **more: Any) -> None:
    """A transaction as the store makes it, which changes the head."""
    head = SystemRow(name=HEAD_ROW, value=value)

    def apply(session: StoreSession) -> WriteSet:
        known = session.get(SYSTEM, (HEAD_ROW,)) is not None
        number = len(session.select_keys(CHANGES, StoreQuery())) + 1
        entry = ChangeRow(seq=number, node="n", changes=b"", chain=value)
        inserts = {CHANGES: [entry], **more.get("inserts", {})}
        if known:
            return WriteSet(inserts=inserts, updates={SYSTEM: [head]})
        return WriteSet(inserts=inserts | {SYSTEM: [head]})

    backend.write(apply)


def stored_head(backend: ServerBackend) -> bytes | None:
    """What a reader finds."""
    with backend.read() as session:
        row = session.get(SYSTEM, (HEAD_ROW,))
    return None if row is None else row.value


def in_database(server: Server, url: str) -> Callable[..., list[tuple[Any, ...]]]:
    """What runs statements there, as its administrator."""
    return partial(server.run, database=database_name(url))


def end_sessions(server: Server, url: str) -> None:
    """Every connection to the database is ended by its administrator."""
    execute = in_database(server, url)
    if isinstance(server, Postgres):
        execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    for (session,) in execute(
        "SELECT id FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ):
        execute(f"KILL {session}")
