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
from vault.control_link import egress_ledger
from vault.control_link.ports import LinkPorts
from vault.model.link import SentPage, SentVerdict
from vault.seal.manager import SealManager
from vault.store.interface import StoreBackend

FOLDER: Final = "uplink"
EGRESS: Final = "egress.log"


def link_folder(settings: Settings) -> Path:
    """Where the control link's files are."""
    chosen = settings.control_plane.folder
    return chosen or settings.data_folder / FOLDER


def make_link_ports(settings: Settings, world: World) -> LinkPorts:
    """What the data path is lent, linked or not.

    Raises `UnavailableError` for a ceiling that is not understood.
    """
    ledger = link_folder(settings) / EGRESS
    reading = trio.Lock()  # one reading of the whole ledger at a time

    async def sent(before: int, limit: int) -> SentPage:
        async with reading:
            return await world.run_sync(egress_ledger.read_egress_page, ledger, before, limit)

    async def verified() -> SentVerdict:
        async with reading:
            return await world.run_sync(egress_ledger.verify_egress_ledger, ledger)

    ceiling = read_ceiling(settings.control_plane.ceiling)
    return LinkPorts(ceiling=ceiling, list_sent=sent, verify_sent=verified)


class NullControlLink:
    """In place of `vault.control_link.wiring.ControlLink`: without a link nothing is kept."""

    def __init__(self, settings: Settings, world: World) -> None:
        """Raises as `make_link_ports`."""
        self.ports = make_link_ports(settings, world)

    @asynccontextmanager
    async def keep_linked(
        self, _seal: SealManager, _backend: StoreBackend, _connections: Callable[[], float]
    ) -> AsyncIterator[None]:
        """Nobody hears of this agent."""
        yield
