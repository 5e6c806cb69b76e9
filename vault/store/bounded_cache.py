"""Caches with a bound in bytes and a policy that says which entry is evicted first.

`BoundedCache` is one; `ShardedCache` is many, so that none has many entries. What a policy
remembers of its entries is `cachetools`'. Here is what that does not have: the bound is in bytes of
memory, and an entry may expire under every policy. LRU, the default, is an `OrderedDict`: a read
looks up four rows, and three Python calls for each were 2 % of it.

A million secrets are two million entries, and what is around a row takes as much as the row. So a
slot is one text, and the entry is the row itself: its size is computed again when it goes, and its
end is stored only where entries expire.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, StrEnum
from operator import itemgetter
from typing import Any, Final, Literal, TypeAlias

from cachetools import Cache, FIFOCache, LFUCache
from msgspec import Struct

from vault.store.table import Key

Slot: TypeAlias = str
"""The place of a row. See `slot_of`."""
CacheEntry: TypeAlias = bytes | tuple[Struct, int] | None
"""A row, packed, or itself with what it weighs; None: there is none."""
EntrySize: TypeAlias = Callable[[Slot, Any], int]
"""The bytes of memory that an entry takes; for the same entry always the same."""


def slot_of(table: str, key: Key) -> Slot:
    """The place of a row. No two of a table share one: of a key's parts one at most is a text."""
    if len(key) == 1:
        return f"{table}/{key[0]}"
    return "/".join([table, *map(str, key)])


class _Missing(Enum):
    MISSING = "missing"


Missing: TypeAlias = Literal[_Missing.MISSING]
MISSING: Final = _Missing.MISSING
"""Not cached; None is an entry, too: the row does not exist."""


class EvictionPolicy(StrEnum):
    """Who goes first: the least recently used, the least frequently used, the next to expire."""

    LRU = "lru"
    LFU = "lfu"
    TTL = "ttl"


_KINDS: Final[Mapping[EvictionPolicy, type[Cache[Slot, Any]]]] = {
    EvictionPolicy.LFU: LFUCache,
    EvictionPolicy.TTL: FIFOCache,  # all have the same time, so the first in is the first to expire
}


class _LruEntries(OrderedDict[Slot, Any]):
    """Entries in the order of their use, which whoever looks has to tell by `move_to_end`.

    They come by `put` alone.
    """

    def __init__(self, maxsize: int, weigh: EntrySize) -> None:
        super().__init__()
        self.maxsize = maxsize
        self.currsize = 0
        self._weigh = weigh

    def slots(self) -> Iterable[Slot]:
        return self.keys()

    def put(self, slot: Slot, entry: Any, weight: int) -> None:
        if slot in self:
            del self[slot]
        self.currsize += weight
        self[slot] = entry
        while self.currsize > self.maxsize:
            del self[next(iter(self))]

    def __delitem__(self, slot: Slot) -> None:
        self.currsize -= self._weigh(slot, self[slot])
        super().__delitem__(slot)


class _CachetoolsEntries:
    """Entries by a policy of `cachetools`, which asks a value for its size: so that is with it."""

    def __init__(self, kind: type[Cache[Slot, Any]], maxsize: int) -> None:
        self._cache = kind(maxsize, getsizeof=itemgetter(1))

    @property
    def currsize(self) -> int:
        return int(self._cache.currsize)

    def __len__(self) -> int:
        return len(self._cache)

    def __contains__(self, slot: Slot) -> bool:
        return slot in self._cache

    def __getitem__(self, slot: Slot) -> Any:
        return self._cache[slot][0]

    def slots(self) -> Iterable[Slot]:
        return list(self._cache)

    def put(self, slot: Slot, entry: Any, weight: int) -> None:
        self._cache[slot] = entry, weight

    def __delitem__(self, slot: Slot) -> None:
        del self._cache[slot]

    def peek(self, slot: Slot) -> Any:
        """As an index, but it is no use of the entry."""
        return Cache.__getitem__(self._cache, slot)[0]


def _touch_nothing(_: Slot) -> None:
    """Under other policies a look itself counts."""


