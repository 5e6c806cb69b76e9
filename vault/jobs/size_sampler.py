"""How many secrets there are and how large the files: what an agent tells of its vault's size.

Counted as soon as the vault is open, and then as often as it is cheap.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from glob import escape
from pathlib import Path
from shutil import disk_usage
from typing import Final, Protocol

import trio

from actors import World
from protocols.link.vocabulary import GaugeName
from vault.errors import UnavailableError
from vault.store.interface import StoreBackend
from vault.store.tables import SECRETS

log: Final = logging.getLogger("freehold.uplink")
MIN_PAUSE: Final = 15.0
"""Minimum seconds between two counts: a new user sees soon what was just stored."""
MAX_PAUSE: Final = 300.0
"""Maximum seconds. Each count reads one column of every row, a second for a million of them."""
PAUSE_FACTOR: Final = 200.0
"""A pause is so many times as long as the count took: half a percent of one thread."""

Sizes = dict[GaugeName, int]


class SizeReport(Protocol):
    """Who passes it on."""

    secrets: int
    sizes: Sizes


class SealObserver(Protocol):
    """What is asked of `SealManager`."""

    @property
    def is_open(self) -> bool:
        """Whether there is anything to count."""
        ...

    async def wait_seal_change(self) -> None:
        """Return when an open vault is sealed, or a sealed one open."""
        ...


async def sample_sizes(
    report: SizeReport, seal: SealObserver, measure: Callable[[], tuple[int, Sizes]], world: World
) -> None:
    """Until cancelled: what `measure` finds, in a thread, whenever the vault is open."""
    while True:
        pause, was_open = MAX_PAUSE, seal.is_open
        if was_open:
            began = world.monotonic()
            try:
                report.secrets, report.sizes = await world.run_sync(measure)
            except UnavailableError as error:
                log.warning("the secrets could not be counted: %s", error)
            pause = min(MAX_PAUSE, max(MIN_PAUSE, PAUSE_FACTOR * (world.monotonic() - began)))
        await _wait_seal_change_or_pause(seal, pause, world, was_open=was_open)


async def _wait_seal_change_or_pause(
    seal: SealObserver, seconds: float, world: World, *, was_open: bool
) -> None:
    async with trio.open_nursery() as nursery:

        async def turned() -> None:
            if seal.is_open is was_open:  # else it was in between
                await seal.wait_seal_change()
            nursery.cancel_scope.cancel()

        nursery.start_soon(turned)
        await world.sleep(seconds)
        nursery.cancel_scope.cancel()


def measure_sizes(backend: StoreBackend, data: Path, audit: Path) -> tuple[int, Sizes]:
    """Secrets, bytes of the database and of a log (of files that went none), and those left free.

    Blocks. Raises `UnavailableError`.
    """
    return _secrets(backend), {
        GaugeName.STORE_BYTES: backend.size(),
        GaugeName.AUDIT_BYTES: _bytes(audit.parent, audit.name),
        GaugeName.DISK_FREE_BYTES: disk_usage(data).free,
    }


def _bytes(folder: Path, name: str) -> int:
    """Of a file and of those that belong to it by their names."""
    total = 0
    for file in folder.glob(f"{escape(name)}*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _secrets(backend: StoreBackend) -> int:
    with backend.read() as session:
        return sum(1 for _ in session.iter_macs(SECRETS))
