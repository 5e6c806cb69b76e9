"""One total for each table of authority rows: it tells that a row is gone, or an older one is back.

A row's MAC says that we wrote it once, not that it is the last that we wrote. So the rows of a
table are summed: the keyed hash of each row's key and MAC, modulo 2^256 (MSet-Add-Hash; Clarke,
Devadas, van Dijk, Gassend, Suh: Incremental Multiset Hash Functions, ASIACRYPT 2003). A change
takes the old row off and adds the new one, whatever the size of the table. The key is in it because
nobody finds a row that lies under another key: so nobody would check the MAC, which binds it too.

Whoever saw totals could combine old rows into the same sum, so they are kept sealed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final, Self, TypeAlias

import msgspec

from vault.errors import TamperedError
from vault.model.records import SystemRow
from vault.seal.anchor.keys import AnchorKeys
from vault.store.interface import StoreSession
from vault.store.row_guard import RowGuard, check_row
from vault.store.row_index import RowIndexBuilder
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import ALL, SYSTEM
from vault.store.transaction import TransactionBatch

SUM_SIZE: Final = 32
_MODULUS: Final = 1 << (8 * SUM_SIZE)
GUARDED_TABLES: Final = tuple(table for table in ALL if table.is_guarded)
SEARCHED_TABLES: Final = tuple(table for table in GUARDED_TABLES if table.secondary)
"""Those whose rows are found by other columns than their key, which are in no total."""
ADVANCE_ROWS: Final = 1024
"""Rows that are counted between two calls of `advance`."""
COMMIT_STAMP_ROW: Final = "mark"
"""Of `SYSTEM`: it holds the totals, so it is in none."""
_RowEncoder: TypeAlias = Callable[[Table[Any], Key, bytes], bytes]


class RowTotals:
    """Immutable; by the name of the table. A table that is not in it has no rows."""

    __slots__ = ("_sums",)

    def __init__(self, sums: Mapping[str, int] | None = None) -> None:
        self._sums = {name: total for name, total in (sums or {}).items() if total}

    def apply_changes(
        self, stamps: Mapping[Table[Any], tuple[list[bytes], list[bytes]]], keys: AnchorKeys
    ) -> Self:
        """The totals once these rows are gone, and those have come in their place."""
        sums = dict(self._sums)
        for table, (gone, come) in stamps.items():
            change = _sum(come, keys) - _sum(gone, keys)
            sums[table.name] = (sums.get(table.name, 0) + change) % _MODULUS
        return type(self)(sums)

    def differing_tables(self, other: Self) -> list[str]:
        """The tables that are not the same in both, by name."""
        names = self._sums.keys() | other._sums.keys()
        return sorted(n for n in names if self._sums.get(n) != other._sums.get(n))

    def to_bytes(self) -> bytes:
        """MessagePack: name → 32 bytes, big-endian."""
        return msgspec.msgpack.encode(
            {n: total.to_bytes(SUM_SIZE) for n, total in self._sums.items()}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises `ValueError`."""
        sums = msgspec.msgpack.decode(data, type=dict[str, bytes])
        return cls({name: int.from_bytes(total) for name, total in sums.items()})


class TotalsBuilder:
    """Totals of rows that are read elsewhere, one after the other."""

    def __init__(self, keys: AnchorKeys) -> None:
        self._keys = keys
        self._sums = dict.fromkeys((SYSTEM.name, *(table.name for table in GUARDED_TABLES)), 0)

    def add(self, table: Table[Any], row: Any) -> None:
        """Count the row, if its table is counted."""
        if table is SYSTEM:
            if row.name != COMMIT_STAMP_ROW:
                self._sums[table.name] += _sum([_encode_system_row(row)], self._keys)
        elif table.is_guarded:
            self._sums[table.name] += _sum(
                [_encode_row(table, table.key_of(row), row.mac)], self._keys
            )

    def totals(self) -> RowTotals:
        """Of what was added."""
        return RowTotals({name: total % _MODULUS for name, total in self._sums.items()})


