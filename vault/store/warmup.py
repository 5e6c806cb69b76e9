"""Warm-up: what was read most lately comes into the cache once more, before anybody asks for it.

Behind the requests, in small steps with rests between them, so that a start is not later and a read
waits no longer for it. It moves sealed rows from disk to memory: nothing is opened or told.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from vault.errors import VaultError
from vault.store.store import Store
from vault.store.table import Key, Ranking
from vault.store.tables import ACCESS, SECRETS

log: Final = logging.getLogger("freehold.store")
SECONDS: Final = 30.0  # what is not warm by then was not read often enough to be missed
SHARE: Final = 0.75  # of the cache: it pushes nothing out that was asked for meanwhile
MOST: Final = 100_000  # secrets; their names are held for as long as it runs
STEP: Final = 20  # secrets, with a version each: about 0.6 ms of a thread
REST: Final = 3  # times as long as the step took: a quarter of a core at most
RECENT: Final = Ranking(
    table=SECRETS, link="id", by=ACCESS, column="last_value_read", limit=MOST
)  # as `vault.handlers.access` counts them, ten seconds late at most


class Warmup:
    """One run. `loaded`: secrets so far; `done`: it has ended, for whatever reason."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._until = world.monotonic() + SECONDS
        self.loaded = 0
        self.done = trio.Event()

    async def run(self) -> None:
        """Load until all is there, the share of the cache is full or the time is over."""
        try:
            for names in _steps(await self._store.ranked(RECENT)):
                started = self._world.monotonic()
                if self._is_full() or started >= self._until:
                    break
                await self._load(names)
                await self._world.sleep(REST * (self._world.monotonic() - started))
        except VaultError as error:  # the cache is filled by reads then, which tell it again
            log.warning("the cache is not warmed up: %s", error)
        self.done.set()

    async def _load(self, names: Sequence[Key]) -> None:
        self.loaded += len(await self._store.warm(SECRETS, names))  # their versions come along

    def _is_full(self) -> bool:
        cache = self._store.statistics().cache
        return cache.bytes >= SHARE * cache.max_bytes


def _steps(names: list[Key]) -> Iterator[list[Key]]:
    return (names[i : i + STEP] for i in range(0, len(names), STEP))


@asynccontextmanager
async def warming(store: Store, world: World, *, enabled: bool = True) -> AsyncIterator[Warmup]:
    """Warm the cache up behind the block, which does not wait for it; leaving ends it."""
    warmup = Warmup(store, world)
    async with trio.open_nursery() as nursery:
        if enabled:
            nursery.start_soon(warmup.run)
        yield warmup
        nursery.cancel_scope.cancel()
