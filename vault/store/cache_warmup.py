"""Warm-up: loads what was read most recently into the cache, then all that has room.

Before anybody asks for it: a first read from disk costs nearly twice as much. Behind the requests,
in small steps with rests between them, so that a start is not later and a read waits no longer for
it. It moves sealed rows from disk to memory: nothing is decrypted.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from vault.errors import VaultError
from vault.store.store import Store
from vault.store.table import Key, RankedQuery, StoreQuery
from vault.store.tables import ACCESS, SECRETS

log: Final = logging.getLogger("freehold.store")
MAX_DURATION: Final = 600.0  # the rest come when they are asked for
MAX_CACHE_SHARE: Final = 0.85  # of the cache: it pushes nothing out that was asked for meanwhile
MAX_RECENT: Final = 100_000  # lately read secrets; their names are held for as long as it runs
NAMES_PER_PAGE: Final = 1_000  # names of the others that are held at a time
STEP: Final = 64  # secrets, with a version each: as many keys as one prepared statement takes
BUSY_REST_FACTOR: Final = 4  # a quarter of a core at most, all processes together
IDLE_REST_FACTOR: Final = 2  # half of one while nobody looks for a row here
RECENTLY_READ: Final = RankedQuery(
    table=SECRETS, link="id", by=ACCESS, column="last_value_read", limit=MAX_RECENT
)  # as `vault.handlers.access_counters` counts them, ten seconds late at most


class CacheWarmup:
    """One run. `loaded`: secrets so far; `done`: it has ended, for whatever reason."""

    def __init__(self, store: Store, world: World, workers: int = 1) -> None:
        """So many `workers` do it at a time, each with a cache of its own."""
        self._store = store
        self._workers = workers
        self._looks = 0
        self._left = store.evicted_rows
        self._world = world
        self._until = world.monotonic() + MAX_DURATION
        self.loaded = 0
        self.done = trio.Event()

    async def run(self) -> None:
        """Load until all is there, the share of the cache is full or the time is over."""
        try:
            await self._load(await self._store.select_ranked(RECENTLY_READ))
            await self._load_others()
        except VaultError as error:  # the cache is filled by reads then, which tell it again
            log.warning("the cache is not warmed up: %s", error)
        self.done.set()

    async def _load_others(self) -> None:
        query = StoreQuery(limit=NAMES_PER_PAGE)
        while self._goes_on() and (names := await self._store.select_keys(SECRETS, query)):
            some = [name for name in names if not self._store.is_cached(SECRETS, *name)]
            await self._load(some)
            query = StoreQuery(limit=NAMES_PER_PAGE, after=names[-1])

    async def _load(self, names: Sequence[Key]) -> None:
        for start in range(0, len(names), STEP):
            began = self._world.monotonic()
            if not self._goes_on():
                return
            some = names[start : start + STEP]
            self.loaded += len(
                await self._store.load_into_cache(SECRETS, some)
            )  # their versions come along
            await self._world.sleep(self._rest() * (self._world.monotonic() - began))

    def _rest(self) -> int:
        looked, self._looks = self._looks, self._store.statistics().cache.lookups
        return self._workers * (IDLE_REST_FACTOR if looked == self._looks else BUSY_REST_FACTOR) - 1

    def _goes_on(self) -> bool:
        cache = self._store.statistics().cache
        has_room = cache.bytes < MAX_CACHE_SHARE * cache.max_bytes
        if not cache.ttl:  # a step of large rows may have taken the last of it
            has_room = has_room and self._store.evicted_rows == self._left
        return has_room and self._world.monotonic() < self._until


@asynccontextmanager
async def run_cache_warmup(store: Store, world: World, workers: int) -> AsyncIterator[CacheWarmup]:
    """Warm the cache up behind the block, which does not wait for it; leaving ends it.

    `workers`: how many do so, each its own; 0: nobody.
    """
    warmup = CacheWarmup(store, world, max(workers, 1))
    async with trio.open_nursery() as nursery:
        if workers:
            nursery.start_soon(warmup.run)
        yield warmup
        nursery.cancel_scope.cancel()