def sum_rows(
    session: StoreSession,
    keys: AnchorKeys,
    rows: RowIndexBuilder | None = None,
    *,
    advance: Callable[[int], None] | None = None,
) -> RowTotals:
    """The totals of what is stored: reads key and MAC of every authority row, and `SYSTEM`.

    The authority rows are added to `rows`. `advance` is called now and then with the number of
    further rows; it may raise, to end it.
    """
    if advance is not None:
        return _count(session, keys, _advancing(advance))
    if rows is None:
        return _count(session, keys, _encode_row)
    add = rows.add

    def stamp(table: Table[Any], key: Key, mac: bytes) -> bytes:
        add(table, key, mac)
        return _encode_row(table, key, mac)

    return _count(session, keys, stamp)


def _advancing(advance: Callable[[int], None]) -> _RowEncoder:
    numbers = count(1)

    def stamp(table: Table[Any], key: Key, mac: bytes) -> bytes:
        if next(numbers) % ADVANCE_ROWS == 0:
            advance(ADVANCE_ROWS)
        return _encode_row(table, key, mac)

    return stamp


def require_searched_rows(
    session: StoreSession, guard: RowGuard, rows: RowIndexBuilder | None = None
) -> None:
    """Check the MAC of each row that is searched for by other columns than its key.

    One that was changed would not be found: a revocation would leave it out. About 9 µs of CPU a
    row; 100,000 tokens take 0.9 s. The columns are added to `rows`. Raises `TamperedError`.
    """
    for table in SEARCHED_TABLES:
        found = _find_damage(session, guard, table, rows)
        if found is not None:
            key: Any = found.details.get("key", ())
            raise TamperedError(
                "storage_rows_changed",
                f"a row of table {table.name} was changed behind the agent's back: its key is "
                f"{'/'.join(map(str, key))}. No acceptance helps: restore a backup, or delete the "
                "row and accept that",
                table=table.name,
            ) from found


def row_changes(batch: TransactionBatch) -> dict[Table[Any], tuple[list[bytes], list[bytes]]]:
    """The encoded rows that `batch` removes and adds, by table, `SYSTEM` among them."""
    rows = [pair for key, pair in batch.row_changes(SYSTEM).items() if key != (COMMIT_STAMP_ROW,)]
    gone = [_encode_system_row(old) for old, _ in rows if old is not None]
    come = [_encode_system_row(new) for _, new in rows if new is not None]
    changes = {
        table: (
            [_encode_row(table, *one) for one in old],
            [_encode_row(table, *one) for one in new],
        )
        for table, (old, new) in batch.mac_changes().items()
    }
    return changes | {SYSTEM: (gone, come)}


def _count(session: StoreSession, keys: AnchorKeys, stamp: _RowEncoder) -> RowTotals:
    sums = {
        t.name: _sum((stamp(t, key, mac) for key, mac in session.iter_macs(t)), keys) % _MODULUS
        for t in GUARDED_TABLES
    }
    system = map(_encode_system_row, _system_rows(session))
    return RowTotals(sums | {SYSTEM.name: _sum(system, keys) % _MODULUS})


def _find_damage(
    session: StoreSession, guard: RowGuard, table: Table[Any], rows: RowIndexBuilder | None = None
) -> TamperedError | None:
    after = None
    try:
        while page := session.select(table, StoreQuery(after=after)):
            for row in page:
                check_row(guard, table, row)
                if rows is not None:
                    rows.add_values(table, table.key_of(row), table.secondary_of(row))
            after = table.key_of(page[-1])
    except TamperedError as error:
        return error
    return None


def _system_rows(session: StoreSession) -> Iterator[SystemRow]:
    after = None
    while page := session.select(SYSTEM, StoreQuery(after=after)):
        yield from (row for row in page if row.name != COMMIT_STAMP_ROW)
        after = SYSTEM.key_of(page[-1])


def _encode_row(table: Table[Any], key: Key, mac: bytes) -> bytes:
    """What stands for a row of a guarded table: its key is not only equal, but of the same type."""
    return msgspec.msgpack.encode((table.name, key, mac))


def _encode_system_row(row: SystemRow) -> bytes:
    """What stands for a row of `SYSTEM`, which has no MAC of its own."""
    return msgspec.msgpack.encode((SYSTEM.name, row.name, row.value))


def _sum(stamps: Iterable[bytes], keys: AnchorKeys) -> int:
    return sum(map(int.from_bytes, map(keys.row, stamps)))  # each row of a large vault, at a start
