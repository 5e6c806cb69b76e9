"""Destinations on real servers of loopback, which are started once."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support import backup_servers
from tests.support.backup_places import BUCKETS, KINDS, MakePlace, Place


@pytest.fixture(scope="session")
def make_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePlace]:
    """Places of each kind; a server is started when it is first wanted."""
    folder = tmp_path_factory.mktemp("servers")
    servers: dict[str, dict[str, Any]] = {"local": {}}
    with ExitStack() as stack:

        def make(kind: str) -> Place:
            if kind not in servers:
                servers[kind] = stack.enter_context(getattr(backup_servers, kind)(folder))
            return Place(kind, servers[kind], folder / "local")

        yield make


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, make_place: MakePlace) -> Place:
    """One of each kind."""
    return make_place(request.param)


@pytest.fixture(params=BUCKETS)
def bucket(request: pytest.FixtureRequest, make_place: MakePlace) -> Place:
    """One of each kind of object store."""
    return make_place(request.param)
