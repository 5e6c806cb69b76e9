"""The cache: rows as they are stored, the most recently used of them, within a bound of bytes.

It is only true while nobody else writes the database (`Backend.exclusive`). Two rules keep it so:

- the writer puts what it has committed here before it acknowledges, so whoever reads after an
  acknowledgement reads that or something newer;
- a reader announces a load before it opens its view of the database. A commit marks the announced
  loads of its rows as stale, and a stale load is not kept: an old row never replaces a newer one.
"""

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from threading import Lock
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from msgspec import Struct

from vault.store.table import Key, Table

R = TypeVar("R", bound=Struct)


class _Missing(Enum):
    MISSING = "missing"


Missing: TypeAlias = Literal[_Missing.MISSING]
MISSING: Final = _Missing.MISSING
"""Not in the cache; None says that the row is known not to exist."""

Touched: TypeAlias = tuple[Table[Any], Key, Any]  # a row as it is now; None: it is gone

DEFAULT_BYTES: Final = 64 * 2**20
ABSENT_SHARE: Final = 16  # guesses at names may push out other guesses, never a row
_ENTRY_BYTES: Final = 500  # key tuple, its text, two hash slots; measured by the cache's test
_FIELD_BYTES: Final = 40  # an object header for each field


class CacheStats(Struct, frozen=True):
    """Counts since the start, and what is held now. A miss is a load from the database."""

    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int
    max_bytes: int


class Load:
    """One read on its way from the database; `fresh` until a commit touches its row."""

    __slots__ = ("fresh", "slot")

    def __init__(self, slot: tuple[str, Key]) -> None:
        self.slot = slot
        self.fresh = True


class Cache:
    """Thread-safe. Rows are shared: nobody changes what he finds."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._lock = Lock()
        self._rows = _Shelf(max_bytes - max_bytes // ABSENT_SHARE)
        self._absent = _Shelf(max_bytes // ABSENT_SHARE)
        self._loads: set[Load] = set()
        self._hits = 0
        self._misses = 0

    def lookup(self, table: Table[R], key: Key) -> R | Missing | None:
        """The row, None when it is known not to exist, or `MISSING`."""
        slot = (table.name, key)
        with self._lock:
            row = self._rows.find(slot)
            if row is MISSING:
                row = self._absent.find(slot)
            if row is not MISSING:
                self._hits += 1
        return cast("R | Missing | None", row)

    def begin(self, table: Table[Any], key: Key) -> Load:
        """Announce a load; call it before the view of the database is opened, and `end` after."""
        load = Load((table.name, key))
        with self._lock:
            self._misses += 1
            self._loads.add(load)
        return load

    def end(self, load: Load, table: Table[R], row: R | Missing | None) -> None:
        """Keep what was loaded unless it was overtaken; `MISSING` when the load failed."""
        size = _size(table, load.slot, row)
        with self._lock:
            self._loads.discard(load)
            if load.fresh and row is not MISSING:
                self._keep(load.slot, row, size)

    def replace(self, touched: Iterable[Touched]) -> None:
        """These are committed now. Called by the writer before it acknowledges."""
        rows = [((t.name, key), row, _size(t, (t.name, key), row)) for t, key, row in touched]
        with self._lock:
            self._overtake({slot for slot, _, _ in rows})
            for slot, row, size in rows:
                self._keep(slot, row, size)

    def forget(self, touched: Iterable[Touched]) -> None:
        """Nobody knows what these are now: the next reader has to look."""
        slots = {(table.name, key) for table, key, _ in touched}
        with self._lock:
            self._overtake(slots)
            for slot in slots:
                self._rows.remove(slot)
                self._absent.remove(slot)

    def statistics(self) -> CacheStats:
        """A frozen count."""
        with self._lock:
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                evictions=self._rows.evictions + self._absent.evictions,
                entries=len(self._rows.entries) + len(self._absent.entries),
                bytes=self._rows.bytes + self._absent.bytes,
                max_bytes=self._rows.max_bytes + self._absent.max_bytes,
            )

    def _overtake(self, slots: set[tuple[str, Key]]) -> None:
        for load in self._loads:  # as many as there are reader threads
            if load.slot in slots:
                load.fresh = False

    def _keep(self, slot: tuple[str, Key], row: Struct | None, size: int) -> None:
        shelf, other = (self._absent, self._rows) if row is None else (self._rows, self._absent)
        other.remove(slot)
        shelf.put(slot, row, size)


class _Shelf:
    """One LRU list within its bound."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.entries: OrderedDict[tuple[str, Key], tuple[Struct | None, int]] = OrderedDict()
        self.bytes = 0
        self.evictions = 0

    def find(self, slot: tuple[str, Key]) -> Struct | Missing | None:
        entry = self.entries.get(slot)
        if entry is None:
            return MISSING
        self.entries.move_to_end(slot)
        return entry[0]

    def remove(self, slot: tuple[str, Key]) -> None:
        entry = self.entries.pop(slot, None)
        if entry is not None:
            self.bytes -= entry[1]

    def put(self, slot: tuple[str, Key], row: Struct | None, size: int) -> None:
        self.remove(slot)
        if size > self.max_bytes:
            return
        self.entries[slot] = (row, size)
        self.bytes += size
        while self.bytes > self.max_bytes:
            _, (_, freed) = self.entries.popitem(last=False)
            self.bytes -= freed
            self.evictions += 1


def _size(table: Table[R], slot: tuple[str, Key], row: R | Missing | None) -> int:
    key = sum(len(part) * 4 if isinstance(part, str) else 32 for part in slot[1])
    if row is None or row is MISSING:
        return _ENTRY_BYTES + key
    return _ENTRY_BYTES + key + _FIELD_BYTES * len(table.columns) + table.size_of(row)
