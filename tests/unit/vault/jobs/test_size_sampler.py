"""What is told of a vault's size is of now, without counting all the time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from vault.errors import UnavailableError
from vault.jobs.size_sampler import MAX_PAUSE, MIN_PAUSE, Sizes, sample_sizes


class Gate:
    """A vault that is opened by hand."""

    def __init__(self) -> None:
        self.is_open = False
        self._turned = trio.Event()

    def turn(self) -> None:
        """Seal it or open it."""
        self.is_open = not self.is_open
        self._turned.set()
        self._turned = trio.Event()

    async def wait_seal_change(self) -> None:
        """As the real one."""
        await self._turned.wait()


class Vault:
    """Secrets that can be counted, in no time or not at all."""

    def __init__(self) -> None:
        self.stored = 0
        self.looks = 0
        self.away = False
        self.takes: Callable[[], None] = lambda: None
        self.secrets = 0
        self.sizes: Sizes = {}

    def look(self) -> tuple[int, Sizes]:
        """Count them."""
        self.looks += 1
        self.takes()
        if self.away:
            raise UnavailableError("store_unavailable", "gone")
        return self.stored, {}


@asynccontextmanager
async def kept(vault: Vault, gate: Gate, world: FakeWorld) -> AsyncIterator[None]:
    """It counts for the length of the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sample_sizes, vault, gate, vault.look, world)
        await wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def passed(world: FakeWorld, seconds: float) -> None:
    """So much time is over, and what was to happen then has."""
    world.advance(seconds)
    await wait_all_tasks_blocked()


async def test_they_are_counted_once_the_vault_is_open() -> None:
    """Not minutes later, and what is stored then is seen soon."""
    vault, gate, world = Vault(), Gate(), FakeWorld()
    vault.stored = 3
    async with kept(vault, gate, world):
        assert (vault.looks, vault.secrets) == (0, 0)
        gate.turn()
        await wait_all_tasks_blocked()
        assert (vault.looks, vault.secrets) == (1, 3)
        vault.stored = 4
        await passed(world, MIN_PAUSE)
        assert (vault.looks, vault.secrets) == (2, 4)


async def test_a_count_that_takes_long_is_made_seldom() -> None:
    """At most every five minutes for a vault of millions."""
    vault, gate, world = Vault(), Gate(), FakeWorld()
    gate.is_open = True
    vault.takes = lambda: world.advance(10)
    async with kept(vault, gate, world):
        await passed(world, MAX_PAUSE - 1)
        assert vault.looks == 1
        await passed(world, 1)
        assert vault.looks == 2


async def test_a_store_that_is_away_is_asked_again() -> None:
    """The last count stands meanwhile."""
    vault, gate, world = Vault(), Gate(), FakeWorld()
    gate.is_open, vault.secrets, vault.away = True, 7, True
    async with kept(vault, gate, world):
        assert vault.secrets == 7
        vault.away, vault.stored = False, 8
        await passed(world, MIN_PAUSE)
        assert vault.secrets == 8
