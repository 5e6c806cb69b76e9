"""The databases that have to keep the contract."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from actors import SystemWorld
from control.store.store import Store, open_store
from tests.newest import place_control
from tests.support.databases import shared_server
from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def server() -> Postgres:
    """The PostgreSQL server that the whole run shares."""
    return cast("Postgres", shared_server("postgresql"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/control.db"
    running: Postgres = request.getfixturevalue("server")
    return running.database()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One of each kind at the newest step, with nothing in it."""
    if request.param == "sqlite":
        return place_control(tmp_path)
    running: Postgres = request.getfixturevalue("server")
    return running.migrated()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open store on it."""
    async with open_store(url, SystemWorld()) as opened:
        yield opened
