"""Many shelves as one, so that none has many entries.

A dict that grows, or whose oldest entries leave, is built anew as a whole, with the interpreter's
lock held: 56 ms for 600,000 entries, which is how long everybody would stand still. Of one shelf's
entries that is a millisecond or two. Each makes room by itself, so what goes first is exact within
one and nearly so among all.
"""

from collections.abc import Callable, Iterable
from typing import Final

from vault.store.bounded_cache import (
    BoundedCache,
    CacheEntry,
    EntrySize,
    EvictionPolicy,
    Missing,
    Slot,
)

SHARD_BYTES: Final = 16 << 20
"""Some 25,000 entries, and twice the largest row (`vault.store.table.ROW_BYTES`)."""


class ShardedCache:
    """Not thread-safe, as a shelf."""

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
        """The one where this place is."""
        return self._shards[hash(slot) % len(self._shards)]

    def peek(self, slots: Iterable[Slot]) -> list[CacheEntry | Missing]:
        """What lies on each of these places, as `BoundedCache.peek`."""
        shelves, count = self._shards, len(self._shards)
        return [shelves[hash(slot) % count].peek(slot) for slot in slots]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    @property
    def bytes(self) -> int:
        """What all entries weigh."""
        return sum(shelf.bytes for shelf in self._shards)

    @property
    def evictions(self) -> int:
        """How many entries made room or were found to have expired."""
        return sum(shelf.evictions for shelf in self._shards)