class BoundedCache:
    """Not thread-safe: `vault.store.row_cache` has the lock."""

    def __init__(
        self,
        max_bytes: int,
        policy: EvictionPolicy,
        ttl: int,
        clock: Callable[[], int],
        entry_size: EntrySize,
    ) -> None:
        """`ttl` in nanoseconds of `clock`; 0: an entry stays until it makes room."""
        self.max_bytes = max_bytes
        self.evictions = 0
        self._weigh = (lambda slot, entry: entry_size(slot, entry[0])) if ttl else entry_size
        self._entries: _CachetoolsEntries | _LruEntries
        self._touch: Callable[[Slot], None] = _touch_nothing
        self._peek: Callable[[Slot], Any]
        if policy is EvictionPolicy.LRU:
            recent = self._entries = _LruEntries(max_bytes, self._weigh)
            self._touch, self._peek = recent.move_to_end, recent.__getitem__
        else:
            counted = self._entries = _CachetoolsEntries(_KINDS[policy], max_bytes)
            self._peek = counted.peek
        self._ttl = ttl
        self._clock = clock

    def __len__(self) -> int:
        return len(self._entries)

    def slots_below(self, beginning: str) -> list[Slot]:
        """The slots that begin so, in no order; it counts as no look, and entries may be over."""
        return [slot for slot in self._entries.slots() if slot.startswith(beginning)]

    def __contains__(self, slot: Slot) -> bool:
        """Whether an entry is there, expired or not; it is no use of it."""
        return slot in self._entries

    @property
    def bytes(self) -> int:
        """What the entries weigh."""
        return self._entries.currsize

    def get(self, slot: Slot) -> CacheEntry | Missing:
        """What was put there; one that has expired is not there, and is gone."""
        try:
            found = self._entries[slot]
        except KeyError:
            return MISSING
        if self._ttl:
            found, end = found
            if end <= self._clock():
                self.remove(slot)
                self.evictions += 1
                return MISSING
        self._touch(slot)
        return found  # type: ignore[no-any-return]  # what was put

    def peek(self, slot: Slot) -> CacheEntry | Missing:
        """As `get`, but it is no use of it, and what has expired is left where it is."""
        try:
            found = self._peek(slot)
        except KeyError:
            return MISSING
        if self._ttl:
            found, end = found
            return MISSING if end <= self._clock() else found
        return found  # type: ignore[no-any-return]  # the same

    def remove(self, slot: Slot) -> None:
        """Take it away if it is there."""
        if slot in self._entries:
            del self._entries[slot]

    def put(self, slot: Slot, kept: CacheEntry) -> None:
        """Put it in its place; one that is larger than the bound only removes its former self.

        What replaces another of its slot keeps that one's rank, its time begins anew.
        """
        entry = (kept, self._clock() + self._ttl) if self._ttl else kept
        weight = self._weigh(slot, entry)
        if weight > self.max_bytes:
            self.remove(slot)
            return
        entries = self._entries
        expected = len(entries) + (slot not in entries)
        entries.put(slot, entry, weight)
        self.evictions += expected - len(entries)


SHARD_BYTES: Final = 16 << 20
"""Some 25,000 entries, and twice the largest row (`vault.store.table.ROW_BYTES`)."""


class ShardedCache:
    """A `BoundedCache` in shards, each of which evicts by itself. Not thread-safe.

    A dict that grows, or whose oldest entries leave, is built anew as a whole with the
    interpreter's lock held: 56 ms for 600,000 entries, a millisecond or two for those of a shard.
    Which entry is evicted first is exact within a shard and nearly so among all.
    """

    def __init__(
        self,
        max_bytes: int,
        policy: EvictionPolicy,
        ttl: int,
        clock: Callable[[], int],
        entry_size: EntrySize,
    ) -> None:
        """As a `BoundedCache`; `max_bytes` is of all of them."""
        count = max(max_bytes // SHARD_BYTES, 1)
        self._shards = [
            BoundedCache(max_bytes // count, policy, ttl, clock, entry_size) for _ in range(count)
        ]

    def shard_for(self, slot: Slot) -> BoundedCache:
        """The shard of this slot."""
        return self._shards[hash(slot) % len(self._shards)]

    def peek(self, slots: Iterable[Slot]) -> list[CacheEntry | Missing]:
        """The entry of each of these slots, as `BoundedCache.peek`."""
        shards, count = self._shards, len(self._shards)
        return [shards[hash(slot) % count].peek(slot) for slot in slots]

    @property
    def shards(self) -> list[BoundedCache]:
        """All of them."""
        return self._shards

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    @property
    def bytes(self) -> int:
        """What all entries weigh."""
        return sum(shard.bytes for shard in self._shards)

    @property
    def evictions(self) -> int:
        """How many entries made room or were found to have expired."""
        return sum(shard.evictions for shard in self._shards)
