"""The databases that an agent's store is tested on, real servers among them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.support.mariadb import mariadb
from tests.support.postgres import postgres
from vault.model.server_address import parse_server_address
from vault.store.mysql import MysqlBackend
from vault.store.postgresql import PostgresqlBackend
from vault.store.server import Role, ServerBackend, run
from vault.store.tables import ALL

SERVERS: Final = ("postgresql", "mysql")
ON_EVERY_DATABASE: Final = pytest.mark.parametrize(
    "workers",
    [1, 2, *SERVERS],
    indirect=True,
    scope="module",
    ids=["1 worker", "2 workers", *SERVERS],
)
"""Of an acceptance module: see the fixture `workers`."""


@contextmanager
def run_server(kind: str) -> Iterator[Callable[[], str]]:
    """A running server for the length of the block: what makes URLs of new, empty databases."""
    with postgres() if kind == "postgresql" else mariadb() as server:
        yield server.empty


def server_backend(url: str, **options: Any) -> ServerBackend:
    """A closed backend of the URL's kind."""
    kind = url.partition(":")[0]
    backend = PostgresqlBackend if kind == "postgresql" else MysqlBackend
    return backend(parse_server_address(url, kind), **options)


def remove_rows(backend: ServerBackend) -> None:
    """Leave a migrated database with nothing in it: quicker than to make another."""
    connection = backend.connect_driver(Role.WRITE)
    for table in reversed(ALL):
        run(connection, f"DELETE FROM {table.name}")  # noqa: S608  # a name of ours
    connection.close()
