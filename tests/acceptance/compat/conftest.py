"""Both servers, started once for all stories."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import pytest

from tests.acceptance.agent import in_form
from tests.acceptance.compat.servers import DEV, Server
from tests.support.databases import SERVERS

Both = tuple[Server, Server]

T = TypeVar("T")


@pytest.fixture(scope="session")
def once() -> Callable[[str, Callable[[], T]], T]:
    """What the first call of a name came to: OpenBao is told each story once, Freehold twice."""
    found: dict[str, T] = {}

    def told(name: str, tell: Callable[[], T]) -> T:
        if name not in found:
            found[name] = tell()
        return found[name]

    return told


@pytest.fixture(scope="session", params=[2, *SERVERS], ids=["2 workers", *SERVERS])
def workers(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many Freehold has: several on a file, or one on each kind of server."""
    with in_form(request) as count:
        yield count


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, workers: int) -> Iterator[Both]:
    """OpenBao and Freehold, open, with the same root token and KV version 2 at `secret/`."""
    with ExitStack() as stack:
        openbao, freehold = (
            stack.enter_context(start(tmp_path_factory.mktemp(name), workers))
            for name, start in DEV.items()
        )
        yield openbao, freehold
