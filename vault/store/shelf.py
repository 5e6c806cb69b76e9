"""A shelf: rows within a bound of bytes. Which of them makes room first is its policy's choice.

What a policy remembers of its entries is `cachetools`'; here is what that does not have: the bound
is in bytes of memory, and under every policy an entry may have an end. But for the least recently
used, the default: a read looks four times, and three Python calls a look were 2 % of it.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from functools import partial
from operator import itemgetter
from typing import Any, Final, Literal, TypeAlias

from cachetools import Cache, FIFOCache, LFUCache
from msgspec import Struct

from vault.store.table import Key

Slot: TypeAlias = tuple[str, Key]  # a table's name, and a key in it
_Entry: TypeAlias = tuple[Struct | None, int, int]  # a row, its bytes, its end (0: none)


class _Missing(Enum):
    MISSING = "missing"


Missing: TypeAlias = Literal[_Missing.MISSING]
MISSING: Final = _Missing.MISSING
"""Not on the shelf; None is what it may hold, too."""


class Policy(StrEnum):
    """Who goes first: the least recently used, the least frequently used, the next to expire."""

    LRU = "lru"
    LFU = "lfu"
    TTL = "ttl"


_KINDS: Final[Mapping[Policy, type[Cache[Slot, Any]]]] = {
    Policy.LFU: LFUCache,
    Policy.TTL: FIFOCache,  # all have the same time, so the first in is the first to expire
}


class _Recent(OrderedDict[Slot, _Entry]):
    """Entries in the order of their use, which whoever looks has to tell by `move_to_end`."""

    def __init__(self, maxsize: int) -> None:
        super().__init__()
        self.maxsize = maxsize
        self.currsize = 0

    def __setitem__(self, slot: Slot, entry: _Entry) -> None:
        if slot in self:
            del self[slot]
        self.currsize += entry[1]
        super().__setitem__(slot, entry)
        while self.currsize > self.maxsize:
            del self[next(iter(self))]

    def __delitem__(self, slot: Slot) -> None:
        self.currsize -= self[slot][1]
        super().__delitem__(slot)


def _stays(_: Slot) -> None:
    """Under other policies a look itself counts."""


class Shelf:
    """Not thread-safe: `vault.store.cache` has the lock."""

    def __init__(self, max_bytes: int, policy: Policy, ttl: int, clock: Callable[[], int]) -> None:
        """`ttl` in nanoseconds of `clock`; 0: an entry stays until it makes room."""
        self.max_bytes = max_bytes
        self.evictions = 0
        self._entries: Cache[Slot, _Entry] | _Recent
        self._used: Callable[[Slot], None] = _stays
        self._look: Callable[[Slot], _Entry]
        if policy is Policy.LRU:
            recent = self._entries = _Recent(max_bytes)
            self._used = recent.move_to_end
            self._look = recent.__getitem__
        else:
            counted = self._entries = _KINDS[policy](max_bytes, getsizeof=itemgetter(1))
            self._look = partial(Cache.__getitem__, counted)  # its own counts each
        self._ttl = ttl
        self._clock = clock

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, slot: Slot) -> bool:
        """Whether an entry is there, expired or not; it is no use of it."""
        return slot in self._entries

    @property
    def bytes(self) -> int:
        """What the entries take, by the sizes that they came with."""
        return int(self._entries.currsize)

    def find(self, slot: Slot) -> Struct | Missing | None:
        """The row; one that has expired is not there, and is gone."""
        try:
            row, _, end = self._entries[slot]
        except KeyError:
            return MISSING
        if end and end <= self._clock():
            self.remove(slot)
            self.evictions += 1
            return MISSING
        self._used(slot)
        return row

    def peek(self, slot: Slot) -> Struct | Missing | None:
        """As `find`, but it is no use of it, and what has expired is left where it is."""
        try:
            row, _, end = self._look(slot)
        except KeyError:
            return MISSING
        return MISSING if end and end <= self._clock() else row

    def remove(self, slot: Slot) -> None:
        """Take it away if it is there."""
        if slot in self._entries:
            del self._entries[slot]

    def put(self, slot: Slot, row: Struct | None, size: int) -> None:
        """Put it in its place; one that is larger than the shelf only takes its former self away.

        A row that replaces another of its slot keeps that one's rank, its time begins anew.
        """
        if size > self.max_bytes:
            self.remove(slot)
            return
        entries = self._entries
        expected = len(entries) + (slot not in entries)
        entries[slot] = row, size, self._clock() + self._ttl if self._ttl else 0
        self.evictions += expected - len(entries)
