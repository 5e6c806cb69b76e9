"""vault.workers.reading: what a worker decides again, on what every process agrees on now."""

import socket

import pytest
import trio

from actors.testing import FakeWorld
from protocols.instant import SECOND
from tests.unit.vault.workers.pages import new_page
from vault.authz.ceiling import NO_CEILING
from vault.config import Settings
from vault.errors import TamperedError
from vault.metrics import Metrics
from vault.store.memory import MemoryBackend
from vault.workers.audit import AuditLane
from vault.workers.reading import WorkerParts, open_reading
from vault.workers.wire import Ends, Lane, Open, Recorded
from vault.workers.writes import WriteLane


async def test_the_clock_of_an_opening_is_the_leaders() -> None:
    """It knows of a later time by the mark, that whoever started this process did not know yet."""
    world = FakeWorld()
    settings = Settings.model_validate(
        {
            "server": {"port": 1, "tls": {"enabled": False}, "workers": 2},
            "storage": {"connection_string": "sqlite:////data/vault.db"},
        }
    )
    later = world.now() + 86_400 * SECOND
    order = Open(
        opening=1,
        root_key=b"k" * 32,
        org="o",
        vault="v",
        node="n",
        epoch=1,
        floor=later,
        ceiling=NO_CEILING,
    )
    audit, writes = (
        trio.SocketStream(trio.socket.from_stdlib_socket(one)) for one in socket.socketpair()
    )
    backend = MemoryBackend()
    backend.open()
    async with audit, writes:
        parts = WorkerParts(
            settings,
            backend,
            Metrics(),
            new_page(),
            AuditLane(Lane(audit, Recorded)),
            WriteLane(Lane(writes, Ends), world.uptime),
            world,
        )
        with pytest.raises(TamperedError):  # there is no keyring: it opens nothing
            async with open_reading(parts, order):
                pass
    assert world.now() == later
