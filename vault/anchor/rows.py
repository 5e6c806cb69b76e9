"""One total for each table of authority rows: it tells that a row is gone, or an older one is back.

A row's MAC says that we wrote it once, not that it is the last that we wrote. So the rows of a
table are summed: the keyed hash of each row's MAC, modulo 2^256 (MSet-Add-Hash; Clarke, Devadas,
van Dijk, Gassend, Suh: Incremental Multiset Hash Functions, ASIACRYPT 2003). A change takes the old
row off and adds the new one, whatever the size of the table.

Whoever saw totals could combine old rows into the same sum, so they are kept sealed.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

import msgspec

from vault.anchor.keys import AnchorKeys
from vault.model.records import SystemRow
from vault.store.interface import Session
from vault.store.table import Query, Table
from vault.store.tables import ALL, SYSTEM
from vault.store.tx import Batch

SIZE: Final = 32
_MODULUS: Final = 1 << (8 * SIZE)
GUARDED: Final = tuple(table for table in ALL if table.guarded)
MARK_ROW: Final = "mark"
"""Of `SYSTEM`: it holds the totals, so it is in none."""


class Totals:
    """Immutable; by the name of the table. A table that is not in it has no rows."""

    __slots__ = ("_sums",)

    def __init__(self, sums: Mapping[str, int] | None = None) -> None:
        self._sums = {name: total for name, total in (sums or {}).items() if total}

    def exchanged(
        self, stamps: Mapping[Table[Any], tuple[list[bytes], list[bytes]]], keys: AnchorKeys
    ) -> Self:
        """The totals once these rows are gone, and those have come in their place."""
        sums = dict(self._sums)
        for table, (gone, come) in stamps.items():
            change = _sum(come, keys) - _sum(gone, keys)
            sums[table.name] = (sums.get(table.name, 0) + change) % _MODULUS
        return type(self)(sums)

    def without(self, table: Table[Any]) -> Self:
        """The same, but for a table."""
        return type(self)({name: n for name, n in self._sums.items() if name != table.name})

    def differing(self, other: Self) -> list[str]:
        """The tables that are not the same in both, by name."""
        names = self._sums.keys() | other._sums.keys()
        return sorted(n for n in names if self._sums.get(n) != other._sums.get(n))

    def to_bytes(self) -> bytes:
        """MessagePack: name → 32 bytes, big-endian."""
        return msgspec.msgpack.encode({n: total.to_bytes(SIZE) for n, total in self._sums.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises `ValueError`."""
        sums = msgspec.msgpack.decode(data, type=dict[str, bytes])
        return cls({name: int.from_bytes(total) for name, total in sums.items()})


def count(session: Session, keys: AnchorKeys) -> Totals:
    """The totals of what is stored: reads one column of every authority row, and `SYSTEM`."""
    sums = {t.name: _sum(session.every_stamp(t), keys) % _MODULUS for t in GUARDED}
    system = map(_stamp, _system_rows(session))
    return Totals(sums | {SYSTEM.name: _sum(system, keys) % _MODULUS})


def exchanged(batch: Batch) -> dict[Table[Any], tuple[list[bytes], list[bytes]]]:
    """As `Batch.exchanged`, and the same of `SYSTEM`, whose rows have no stamp of their own."""
    rows = [pair for key, pair in batch.replaced(SYSTEM).items() if key != (MARK_ROW,)]
    gone = [_stamp(old) for old, _ in rows if old is not None]
    come = [_stamp(new) for _, new in rows if new is not None]
    return batch.exchanged() | {SYSTEM: (gone, come)}


def _system_rows(session: Session) -> Iterator[SystemRow]:
    after = None
    while page := session.select(SYSTEM, Query(after=after)):
        yield from (row for row in page if row.name != MARK_ROW)
        after = SYSTEM.key_of(page[-1])


def _stamp(row: SystemRow) -> bytes:
    """What stands for a row of `SYSTEM`: longer than the MAC that is every other row's."""
    return msgspec.msgpack.encode((SYSTEM.name, row.name, row.value))


def _sum(stamps: Iterable[bytes], keys: AnchorKeys) -> int:
    return sum(map(int.from_bytes, map(keys.row, stamps)))  # each row of a large vault, at a start
