"""The cache: rows as they are stored, within a bound of bytes; never a value in the clear.

It is only true while nobody else writes the database (`StoreBackend.exclusive`). Two rules keep it
so:

- the writer puts what it has committed here before it acknowledges, so whoever reads after an
  acknowledgement reads that or something newer;
- a reader announces a load before it opens its view of the database. A commit marks the announced
  loads of its rows as stale, and a stale load is not kept: an old row never replaces a newer one.

Neither leans on which rows make room or when they expire, so every policy is as true as any other.

Secrets and their versions are kept packed, which takes half the memory: each look makes a row of
its own. Rows of other tables are the very ones that were put, which `vault.authn.identity_cache`
tells by their identity.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from threading import Lock
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from vault.store.bounded_cache import MISSING as MISSING
from vault.store.bounded_cache import CacheEntry, EvictionPolicy, ShardedCache, Slot, slot_of
from vault.store.bounded_cache import Missing as Missing
from vault.store.table import Key, Table, packed_has_stamp

R = TypeVar("R", bound=Struct)

ChangedRow: TypeAlias = tuple[Table[Any], Key, Any]
"""A row as it is now; None: it is gone; `MISSING`: only the database knows it."""

StampedKey: TypeAlias = tuple[Key, bytes]
"""The key of a row of a guarded table, and the stamp that the row has (its `mac`)."""

DEFAULT_BYTES: Final = 64 * 2**20
ABSENT_SHARE: Final = 16  # guesses at names may push out other guesses, never a row
_ENTRY_OVERHEAD: Final[Mapping[EvictionPolicy, int]] = {
    EvictionPolicy.LRU: 260,
    EvictionPolicy.LFU: 750,
    EvictionPolicy.TTL: 460,
}
"""Bytes around an entry: two texts, hash slots, what its policy remembers; a test measures it."""
_END_BYTES: Final = 100  # more, where it has an end: a pair and an integer
_FIELD_BYTES: Final = 24  # an object's header for some of the fields: many hold what all rows share

_LOOKUPS_PER_LOCK: Final = 32  # with the lock held: the event loop waits for no more than that


class CacheConfig(Struct, frozen=True, kw_only=True):
    """How much is kept, who makes room, and for how long (ns; 0: until it makes room)."""

    max_bytes: int = DEFAULT_BYTES
    policy: EvictionPolicy = EvictionPolicy.LRU
    ttl: int = 0


DEFAULT: Final = CacheConfig()


class CacheStats(Struct, frozen=True):
    """Counts since the start, what is held now, and by which rule (`ttl` in ns, 0: none).

    A miss is a load from the database that somebody waited for; an eviction is a row that made room
    or was found to have expired.
    """

    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int
    max_bytes: int
    policy: EvictionPolicy = EvictionPolicy.LRU
    ttl: int = 0

    def __add__(self, other: "CacheStats") -> "CacheStats":
        """Of both caches together."""
        return CacheStats(
            self.hits + other.hits,
            self.misses + other.misses,
            self.evictions + other.evictions,
            self.entries + other.entries,
            self.bytes + other.bytes,
            self.max_bytes + other.max_bytes,
            self.policy,
            self.ttl,
        )

    @property
    def lookups(self) -> int:
        """How often somebody asked for a row."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float:
        """Percent; 0 before the first look."""
        return 100.0 * self.hits / max(self.lookups, 1)


