"""The index of rows: which authority rows there are, and with which stamp, outside of the database.

A row's MAC says that we wrote it once, and the totals in the mark say at an opening that it is the
last that we wrote. Somebody who writes the file under the running agent can put an old row back for
as long as it takes to use it, by means that leave no trace in the file. So whatever is loaded has
to be what this index says; it is made of the very rows that the totals were, and follows each
commit. It is in memory, where whoever has the file alone cannot write.

A row may be loaded in the moment between its commit and the index: then it is looked at again in
the turn of whoever commits, in which nothing else is committed. Who only reads leaves that to him.

It is open addressing with linear probing (Knuth, The Art of Computer Programming 3, 6.4), without
tombstones: 16 bytes an entry, and two of three places are taken at an opening. A segment that is
full gets another one beside it, so nobody waits for a rebuild. Readers take no lock: one that meets
a change half way sees an entry that does not fit, and that is looked at again.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from vault.errors import TamperedError, UnavailableError
from vault.store.bounded_cache import slot_of
from vault.store.row_cache import StampedKey
from vault.store.table import Key, Table

Exchanged: TypeAlias = Mapping[Table[Any], tuple[Sequence[StampedKey], Sequence[StampedKey]]]
"""See `vault.store.transaction.Batch.exchanged`."""
Segment: TypeAlias = memoryview
"""64-bit words in pairs: the hash of a row's place, 0 where none is, and its stamp's beginning."""

SMALLEST: Final = 4096  # entries that a segment has room for
MOST: Final = 16  # segments; each has as much room as all before it together
_PLACES: Final = (3, 2)  # for so many rows so many places
_STAMP: Final = 8  # bytes of a MAC: who has no key cannot choose them
_MASK: Final = (1 << 64) - 1


class InDoubtError(UnavailableError):
    """A row is not what the index says; whoever commits has to look."""

    def __init__(self) -> None:
        super().__init__("store_busy", "a row was being changed; try again")


class Memory(Protocol):
    """Where the segments lie."""

    @property
    def segments(self) -> Sequence[Segment]:
        """Those that there are, in the order in which they came."""
        ...

    def grow(self, words: int) -> None:
        """One more, all zero."""
        ...

    def clear(self) -> None:
        """None any more."""
        ...


class OwnMemory:
    """Of this process alone."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def grow(self, words: int) -> None:
        """One more, all zero."""
        self.segments.append(memoryview(bytearray(words * 8)).cast("Q"))

    def clear(self) -> None:
        """None any more."""
        self.segments.clear()


class Collected:
    """What an index is made of, in the form of its words, and in no order."""

    def __init__(self) -> None:
        self.words = array("Q")

    def add(self, table: Table[Any], key: Key, mac: bytes) -> None:
        """One row."""
        self.words.append(_hash(table, key))
        self.words.append(_stamp(mac))

    def clear(self) -> None:
        """Give the memory back: the index is made."""
        self.words = array("Q")


class RowReader:
    """The index as a process reads it that does not commit."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def agrees(self, table: Table[Any], key: Key, mac: bytes | None) -> bool:
        """Whether the row has this stamp now, or is not there (None)."""
        return self._stamp_of(_hash(table, key)) == (0 if mac is None else _stamp(mac))

    def _stamp_of(self, place: int) -> int:
        for words in self._memory.segments:
            at = _find(words, place)
            if words[at] == place:
                return words[at + 1]
        return 0


class RowIndex(RowReader):
    """The index of whoever commits. It is changed in his turn alone."""

    def __init__(self, memory: Memory, rows: Collected) -> None:
        super().__init__(memory)
        self._taken: list[int] = []
        self._in_doubt: dict[int, frozenset[int]] = {}  # after a commit that may be stored or not
        self.finding: TamperedError | None = None
        """A row that was not ours, once one was met; it stays."""
        memory.clear()
        words = rows.words
        self._grow(len(words) // 2)
        for at in range(0, len(words), 2):
            self._put(words[at], words[at + 1])

    def require(self, table: Table[Any], key: Key, mac: bytes | None) -> None:
        """As `agrees`, in the turn of whoever commits. Raises `TamperedError`, and remembers it."""
        place, stamp = _hash(table, key), 0 if mac is None else _stamp(mac)
        if self._stamp_of(place) == stamp:
            return
        if stamp in self._in_doubt.get(place, ()):
            self._set(place, stamp)
            return
        found = TamperedError(
            "row_tampered",
            f"a row of table {table.name} was added, removed or put back behind the agent's back; "
            "find out who can write the database",
            table=table.name,
        )
        self.finding = self.finding or found
        raise found

    def exchange(self, rows: Exchanged) -> None:
        """These are committed."""
        for place, _, stamp in _changes(rows):
            self._set(place, stamp)

    def doubt(self, rows: Exchanged) -> None:
        """These may be committed or not: the first who looks tells."""
        for place, old, new in _changes(rows):
            self._in_doubt[place] = self._in_doubt.get(place, frozenset()) | {old, new}

    def _set(self, place: int, stamp: int) -> None:
        self._in_doubt.pop(place, None)
        for number, words in enumerate(self._memory.segments):
            at = _find(words, place)
            if words[at] == place:
                if stamp:
                    words[at + 1] = stamp
                else:
                    _remove(words, at)
                    self._taken[number] -= 1
                return
        if stamp:
            self._put(place, stamp)

    def _put(self, place: int, stamp: int) -> None:
        """A place that is in no segment."""
        for number, words in enumerate(self._memory.segments):
            if self._taken[number] < _room(words):
                at = _find(words, place)
                words[at + 1] = stamp
                words[at] = place  # last: who finds it finds the stamp
                self._taken[number] += 1
                return
        self._grow(sum(self._taken))
        self._put(place, stamp)

    def _grow(self, rows: int) -> None:
        most, least = _PLACES
        if len(self._taken) == MOST:
            raise UnavailableError("store_full", "the index of rows is full; restart the agent")
        self._memory.grow(2 * (max(rows, SMALLEST) * most // least))
        self._taken.append(0)


def _changes(rows: Exchanged) -> Iterable[tuple[int, int, int]]:
    """Of each place that changes, the stamp before and after; 0: no row."""
    for table, (gone, come) in rows.items():
        before, after = dict(gone), dict(come)
        for key in {**before, **after}:
            old, new = (_stamp(side[key]) if key in side else 0 for side in (before, after))
            yield _hash(table, key), old, new


def _hash(table: Table[Any], key: Key) -> int:
    """SipHash with this agent's own key, which the processes that it forks have, too."""
    return hash(slot_of(table.name, key)) & _MASK or 1


def _stamp(mac: bytes) -> int:
    return int.from_bytes(mac[:_STAMP]) or 1


def _room(words: Segment) -> int:
    most, least = _PLACES
    return len(words) // 2 * least // most


def _find(words: Segment, place: int) -> int:
    """Where the place is, or the empty one where it would be; one of three is empty."""
    at, end = place % (len(words) // 2) * 2, len(words)
    while (there := words[at]) and there != place:
        at = at + 2 if at + 2 < end else 0
    return at


def _remove(words: Segment, gap: int) -> None:
    """Empty a place, and have those behind it move up that would not be found else."""
    places, gap = len(words) // 2, gap // 2
    at = gap
    while there := words[2 * (at := (at + 1) % places)]:
        if (at - there % places) % places >= (at - gap) % places:
            words[2 * gap + 1], words[2 * gap] = words[2 * at + 1], there
            gap = at
    words[2 * gap] = 0
