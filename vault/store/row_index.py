"""The row index: which authority rows there are, and with which MAC, held outside of the database.

A row's MAC says that we wrote it once. The totals in the commit stamp say, when the database is
opened, that it is the last that we wrote. Whoever can write the file under the running agent could
still put an old row back for as long as it takes to use it, without a trace in the file. So
whatever is loaded has to match this index. It is made of the very rows that the totals were made
of, and follows each commit. It is in memory, out of reach for whoever has the file alone.

A row that a query leaves out is noticed by sums: for each set of rows that is searched for as a
whole (a table, the rows with one value in a column, the secrets of a folder) there is an entry with
the sum of the hashes of their slots, modulo 2^64. The hash has a key, so nobody can choose rows
that make up for others. The rows that a query finds must have that sum; a set without rows has no
entry.

A row may be loaded in the moment between its commit and the index. It is then looked at again
between two commits (`Committer.read_between_commits`), where nothing is under way.

It is open addressing with linear probing (Knuth, The Art of Computer Programming 3, 6.4), without
tombstones: 16 bytes an entry, two of three slots taken at an opening. A segment that is full gets
another one beside it, so nobody waits for a rebuild. Readers take no lock: one that meets a change
half way sees an entry that does not match, and looks again.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct

from vault.errors import TamperedError, UnavailableError
from vault.store.bounded_cache import slot_of
from vault.store.interface import BackendError
from vault.store.query import can_answer
from vault.store.table import Key, StoreQuery, Table

Segment: TypeAlias = memoryview
"""64-bit words in pairs: the hash of a row's place, 0 where none is, and its stamp's beginning. Or
the hash of what a set of rows has in common, and the sum of the hashes of their places."""

MIN_SEGMENT_ENTRIES: Final = 4096  # entries that a segment has room for
MAX_SEGMENTS: Final = 16  # segments; each has as much room as all before it together
_PLACES: Final = (3, 2)  # for so many rows so many places
_WORDS_PER_STEP: Final = 20_000  # of a builder; some 10 ms
_STAMP: Final = 8  # bytes of a MAC: without the key nobody can choose them
WORD_MASK: Final = (1 << 64) - 1


class RowChange(NamedTuple):
    """A row of a guarded table before and after a transaction; None: it is not there.

    `old_values` and `new_values` are its `Table.secondary` columns.
    """

    key: Key
    old_mac: bytes | None
    new_mac: bytes | None
    old_values: tuple[Any, ...] = ()
    new_values: tuple[Any, ...] = ()


IndexChanges: TypeAlias = Mapping[Table[Any], Sequence[RowChange]]
"""See `vault.store.transaction.TransactionBatch.index_changes`."""


class InDoubtError(UnavailableError):
    """A row differs from the index: a commit is under way, or it was tampered with.

    Only a look between commits tells which.
    """

    def __init__(self) -> None:
        super().__init__("store_busy", "a row was being changed; try again")


class RowIndexBuilder:
    """Collects the rows that an index is made of, in the form of its words, in any order."""

    def __init__(self) -> None:
        self._is_stopped = False
        self.clear()

    def stop(self) -> None:
        """Have whoever adds rows raise `UnavailableError`. In any thread."""
        self._is_stopped = True

    def require_running(self) -> None:
        """Raise `UnavailableError` once it is stopped."""
        if self._is_stopped:
            raise UnavailableError("store_unavailable", "the database is being closed")

    def add(self, table: Table[Any], key: Key, mac: bytes) -> None:
        """One row. Raises as `require_running`."""
        if self._is_stopped:
            self.require_running()
        place = _hash(table, key)
        self.words.append(place)
        self.words.append(_stamp(mac))
        for row_set in _sets_of_key(table, key):
            self.sums[row_set] = self.sums.get(row_set, 0) + place

    def add_values(self, table: Table[Any], key: Key, values: Sequence[Any]) -> None:
        """The `Table.secondary` columns of a row that was, or will be, added. Raises as `add`."""
        if self._is_stopped:
            self.require_running()
        place = _hash(table, key)
        for row_set in _sets_of_values(table, values):
            self.members.append(row_set)
            self.members.append(place)

    def clear(self) -> None:
        """Give the memory back: the index is made."""
        self.words = array("Q")
        self.sums: dict[int, int] = {}  # of tables and folders, which are few
        self.members = array("Q")  # pairs: a set that a row is in, and the row's place


class ExpectedSet:
    """The rows that an answer has to have: those of a moment from when this was made until now."""

    def __init__(
        self, index: "RowIndex", table: Table[Any], query: StoreQuery | None, row_set: int
    ) -> None:
        self._index = index
        self._table = table
        self._query = query
        self._set = row_set
        self._sums = {index.sum_of(row_set)}

    def observe(self) -> None:
        """The view that answers is open now: the sum of this moment is right, too."""
        self._sums.add(self._index.sum_of(self._set))

    def is_met_by(self, keys: Sequence[Key]) -> bool:
        """Whether the rows with these keys are all, or the answer was cut off at its limit."""
        if self._query is not None and not _is_whole(self._table, self._query, len(keys)):
            return True
        return self.is_met_by_sum(sum_places(self._table, keys))

    def is_met_by_sum(self, total: int) -> bool:
        """Whether rows with this sum of places are all."""
        self.observe()
        return total in self._sums


class RowIndex:
    """The index. Only the thread that commits changes it; any thread may read it."""

    def __init__(self, rows: RowIndexBuilder) -> None:
        self._segments: list[Segment] = []
        self._taken: list[int] = []
        self._in_doubt: list[IndexChanges] = []  # of commits that may be stored or not
        self.finding: TamperedError | None = None
        """A row that was not ours, once one was met; it stays."""
        self.is_torn = False
        """Whether taking over a commit broke off: nothing may be compared with it any more."""
        words, members = rows.words, rows.members
        self._grow((len(words) + len(members)) // 2 + len(rows.sums))
        for first in range(0, len(words), _WORDS_PER_STEP):
            for at in range(first, min(first + _WORDS_PER_STEP, len(words)), 2):
                self._put(words[at], words[at + 1])
            rows.require_running()
        for row_set, places in rows.sums.items():
            self._add_to_sum(row_set, places)
        for first in range(0, len(members), _WORDS_PER_STEP):
            for at in range(first, min(first + _WORDS_PER_STEP, len(members)), 2):
                self._add_to_sum(members[at], members[at + 1])
            rows.require_running()

    def replace(self, other: "RowIndex") -> None:
        """Be as the other one, which nobody else has. In the thread that commits."""
        self._segments, self._taken = other._segments, other._taken  # noqa: SLF001  # one of its class
        self._in_doubt, self.is_torn = [], False

    def matches(self, table: Table[Any], key: Key, mac: bytes | None) -> bool:
        """Whether the row has this stamp now, or is not there (None)."""
        return self._stamp_of(_hash(table, key)) == (0 if mac is None else _stamp(mac))

    def has_row(self, table: Table[Any], key: Key) -> bool:
        """Whether the row exists, as of the last commit that is known here."""
        return bool(self._stamp_of(_hash(table, key)))

    def expected_set(
        self, table: Table[Any], query: StoreQuery | None = None
    ) -> "ExpectedSet | None":
        """What the answer to a query, or all rows of the table, have to be. None: not known.

        Call it before the view of the database is opened that answers.
        """
        row_set = _table_set(table) if query is None else _set_of_query(table, query)
        return None if row_set is None else ExpectedSet(self, table, query, row_set)

    def sum_of(self, row_set: int) -> int:
        """The sum of the places of a set's rows now; 0: it has none."""
        return self._stamp_of(row_set)

    def _stamp_of(self, place: int) -> int:
        for words in self._segments:
            at = _find(words, place)
            if words[at] == place:
                return words[at + 1]
        return 0

    def verify_row(self, table: Table[Any], key: Key, mac: bytes | None) -> None:
        """Raise and record `TamperedError` unless it `matches`; in the thread that commits."""
        place, stamp = _hash(table, key), 0 if mac is None else _stamp(mac)
        if self._stamp_of(place) != stamp:
            raise self.record_finding(tampered_error(table))

    def verify_answer(
        self, table: Table[Any], query: StoreQuery, keys: Sequence[Key], rows: Sequence[Struct]
    ) -> None:
        """That these rows are the whole answer to the query. Raises as `verify_row`."""
        expected = self.expected_set(table, query)
        is_whole = expected is None or expected.is_met_by(keys)
        if not is_whole or not can_answer(table, query, keys, rows):
            raise self.record_finding(tampered_error(table))

    def verify_sum(self, table: Table[Any], total: int) -> None:
        """That all rows of a table have this sum of places. Raises as `verify_row`."""
        if self.sum_of(_table_set(table)) != total:
            raise self.record_finding(tampered_error(table))

    def record_finding(self, found: TamperedError) -> TamperedError:
        """Keep the first finding for `finding`; returns this one."""
        self.finding = self.finding or found
        return found

    @contextmanager
    def record_tampering(self, table: Table[Any]) -> Iterator[None]:
        """Record a row that fails its guard in the block, but for tables that are `kept_packed`.

        It may be a credential that is to end, or a denial, and what led to it an index that was
        patched. One damaged secret is no reason to serve nobody.
        """
        try:
            yield
        except TamperedError as error:
            if not table.kept_packed:
                self.record_finding(error)
            raise

    def apply(self, changes: IndexChanges) -> None:
        """These are committed. What it raises leaves the index torn: it is to be made anew.

        Raises `BackendError` (`store_full`): the transaction that needs the index stores nothing.
        """
        was_torn, self.is_torn = self.is_torn, True
        for table, rows in changes.items():
            for change in rows:
                self._apply(table, change)
        self.is_torn = was_torn

    def mark_in_doubt(self, changes: IndexChanges) -> None:
        """These may be committed or not: `resolve_in_doubt` finds out."""
        if changes:
            self._in_doubt.append(changes)

    def resolve_in_doubt(
        self, get_macs: Callable[[Table[Any], list[Key]], Mapping[Key, bytes]]
    ) -> None:
        """Take over what is stored of the commits in doubt; `get_macs` is a session's.

        Raises as `apply`.
        """
        while self._in_doubt:
            stored = [
                (table, change)
                for table, rows in self._in_doubt[0].items()
                for there in [get_macs(table, [change.key for change in rows])]
                for change in rows
                if there.get(change.key) == change.new_mac  # not secret: both stored
            ]
            self._in_doubt.pop(0)
            for table, change in stored:
                self.apply({table: [change]})

    def _apply(self, table: Table[Any], change: RowChange) -> None:
        place, old, new = _hash(table, change.key), change.old_mac, change.new_mac
        self._set(place, 0 if new is None else _stamp(new))
        left = set() if old is None else {*_sets_of_values(table, change.old_values)}
        joined = set() if new is None else {*_sets_of_values(table, change.new_values)}
        if (old is None) is not (new is None):
            (left if new is None else joined).update(_sets_of_key(table, change.key))
        for row_set in left - joined:
            self._add_to_sum(row_set, -place)
        for row_set in joined - left:
            self._add_to_sum(row_set, place)

    def _add_to_sum(self, row_set: int, places: int) -> None:
        total = self.sum_of(row_set) + places
        self._set(row_set, total & WORD_MASK)

    def _set(self, place: int, stamp: int) -> None:
        for number, words in enumerate(self._segments):
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
        for number, words in enumerate(self._segments):
            if self._taken[number] < _room(words):
                at = _find(words, place)
                words[at + 1] = stamp
                words[at] = place  # last: a reader that finds it finds the stamp
                self._taken[number] += 1
                return
        self._grow(sum(self._taken))
        self._put(place, stamp)

    def _grow(self, rows: int) -> None:
        most, least = _PLACES
        if len(self._taken) == MAX_SEGMENTS:
            raise BackendError("store_full", "the index of rows is full; restart the agent")
        words = 2 * (max(rows, MIN_SEGMENT_ENTRIES) * most // least)
        self._segments.append(memoryview(bytearray(words * 8)).cast("Q"))
        self._taken.append(0)


def tampered_error(table: Table[Any]) -> TamperedError:
    """The error for rows that are not ours, or not those that were asked for."""
    return TamperedError(
        "row_tampered",
        f"a row of table {table.name} was added, removed or put back behind the agent's back; "
        "find out who can write the database",
        table=table.name,
    )


def sum_places(table: Table[Any], keys: Iterable[Key]) -> int:
    """The sum that a set of rows with these keys has."""
    return sum(_hash(table, key) for key in keys) & WORD_MASK


def _set_of_query(table: Table[Any], query: StoreQuery) -> int | None:
    """The set of rows that is the whole answer to a query, where sums of such sets are kept."""
    if not table.is_guarded or query.after is not None or query.at_most is not None:
        return None
    match list(query.equals.items()), query.prefix:
        case [], None:
            return _table_set(table)
        case [(column, value)], None if column in table.secondary:
            return _value_set(table, column, value)
        case [], (column, text) if table.has_folders and column == table.key[0]:
            return _folder_set(table, text) if text.endswith("/") else None
    return None


def _is_whole(table: Table[Any], query: StoreQuery, found: int) -> bool:
    """Whether an answer of so many rows to a query with a set has all that there are."""
    return found < query.limit or any(column in table.unique for column in query.equals)


def _sets_of_key(table: Table[Any], key: Key) -> Iterator[int]:
    """The sets that a row is in for as long as it is there."""
    yield _table_set(table)
    name = key[0]
    if table.has_folders and isinstance(name, str):
        end = name.find("/") + 1
        while end:
            yield _folder_set(table, name[:end])
            end = name.find("/", end) + 1


def _sets_of_values(table: Table[Any], values: Sequence[Any]) -> Iterator[int]:
    """The sets that a row is in by its secondary columns."""
    for column, value in zip(table.secondary, values, strict=True):
        yield _value_set(table, column, value)


def _table_set(table: Table[Any]) -> int:
    return _hash_text(table.name)


def _value_set(table: Table[Any], column: str, value: object) -> int:
    return _hash_text(f"{table.name}.{column}/{value}")


def _folder_set(table: Table[Any], folder: str) -> int:
    return _hash_text(f"{table.name}./{folder}")


def _hash(table: Table[Any], key: Key) -> int:
    """SipHash with this process's own key."""
    return _hash_text(slot_of(table.name, key))


def _hash_text(text: str) -> int:
    return hash(text) & WORD_MASK or 1


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