class PendingLoad:
    """One read on its way from the database; `is_fresh` until a commit touches its row."""

    __slots__ = ("is_fresh", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.is_fresh = True


class RowCache:
    """Thread-safe. Rows are shared, so a caller must not change one."""

    def __init__(self, config: CacheConfig = DEFAULT, clock: Callable[[], int] = int) -> None:
        """`clock` gives nanoseconds, in any thread; it is asked only where rows expire."""
        self.config = config
        self._lock = Lock()
        self._clock = clock
        self._empty()
        self._loads: set[PendingLoad] = set()
        self._hits = 0
        self._misses = 0
        self.change_token = object()
        """Another one whenever rows were changed, or may have been: as long as it is the same, what
        was found is what would be found. Taken before a look, it says so of what the look finds."""

    def lookup(self, table: Table[R], key: Key) -> R | Missing | None:
        """The row, None when it is known not to exist, or `MISSING`."""
        slot = slot_of(table.name, key)
        with self._lock:
            kept = self._rows.shard_for(slot).get(slot)
            if kept is MISSING:
                kept = self._absent.shard_for(slot).get(slot)
            if kept is not MISSING:
                self._hits += 1
        return _row(table, kept)

    def contains(self, table: Table[Any], key: Key) -> bool:
        """Whether a lookup would find the row; it counts as none."""
        with self._lock:
            slot = slot_of(table.name, key)
            return slot in self._rows.shard_for(slot)

    def peek_rows(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """The rows that a lookup would find, at one moment or another; it counts as none."""
        found = {}
        for key in keys:
            slot = slot_of(table.name, key)
            with self._lock:  # for each: whoever is in the event loop waits for none but one
                kept = self._rows.shard_for(slot).peek(slot)
            row = _row(table, kept)
            if row is not MISSING and row is not None:
                found[key] = row
        return found

    def texts_below(self, table: Table[Any], beginning: str) -> list[str]:
        """The keys, of one text, of the cached rows that begin so, sorted by their bytes.

        At one moment or another; it counts as no lookup. Looks at every row that is cached.
        """
        place = slot_of(table.name, ("",))
        found: list[Slot] = []
        with self._lock:
            shards = list(self._rows.shards)
        for shard in shards:
            with self._lock:
                found += shard.slots_below(place + beginning)
        return sorted(slot[len(place) :] for slot in found)

    def find_uncached(
        self, table: Table[Any], stamped_keys: Sequence[StampedKey]
    ) -> list[StampedKey]:
        """Those of which no row with this stamp is cached; it counts as no lookup."""
        lacking: list[StampedKey] = []
        for first in range(0, len(stamped_keys), _LOOKUPS_PER_LOCK):
            some = stamped_keys[first : first + _LOOKUPS_PER_LOCK]
            slots = [slot_of(table.name, key) for key, _ in some]
            with self._lock:
                found = self._rows.peek(slots)
            pairs = zip(some, found, strict=True)
            lacking += [mark for mark, kept in pairs if not _is_stamped(kept, mark[1])]
        return lacking

    def get_snapshot(
        self, slots: Sequence[tuple[Table[Any], Key]], max_bytes: int
    ) -> list[Any] | None:
        """The rows of different tables as they are at one moment; all `kept_packed`.

        None unless all are there and have no more than `max_bytes` together.
        """
        packed: list[bytes] = []
        with self._lock:  # a commit changes all of its rows within it
            for table, key in slots:
                slot = slot_of(table.name, key)
                kept = self._rows.shard_for(slot).get(slot)
                if not isinstance(kept, bytes) or (max_bytes := max_bytes - len(kept)) < 0:
                    return None
                packed.append(kept)
            self._hits += len(packed)
        return [_row(table, kept) for (table, _), kept in zip(slots, packed, strict=True)]

    def begin_load(
        self, table: Table[Any], key: Key, *, counts_as_miss: bool = True
    ) -> PendingLoad:
        """Announce a load; call it before the view of the database is opened, and `end_load` after.

        Without `counts_as_miss` nobody waits for it: it is no miss.
        """
        load = PendingLoad(slot_of(table.name, key))
        with self._lock:
            self._misses += counts_as_miss
            self._loads.add(load)
        return load

    def end_load(self, load: PendingLoad, table: Table[R], row: R | Missing | None) -> None:
        """Keep what was loaded unless it was overtaken; `MISSING` when the load failed."""
        kept: CacheEntry | Missing = MISSING
        try:
            kept = _make_entry(table, row) if table.is_cached else MISSING
        finally:
            with self._lock:
                self._loads.discard(load)
                if load.is_fresh and kept is not MISSING:
                    self._store_entry(load.slot, kept)

    def apply_commit(self, touched: Iterable[ChangedRow]) -> None:
        """These are committed now. Called by the writer before it acknowledges."""
        rows = [
            (slot_of(table.name, key), _make_entry(table, row))
            for table, key, row in touched
            if table.is_cached
        ]
        with self._lock:
            self.change_token = object()
            self._mark_loads_stale({slot for slot, _ in rows})
            for slot, kept in rows:
                self._store_entry(slot, kept)

    def invalidate(self, touched: Iterable[ChangedRow]) -> None:
        """Nobody knows what these are now: the next reader has to look."""
        self.invalidate_slots({slot_of(table.name, key) for table, key, _ in touched})

    def invalidate_slots(self, slots: AbstractSet[Slot]) -> None:
        """The same, of the rows on these slots."""
        with self._lock:
            self.change_token = object()
            self._mark_loads_stale(slots)
            for slot in slots:
                self._rows.shard_for(slot).remove(slot)
                self._absent.shard_for(slot).remove(slot)

    def clear(self) -> None:
        """Nobody knows what any row is now, nor which of them are there."""
        with self._lock:
            self.change_token = object()
            for load in self._loads:
                load.is_fresh = False
            self._empty()

    @property
    def evicted_rows(self) -> int:
        """How many rows made room or had expired: of evictions all but guesses at names."""
        with self._lock:
            return self._rows.evictions

    def statistics(self) -> CacheStats:
        """A frozen count."""
        with self._lock:
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                evictions=self._rows.evictions + self._absent.evictions,
                entries=len(self._rows) + len(self._absent),
                bytes=self._rows.bytes + self._absent.bytes,
                max_bytes=self.config.max_bytes,
                policy=self.config.policy,
                ttl=self.config.ttl,
            )

    def _empty(self) -> None:
        config = self.config
        absent = config.max_bytes // ABSENT_SHARE
        weigh = partial(_weight, _ENTRY_OVERHEAD[config.policy] + _END_BYTES * bool(config.ttl))
        self._rows, self._absent = (
            ShardedCache(some, config.policy, config.ttl, self._clock, weigh)
            for some in (config.max_bytes - absent, absent)
        )

    def _mark_loads_stale(self, slots: AbstractSet[Slot]) -> None:
        for load in self._loads:  # as many as there are reader threads
            if load.slot in slots:
                load.is_fresh = False

    def _store_entry(self, slot: Slot, kept: CacheEntry | Missing) -> None:
        rows, absent = self._rows.shard_for(slot), self._absent.shard_for(slot)
        part, other = (absent, rows) if kept is None else (rows, absent)
        other.remove(slot)
        if kept is MISSING:
            part.remove(slot)
        else:
            part.put(slot, kept)


def _make_entry(table: Table[R], row: R | Missing | None) -> CacheEntry | Missing:
    """What is kept of a row."""
    if row is None or row is MISSING:
        return row
    packed = table.pack(row)
    if table.kept_packed:
        return bytes(memoryview(packed))  # the encoder's has room for half as much again
    return row, _FIELD_BYTES * len(table.columns) + len(packed)


def _is_stamped(kept: CacheEntry | Missing, stamp: bytes) -> bool:
    """Whether it is a row with this stamp."""
    if type(kept) is bytes:
        return packed_has_stamp(kept, stamp)
    return type(kept) is tuple and kept[0].mac == stamp  # type: ignore[attr-defined]  # not secret: both stored


def _row(table: Table[R], kept: CacheEntry | Missing) -> R | Missing | None:
    """The row of what was kept of one of this table."""
    if type(kept) is bytes:
        return table.unpack(kept)
    return kept[0] if type(kept) is tuple else kept  # type: ignore[return-value]  # of this table


def _weight(around: int, slot: Slot, kept: CacheEntry) -> int:
    weight = around + len(slot) * (1 if slot.isascii() else 4)  # at most
    if kept is None:
        return weight
    return weight + (len(kept) if isinstance(kept, bytes) else kept[1])
