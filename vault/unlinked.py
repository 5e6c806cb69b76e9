"""The side that an agent turns to its control plane, of one that has none.

What it may once have sent can be looked at. Nothing of the link itself is loaded here: with the
libraries that it takes that is an eighth of all modules, and to load them is most of a start.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from actors import World
from vault.authz.ceiling import read_ceiling
from vault.config import Settings
from vault.gate import Gate
from vault.handlers.control_plane import LinkPorts
from vault.model.link import SentPage, SentVerdict
from vault.store.interface import Backend
from vault.uplink import browsing

FOLDER: Final = "uplink"
EGRESS: Final = "egress.log"


def folder_of(settings: Settings) -> Path:
    """Where the uplink's files are."""
    chosen = settings.control_plane.folder
    return chosen or settings.storage.path.with_name(FOLDER)


def seam_of(settings: Settings, world: World) -> LinkPorts:
    """What the data path is lent, linked or not.

    Raises `UnavailableError` for a ceiling that is not understood.
    """
    ledger = folder_of(settings) / EGRESS
    reading = trio.Lock()  # one reading of the whole ledger at a time

    async def sent(before: int, limit: int) -> SentPage:
        async with reading:
            return await world.run_sync(browsing.page, ledger, before, limit)

    async def verified() -> SentVerdict:
        async with reading:
            return await world.run_sync(browsing.verify, ledger)

    ceiling = read_ceiling(settings.control_plane.ceiling)
    return LinkPorts(ceiling=ceiling, list_sent=sent, verify_sent=verified)


class Unlinked:
    """In the place of `vault.linking.Linking`; without a link there is nothing to keep."""

    def __init__(self, settings: Settings, world: World) -> None:
        """Raises as `seam_of`."""
        self.seam = seam_of(settings, world)

    @asynccontextmanager
    async def linked(
        self, _gate: Gate, _backend: Backend, _connections: Callable[[], float]
    ) -> AsyncIterator[None]:
        """Nobody hears of this agent."""
        yield
