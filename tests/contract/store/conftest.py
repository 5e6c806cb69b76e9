"""The backends that have to keep the contract."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from tests.contract.store.agents import KINDS, Agents, Database
from tests.contract.store.faulty import FaultyBackend
from tests.support.databases import (
    SERVERS,
    Server,
    remove_rows,
    run_server,
    server_backend,
    shared_server,
)
from vault.store.interface import StoreBackend
from vault.store.memory import MemoryBackend
from vault.store.server import ServerBackend
from vault.store.sqlite import SqliteBackend


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    """A migrated database on the PostgreSQL server that the whole run shares."""
    return _migrated(shared_server("postgresql"))


@pytest.fixture(scope="session")
def mysql_url() -> str:
    """A migrated database on the MariaDB server that the whole run shares."""
    return _migrated(shared_server("mysql"))


@pytest.fixture(scope="session")
def own_postgresql() -> Iterator[tuple[Server, str]]:
    """A PostgreSQL server of this process alone, and a migrated database there."""
    with run_server("postgresql") as server:
        yield server, _migrated(server)


@pytest.fixture(scope="session")
def own_mysql() -> Iterator[tuple[Server, str]]:
    """A MariaDB server of this process alone, and a migrated database there."""
    with run_server("mysql") as server:
        yield server, _migrated(server)


def _migrated(server: Server) -> str:
    url = server.empty()
    backend = server_backend(url)
    backend.open()
    backend.close()
    return url


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of servers, one after another."""
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Server:
    """A running server of the kind, which a test may stop or change, and leaves as it was."""
    found, _ = request.getfixturevalue(f"own_{kind}")
    return found


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str) -> str:
    """Its migrated database, with nothing in it."""
    _, found = request.getfixturevalue(f"own_{kind}")
    remove_rows(server_backend(found))
    return found


@pytest.fixture
def opened_server(url: str) -> Iterator[ServerBackend]:
    """A backend of the database, open."""
    made = server_backend(url)
    made.open()
    yield made
    made.close()


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


@pytest.fixture(params=KINDS)
async def agents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Agents]:
    """A vault that agents open, on each kind of database."""
    database = Database(request.param, request, tmp_path)
    try:
        async with trio.open_nursery() as nursery:
            made = Agents(database, nursery)
            await made.initialize()
            yield made
            made.close()
    finally:
        database.close()
