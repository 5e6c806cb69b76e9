"""Caches of several processes over one database: see `journal` for why they stay true."""

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from vault.store.bounded_cache import Slot, slot_of
from vault.store.change_feed import FedChanges
from vault.store.committer import CommitStamper
from vault.store.interface import StoreSession
from vault.store.row_cache import (
    DEFAULT,
    MISSING,
    CacheConfig,
    ChangedRow,
    Missing,
    PendingLoad,
    RowCache,
    StampedKey,
)
from vault.store.table import Key, Table
from vault.store.tables import ACCESS, AUDIT, MOUNTS, POLICIES, SYSTEM, USAGE
from vault.store.transaction import TransactionBatch
from vault.workers.journal import JournalWriter, Row, row_of

R = TypeVar("R", bound=Struct)

UNTOLD: Final = frozenset({ACCESS.name, AUDIT.name, USAGE.name})
"""Tables whose changes are not announced, since they are many and workers do not read them by key:
a worker's cache keeps none of their rows. Whatever is counted is among them."""
SNAPSHOTS: Final = (POLICIES.name, MOUNTS.name, SYSTEM.name)
"""Tables that a worker holds in another form than its cache; of the last one, `KEYRING` alone."""
KEYRING: Final = row_of(SYSTEM.name, ("keyring",))
WORKER: Final = 4
LEADER: Final = 1


def share(config: CacheConfig, workers: int, parts: int) -> CacheConfig:
    """One process's part of the bound, which is of the leader and all workers together.

    `parts`: `WORKER` or `LEADER`, who answers few reads.
    """
    return replace(config, max_bytes=config.max_bytes * parts // (WORKER * workers + LEADER))


def is_of_snapshots(row: Row) -> bool:
    """Whether a worker has to read it anew before it answers the next request."""
    return row[0] in SNAPSHOTS and (row[0] != SYSTEM.name or row == KEYRING)


class FencedCache(RowCache):
    """A cache that keeps nothing of the rows that are being changed at the moment."""

    def __init__(self, config: CacheConfig = DEFAULT, clock: Callable[[], int] = int) -> None:
        super().__init__(config, clock)
        self._fenced: frozenset[Slot] = frozenset()

    def hold(self, slots: Iterable[Slot]) -> None:
        """Forget what is on these slots, and keep nothing there until `release`."""
        self._fenced = frozenset(slots)
        self.invalidate_slots(self._fenced)

    def release(self) -> None:
        """The transaction has ended: rows that are loaded from now on are kept."""
        self._fenced = frozenset()

    def begin_load(self, table: Table[Any], key: Key, **more: Any) -> PendingLoad:
        """As `RowCache.begin_load`; what is loaded behind the fence is not kept."""
        load = super().begin_load(table, key, **more)
        if load.slot in self._fenced:
            load.is_fresh = False
        return load


class WorkerCache(FencedCache):
    """A worker's: it holds nothing of the tables that it is told nothing of."""

    def __init__(self, config: CacheConfig = DEFAULT, clock: Callable[[], int] = int) -> None:
        super().__init__(config, clock)
        self._loading: set[PendingLoad] = set()
        self._closed = False  # a fence around everything
        self._guard = Lock()

    def hold_all(self) -> None:
        """Forget everything, and keep nothing until `release`."""
        with self._guard:
            for load in self._loading:
                load.is_fresh = False
            self.clear()
            self._closed = True

    def release(self) -> None:
        """As `FencedCache.release`."""
        super().release()
        self._closed = False

    def peek_rows(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """As `RowCache.peek_rows`; for a query's thread, which `hold_all` keeps out."""
        with self._guard:
            return super().peek_rows(table, keys)

    def find_uncached(
        self, table: Table[Any], stamped_keys: Sequence[StampedKey]
    ) -> list[StampedKey]:
        """As `RowCache.find_uncached`; as `peek_rows`."""
        with self._guard:
            return super().find_uncached(table, stamped_keys)

    def begin_load(self, table: Table[Any], key: Key, **more: Any) -> PendingLoad:
        """As `FencedCache.begin_load`."""
        with self._guard:
            load = super().begin_load(table, key, **more)
            self._loading.add(load)
            if self._closed or table.name in UNTOLD:
                load.is_fresh = False
            return load

    def end_load(self, load: PendingLoad, table: Table[Any], row: Any | Missing | None) -> None:
        """As `RowCache.end_load`."""
        with self._guard:
            self._loading.discard(load)
            super().end_load(load, table, row if load.is_fresh else MISSING)


class LeaderCache(FencedCache):
    """The leader's: tells the workers what its store's writer tells it."""

    def __init__(
        self,
        journal: JournalWriter,
        config: CacheConfig = DEFAULT,
        clock: Callable[[], int] = int,
    ) -> None:
        super().__init__(config, clock)
        self._journal = journal
        self._announced = False

    def fence(self, touched: Iterable[ChangedRow]) -> None:
        """Announce what is about to be committed."""
        rows = [row_of(table.name, key) for table, key, _ in touched if table.name not in UNTOLD]
        if rows:
            self._announced = True
            slots = [slot_of(*row) for row in rows]
            self.hold(slots)
            self._journal.fence(slots, filter(is_of_snapshots, rows))

    def apply_commit(self, touched: Iterable[ChangedRow]) -> None:
        """These are committed now; the transaction has ended, even if the cache fails."""
        try:
            super().apply_commit(touched)
        finally:
            self._settle()

    def invalidate(self, touched: Iterable[ChangedRow]) -> None:
        """Nobody knows what these are now."""
        try:
            super().invalidate(touched)
        finally:
            self._settle()

    def clear(self) -> None:
        """Nobody knows what any row is now: the workers hold none of them either."""
        try:
            super().clear()
        finally:
            self._journal.fence_all()
            self._journal.settle()

    def _settle(self) -> None:
        if self._announced:
            self._announced = False
            self.release()
            self._journal.settle()


class FencingMark:
    """A `CommitStamper` that has the cache announce a transaction's changes once they are done."""

    def __init__(self, mark: CommitStamper, cache: LeaderCache) -> None:
        self._mark = mark
        self._cache = cache

    def stamp(self, batch: TransactionBatch) -> None:
        """As the mark below; its own row is announced too."""
        self._mark.stamp(batch)
        self._cache.fence(batch.changed_rows())

    def is_current(self, head: bytes) -> bool:
        """As the mark below."""
        return self._mark.is_current(head)

    def catch_up(self, session: StoreSession) -> list[FedChanges]:
        """As the mark below."""
        return self._mark.catch_up(session)

    def on_durable(self) -> None:
        """As the mark below."""
        self._mark.on_durable()
