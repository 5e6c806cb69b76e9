"""A gateway that runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from actors.testing import FakeWorld
from control.core import Core
from control.key_files import read_signing_key
from protocols.link.signing import LinkKey
from tests.unit.control.gateway.wired import Hub


@pytest.fixture
async def hub(core: Core, world: FakeWorld, tmp_path: Path) -> AsyncIterator[Hub]:
    """Over the plane's store, its own tasks running."""
    made = Hub(core, world, LinkKey(read_signing_key(tmp_path / "keys", "link")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.gateway.run)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()
