"""Both servers, started once for all stories."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.compat.servers import DEV, Server

Both = tuple[Server, Server]


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """OpenBao and Freehold, open, with the same root token and KV version 2 at `secret/`."""
    with ExitStack() as stack:
        openbao, freehold = (
            stack.enter_context(start(tmp_path_factory.mktemp(name))) for name, start in DEV.items()
        )
        yield openbao, freehold
