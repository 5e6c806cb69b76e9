"""The backends that have to keep the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.faulty import FaultyBackend
from tests.support.databases import SERVERS, remove_rows, run_server, server_backend
from vault.store.interface import StoreBackend
from vault.store.memory import MemoryBackend
from vault.store.sqlite import SqliteBackend


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database of a PostgreSQL server."""
    yield from _migrated("postgresql")


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    """A database of a MariaDB server."""
    yield from _migrated("mysql")


def _migrated(kind: str) -> Iterator[str]:
    with run_server(kind) as empty:
        url = empty()
        backend = server_backend(url)
        backend.open()
        backend.close()
        yield url


@pytest.fixture(params=["memory", "sqlite", "faulty", *SERVERS])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBackend]:
    """An open, empty backend of each kind; a wrapper without faults is one of them."""
    made: StoreBackend
    match request.param:
        case "memory":
            made = MemoryBackend()
        case "sqlite":
            made = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
        case "faulty":
            made = FaultyBackend(MemoryBackend())
        case kind:
            server = server_backend(request.getfixturevalue(f"{kind}_url"))
            remove_rows(server)
            made = server
    made.open()
    yield made
    made.close()
