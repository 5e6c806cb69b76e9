"""The cache: rows as they are stored, within a bound of bytes; never a value in the clear.

It is only true while nobody else writes the database (`Backend.exclusive`). Two rules keep it so:

- the writer puts what it has committed here before it acknowledges, so whoever reads after an
  acknowledgement reads that or something newer;
- a reader announces a load before it opens its view of the database. A commit marks the announced
  loads of its rows as stale, and a stale load is not kept: an old row never replaces a newer one.

Neither leans on which rows make room or when they expire, so every policy is as true as any other.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from threading import Lock
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from vault.store.shelf import MISSING as MISSING
from vault.store.shelf import Missing as Missing
from vault.store.shelf import Policy, Shelf, Slot
from vault.store.table import Key, Table

R = TypeVar("R", bound=Struct)

Touched: TypeAlias = tuple[Table[Any], Key, Any]
"""A row as it is now; None: it is gone; `MISSING`: only the database knows it."""

DEFAULT_BYTES: Final = 64 * 2**20
ABSENT_SHARE: Final = 16  # guesses at names may push out other guesses, never a row
_ENTRY_BYTES: Final = 500  # key tuple, its text, three hash slots; measured by the cache's test
_FIELD_BYTES: Final = 24  # an object's header for some of the fields: many hold what all rows share


class CacheConfig(Struct, frozen=True, kw_only=True):
    """How much is kept, who makes room, and for how long (ns; 0: until it makes room)."""

    max_bytes: int = DEFAULT_BYTES
    policy: Policy = Policy.LRU
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
    policy: Policy = Policy.LRU
    ttl: int = 0

    @property
    def hit_rate(self) -> float:
        """Percent; 0 before the first look."""
        return 100.0 * self.hits / max(self.hits + self.misses, 1)


class Load:
    """One read on its way from the database; `fresh` until a commit touches its row."""

    __slots__ = ("fresh", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.fresh = True


class Cache:
    """Thread-safe. Rows are shared: nobody changes what he finds."""

    def __init__(self, config: CacheConfig = DEFAULT, clock: Callable[[], int] = int) -> None:
        """`clock` gives nanoseconds, in any thread; it is asked only where rows expire."""
        self.config = config
        absent = config.max_bytes // ABSENT_SHARE
        self._lock = Lock()
        self._rows = Shelf(config.max_bytes - absent, config.policy, config.ttl, clock)
        self._absent = Shelf(absent, config.policy, config.ttl, clock)
        self._loads: set[Load] = set()
        self._hits = 0
        self._misses = 0
        self.epoch = object()
        """Another one whenever rows were changed, or may have been: as long as it is the same, what
        was found is what would be found. Taken before a look, it says so of what the look finds."""

    def lookup(self, table: Table[R], key: Key) -> R | Missing | None:
        """The row, None when it is known not to exist, or `MISSING`."""
        slot = (table.name, key)
        with self._lock:
            row = self._rows.find(slot)
            if row is MISSING:
                row = self._absent.find(slot)
            if row is not MISSING:
                self._hits += 1
        return row  # type: ignore[return-value]  # what is on this slot is of this table

    def holds(self, table: Table[Any], key: Key) -> bool:
        """Whether a look would find the row; it counts as none."""
        with self._lock:
            return (table.name, key) in self._rows

    def known(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """The rows that a look would find, at one moment or another; it counts as no look."""
        name, found = table.name, {}
        for key in keys:
            with self._lock:  # for each: whoever is in the event loop waits for none but one
                row = self._rows.peek((name, key))
            if row is not MISSING:
                found[key] = row
        return found  # type: ignore[return-value]  # what is on these slots is of this table

    def begin(self, table: Table[Any], key: Key, *, wanted: bool = True) -> Load:
        """Announce a load; call it before the view of the database is opened, and `end` after.

        One that nobody waits for is not `wanted`: it is no miss.
        """
        load = Load((table.name, key))
        with self._lock:
            self._misses += wanted
            self._loads.add(load)
        return load

    def end(self, load: Load, table: Table[R], row: R | Missing | None) -> None:
        """Keep what was loaded unless it was overtaken; `MISSING` when the load failed."""
        size = _size(table, load.slot, row)
        with self._lock:
            self._loads.discard(load)
            if load.fresh and row is not MISSING and table.cached:
                self._keep(load.slot, row, size)

    def replace(self, touched: Iterable[Touched]) -> None:
        """These are committed now. Called by the writer before it acknowledges."""
        rows = [
            ((table.name, key), row, _size(table, (table.name, key), row))
            for table, key, row in touched
            if table.cached
        ]
        with self._lock:
            self.epoch = object()
            self._overtake({slot for slot, _, _ in rows})
            for slot, row, size in rows:
                self._keep(slot, row, size)

    def forget(self, touched: Iterable[Touched]) -> None:
        """Nobody knows what these are now: the next reader has to look."""
        self.drop({(table.name, key) for table, key, _ in touched})

    def drop(self, slots: AbstractSet[Slot]) -> None:
        """The same, of the rows on these slots."""
        with self._lock:
            self.epoch = object()
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
                entries=len(self._rows) + len(self._absent),
                bytes=self._rows.bytes + self._absent.bytes,
                max_bytes=self.config.max_bytes,
                policy=self.config.policy,
                ttl=self.config.ttl,
            )

    def _overtake(self, slots: AbstractSet[Slot]) -> None:
        for load in self._loads:  # as many as there are reader threads
            if load.slot in slots:
                load.fresh = False

    def _keep(self, slot: Slot, row: Struct | Missing | None, size: int) -> None:
        shelf, other = (self._absent, self._rows) if row is None else (self._rows, self._absent)
        other.remove(slot)
        if row is MISSING:
            shelf.remove(slot)
        else:
            shelf.put(slot, row, size)


def _size(table: Table[R], slot: Slot, row: R | Missing | None) -> int:
    key = 0
    for part in slot[1]:
        key += _bytes_of(part) if isinstance(part, str) else 32
    if row is None or row is MISSING:
        return _ENTRY_BYTES + key
    return _ENTRY_BYTES + key + _FIELD_BYTES * len(table.columns) + table.size_of(row)


def _bytes_of(text: str) -> int:
    """At most; the header is counted with the entry."""
    return len(text) if text.isascii() else len(text) * 4
