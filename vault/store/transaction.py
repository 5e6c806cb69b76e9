"""A transaction as its changes see it: their own writes over their neighbours' over the database.

A `TransactionBatch` is one database transaction. Each change gets a `StoreTx` of its own on top of
it; when the change raises, its `StoreTx` is thrown away and nothing of it was ever in the batch.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from vault.store.interface import ConstraintError, StoreBackend, StoreSession, WriteSet
from vault.store.node_levels import lowest_live_level, nodes_outdated_error
from vault.store.query import apply_query, can_answer, check_query
from vault.store.row_cache import MISSING, ChangedRow, RowCache, StampedKey
from vault.store.row_guard import SEALED_ROW_GUARD, RowGuard, check_row, stamp_row
from vault.store.row_index import IndexChanges, RowChange, RowIndex, tampered_error
from vault.store.table import MAX_LIMIT, Key, StoreQuery, Table, plain_key
from vault.store.tables import NODES

R = TypeVar("R", bound=Struct)
T = TypeVar("T")

_Overlay: TypeAlias = dict[Table[Any], dict[Key, Any]]  # None: the row is deleted, or not there


class StoreTx:
    """What a change may do. It must be a function of this and its arguments: it may run again."""

    def __init__(self, batch: "TransactionBatch") -> None:
        self._batch = batch
        self.written: _Overlay = {}
        self.added: dict[Table[Any], set[Key]] = {}
        self.counted: dict[Table[Any], list[Any]] = {}

    def database_time(self) -> int | None:
        """As `StoreSession.database_time`."""
        return self._batch.database_time()

    def get(self, table: Table[R], *key: str | int) -> R | None:
        """The row as this change left it. Raises `TamperedError` for a row that fails its guard."""
        own: dict[Key, R | None] | None = self.written.get(table)
        if own is not None and key in own:
            return own[key]
        return self._batch.get(table, key)

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        """Those of the rows that exist, in one round trip for all that are not at hand."""
        wanted = list(keys)
        self._batch.fetch(table, [k for k in wanted if k not in self.written.get(table, {})])
        found = ((key, self.get(table, *key)) for key in wanted)
        return {key: row for key, row in found if row is not None}

    def put(self, table: Table[R], row: R) -> None:
        """Insert or replace. Raises `ValidationError` for a row that a database could not hold.

        Raises `ConflictError` (`nodes_outdated`) for one that a node which may be running could
        not read.
        """
        if level := table.level_of(row):
            self.require_level(level)
        row = self._batch.stamp(table, table.normalize_row(row))
        self.written.setdefault(table, {})[table.key_of(row)] = row

    def lowest_level(self) -> int:
        """The lowest schema level of the nodes that may be running."""
        return lowest_live_level(self.select(NODES, StoreQuery()))

    def require_level(self, level: int) -> None:
        """Raise `ConflictError` (`nodes_outdated`) unless each node that may run knows the level.

        For what an older node would not heed. Rows that it could not read are refused as they are.
        """
        if level and self.lowest_level() < level:
            raise nodes_outdated_error(self.select(NODES, StoreQuery()), level)

    def insert_new(self, table: Table[R], rows: Iterable[R]) -> None:
        """Insert rows whose keys are new by how they are made, as the next number of a sequence is.

        So it is not checked whether they are there; one that is makes the commit raise
        `ConstraintError`. Raises `ValidationError` as `put`.
        """
        stamp, admit, key_of = self._batch.stamp, table.normalize_row, table.key_of
        new = {key_of(row): stamp(table, admit(row)) for row in rows}
        self.written.setdefault(table, {}).update(new)
        self.added.setdefault(table, set()).update(new)

    def add_counts(self, table: Table[R], rows: Iterable[R]) -> None:
        """Add to the numbers of rows (`Table.sums`, `Table.latest`); one that is not there comes.

        Counted is what is about something that the transaction leaves there
        (`Table.counted_subject`). Nothing is read for it, and no read of this transaction sees it.
        What this change puts or deletes itself comes first. Raises `ValidationError` as `put`.
        """
        if not table.counted_subject:
            raise ValueError(f"{table}: there is nothing to count")
        self.counted.setdefault(table, []).extend(map(table.normalize_row, rows))

    def delete(self, table: Table[Any], *key: str | int) -> None:
        """Remove the row if it is there."""
        self.written.setdefault(table, {})[plain_key(key)] = None

    def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        """The rows of the query, own writes among them. Raises as `get`."""
        check_query(table, query)
        overlay = self._batch.overlay(table) | self.written.get(table, {})
        below = self._batch.select(table, query, overlay)
        return apply_query(
            table, query, [*below, *(row for row in overlay.values() if row is not None)]
        )

    def count_rows(self, table: Table[Any], limit: int) -> int:
        """How many rows the table has, own writes among them; `limit` for that many, or more."""
        changed = self._batch.overlay(table) | self.written.get(table, {})
        count, after = sum(row is not None for row in changed.values()), None
        while count < limit:
            page = self._batch.select_keys(table, StoreQuery(after=after))
            count += sum(key not in changed for key in page)
            if len(page) < MAX_LIMIT:
                break
            after = page[-1]
        return min(count, limit)


class TransactionBatch:
    """The changes of one transaction, over a session and, where it is true, the cache."""

    def __init__(
        self,
        session: StoreSession,
        guard: RowGuard,
        cache: RowCache | None,
        index: RowIndex | None = None,
    ) -> None:
        """With an `index`, rows of the session have to be those that it says."""
        self._index = index
        self._session = session
        self._guard = guard
        self._cache = cache
        self._below: _Overlay = {}  # rows as they were before this transaction
        self._above: _Overlay = {}  # rows as the changes left them
        self._counted: dict[Table[Any], dict[Key, Any]] = {}
        self._loaded: list[ChangedRow] = []
        self._index_changes: IndexChanges | None = None
        self._read_macs: dict[Table[Any], dict[Key, bytes]] = {}  # of rows that were not loaded

    def run_change(self, change: Callable[[StoreTx], T]) -> T:
        """Run one change and keep what it wrote; raises what it raises and then keeps nothing."""
        tx = StoreTx(self)
        result = change(tx)
        for table, added in tx.added.items():
            self._assume_absent(table, added)
        for table, rows in tx.written.items():
            self._above.setdefault(table, {}).update(rows)
            for key in self._counted.get(table, {}).keys() & rows.keys():
                del self._counted[table][key]  # it is as it was put, or gone
        for table, counts in tx.counted.items():
            self._add_counts(table, counts)
        return result

    def write_set(self) -> WriteSet:
        """What the transaction has to store."""
        writes = WriteSet(previous=self._below)
        for table, rows in self._above.items():
            there = self._keys_with_rows(table, rows)
            moved = set[Key]()
            if table.identity and (moves := self._find_moves(table, rows)):
                writes.moves[table] = moves
                moved = {table.key_of(row) for _, row in moves}
                there = there.difference(old for old, _ in moves)
                writes.deletes.setdefault(table, []).extend(moved & there)
            for key, row in rows.items():
                if key in moved:
                    continue
                if row is None:
                    if key in there:
                        writes.deletes.setdefault(table, []).append(key)
                else:
                    part = writes.updates if key in there else writes.inserts
                    part.setdefault(table, []).append(row)
        writes.counts.update({t: list(rows.values()) for t, rows in self._counted.items() if rows})
        return writes

    def _find_moves(self, table: Table[Any], rows: Mapping[Key, Any]) -> list[tuple[Key, Any]]:
        """The rows that have another key than before, with the old one; in an order that can be.

        What one leaves, another may take.
        """
        below, identity_of = self._below.get(table, {}), attrgetter(table.identity)
        left = {
            identity_of(old): key
            for key, row in rows.items()
            if (old := below.get(key)) is not None
            and (row is None or identity_of(row) != identity_of(old))
        }
        if not left:
            return []
        moved = {
            old: row
            for key, row in rows.items()
            if row is not None and (old := left.get(identity_of(row))) is not None and old != key
        }
        ordered: list[tuple[Key, Any]] = []
        while moved:
            free = [old for old, row in moved.items() if table.key_of(row) not in moved]
            if not free:  # a ring: no order of single moves makes it
                raise ConstraintError(table.name)
            ordered += [(old, moved.pop(old)) for old in free]
        return ordered

    def mac_changes(self) -> dict[Table[Any], tuple[list[StampedKey], list[StampedKey]]]:
        """By guarded table: keys and MACs of the rows that go, and of those that replace them."""
        changes = {}
        for table, rows in self._above.items():
            if table.is_guarded:
                gone = list(self._old_macs(table, rows).items())
                come = [(key, row.mac) for key, row in rows.items() if row is not None]
                changes[table] = gone, come
        return changes

    def index_changes(self) -> IndexChanges:
        """By guarded table, what becomes of each row. To be asked when no change comes any more."""
        if self._index_changes is None:
            self._index_changes = self._find_index_changes()
        return self._index_changes

    def _find_index_changes(self) -> IndexChanges:
        changes: dict[Table[Any], list[RowChange]] = {}
        for table, rows in self._above.items():
            if table.secondary:
                changes[table] = [
                    _row_change(table, key, old, new)
                    for key, (old, new) in self.row_changes(table).items()
                ]
            elif table.is_guarded:
                there = self._old_macs(table, rows)
                changes[table] = [
                    RowChange(key, there.get(key), None if row is None else row.mac)
                    for key, row in rows.items()
                ]
        return changes

    def row_changes(self, table: Table[R]) -> dict[Key, tuple[R | None, R | None]]:
        """The rows that the transaction changes: as they were, and as they will be."""
        above: dict[Key, R | None] = self._above.get(table, {})
        below: dict[Key, R | None] = self._below.setdefault(table, {})
        lacking = [key for key in above if key not in below]
        found = self._session.get_many(table, lacking) if lacking else {}
        for key in lacking:
            self._load(table, key, found.get(key))
        return {key: (below[key], row) for key, row in above.items()}

    def changed_rows(self) -> list[ChangedRow]:
        """The rows that the transaction changes."""
        return [
            (table, key, row) for table, rows in self._above.items() for key, row in rows.items()
        ]

    @property
    def size(self) -> int:
        """How many rows the transaction changes."""
        return sum(map(len, (*self._above.values(), *self._counted.values())))

    def cacheable_rows(self) -> list[ChangedRow]:
        """What a cache takes over once committed: rows as loaded, then as changed.

        Last those that were added to, of which the database alone knows what they are now.
        """
        return [*self._loaded, *self.changed_rows(), *self.counted_rows()]

    def counted_rows(self) -> list[ChangedRow]:
        """The rows that the transaction adds to."""
        return [(table, key, MISSING) for table, rows in self._counted.items() for key in rows]

    # What a `StoreTx` needs.

    def database_time(self) -> int | None:
        """See `StoreSession`."""
        return self._session.database_time()

    def get(self, table: Table[R], key: Key) -> R | None:
        """The row as earlier changes left it."""
        above: dict[Key, R | None] | None = self._above.get(table)
        if above is not None and key in above:
            return above[key]
        below: dict[Key, R | None] = self._below.setdefault(table, {})
        if key in below:
            return below[key]
        row = MISSING if self._cache is None else self._cache.lookup(table, key)
        if row is MISSING:
            return self._load(table, key, self._session.get(table, key))
        below[key] = row
        return row

    def fetch(self, table: Table[R], keys: Iterable[Key]) -> None:
        """Load the rows that are not at hand."""
        above, below = self._above.get(table, {}), self._below.get(table, {})
        lacking = [key for key in keys if key not in above and key not in below]
        if self._cache is not None:
            lacking = [key for key in lacking if self._cache.lookup(table, key) is MISSING]
        found = self._session.get_many(table, lacking) if lacking else {}
        for key in lacking:
            self._load(table, key, found.get(key))

    def select(self, table: Table[R], query: StoreQuery, overlay: dict[Key, Any]) -> list[R]:
        """The query's first rows below that no overlay hides; enough of them for its limit."""
        wider = msgspec.structs.replace(query, limit=query.limit + len(overlay))
        with self._record_tampering(table):
            rows = self._session.select(table, wider)
            for row in rows:
                if table.key_of(row) not in overlay:
                    check_row(self._guard, table, row)
        keys = list(map(table.key_of, rows))
        for key, row in zip(keys, rows, strict=True):
            self._verify_row(table, key, row)
        if self._index is not None and table.is_guarded:
            self._index.verify_answer(table, wider, keys, rows)
        elif table.is_guarded and not can_answer(table, wider, keys, rows):
            raise tampered_error(table)
        return [row for key, row in zip(keys, rows, strict=True) if key not in overlay]

    def select_keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        """The keys of the query's rows as they were before the transaction."""
        return self._session.select_keys(table, query)

    def overlay(self, table: Table[R]) -> dict[Key, R | None]:
        """The rows of the table that earlier changes wrote."""
        return self._above.get(table, {})

    def stamp(self, table: Table[R], row: R) -> R:
        """The row as the guard wants it stored."""
        return stamp_row(self._guard, table, row)

    def _add_counts(self, table: Table[Any], rows: Iterable[Any]) -> None:
        counted = self._counted.setdefault(table, {})
        for row in rows:
            key = table.key_of(row)
            counted[key] = table.add_counts(counted[key], row) if key in counted else row

    def _assume_absent(self, table: Table[Any], keys: Iterable[Key]) -> None:
        above, below = self._above.get(table, {}), self._below.setdefault(table, {})
        for key in keys:
            if (above if key in above else below).get(key) is not None:
                raise ConstraintError(table.name)
            below.setdefault(key, None)

    def _keys_with_rows(self, table: Table[Any], rows: Iterable[Key]) -> set[Key]:
        """Those of the keys that had a row before."""
        if table.is_guarded:
            return set(self._old_macs(table, rows))
        below = self._below.get(table, {})
        there = {key for key in rows if below.get(key) is not None}
        unknown = [key for key in rows if key not in below]
        return there | self._session.existing_keys(table, unknown) if unknown else there

    def _old_macs(self, table: Table[Any], rows: Iterable[Key]) -> dict[Key, bytes]:
        """The MACs of the rows that were there before, be they readable or not."""
        below = self._below.get(table, {})
        read = self._read_macs.get(table)
        if read is None:
            lacking = [key for key in rows if key not in below]
            read = self._read_macs[table] = (
                self._session.get_macs(table, lacking) if lacking else {}
            )
            if self._index is not None:
                for key in lacking:
                    self._index.verify_row(table, key, read.get(key))
        known = {key: row.mac for key in rows if (row := below.get(key)) is not None}
        return known | read

    def _load(self, table: Table[R], key: Key, row: R | None) -> R | None:
        if row is not None:
            with self._record_tampering(table):
                check_row(self._guard, table, row)
        self._verify_row(table, key, row)
        self._below.setdefault(table, {})[key] = row
        self._loaded.append((table, key, row))
        return row

    def _record_tampering(self, table: Table[Any]) -> AbstractContextManager[None]:
        return nullcontext() if self._index is None else self._index.record_tampering(table)

    def _verify_row(self, table: Table[Any], key: Key, row: Any) -> None:
        if self._index is not None and table.is_guarded:
            self._index.verify_row(table, key, None if row is None else row.mac)


def _row_change(table: Table[Any], key: Key, old: Any, new: Any) -> RowChange:
    return RowChange(
        key,
        None if old is None else old.mac,
        None if new is None else new.mac,
        () if old is None else table.secondary_of(old),
        () if new is None else table.secondary_of(new),
    )


def transact(
    backend: StoreBackend, change: Callable[[StoreTx], T], guard: RowGuard = SEALED_ROW_GUARD
) -> T:
    """Run one change in a transaction of its own, in this thread; durable on return.

    For what happens while no `Store` has the backend: init, unseal, tests. Without a guard it can
    reach the tables that have none (`SYSTEM`). Raises what the change raises, `ConstraintError`
    and `BackendError`.
    """
    results: list[T] = []

    def apply(session: StoreSession) -> WriteSet:
        batch = TransactionBatch(session, guard, None)
        results.append(batch.run_change(change))
        return batch.write_set()

    backend.write(apply)
    return results[-1]
