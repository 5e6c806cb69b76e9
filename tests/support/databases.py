"""The databases that an agent's store is tested on, real servers among them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from tests.support.mariadb import Mariadb, mariadb
from tests.support.postgres import Postgres, postgres
from vault.model.server_address import parse_server_address
from vault.store.mysql import MysqlBackend
from vault.store.postgresql import PostgresqlBackend
from vault.store.server import Role, ServerBackend, run
from vault.store.tables import ALL

SERVERS: Final = ("postgresql", "mysql")
Server: TypeAlias = Postgres | Mariadb


@contextmanager
def run_server(kind: str) -> Iterator[Server]:
    """A running server for the length of the block."""
    with postgres() if kind == "postgresql" else mariadb() as server:
        yield server


def database_name(url: str) -> str:
    """The database of a URL that a server has made."""
    return parse_server_address(url, url.partition(":")[0]).database


def server_backend(url: str, **options: Any) -> ServerBackend:
    """A closed backend of the URL's kind."""
    kind = url.partition(":")[0]
    backend = PostgresqlBackend if kind == "postgresql" else MysqlBackend
    return backend(parse_server_address(url, kind), **options)  # type: ignore[arg-type]


def remove_rows(backend: ServerBackend) -> None:
    """Leave a migrated database with nothing in it: quicker than to make another."""
    connection = backend.connect_driver(Role.WRITE)
    for table in reversed(ALL):
        run(connection, f"DELETE FROM {table.name}")  # noqa: S608  # a name of ours
    connection.close()
