"""The in-memory backend: a fake that passes the contract suite of the real ones.

Rows are kept encoded, so that what comes back is a fresh value of the declared types, as from a
database. A write works on copies that replace the tables at its end: readers keep their view.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from protocols import json_text
from vault.errors import TamperedError
from vault.store.interface import (
    ConstraintError,
    FeedPosition,
    StoreSession,
    WriteSet,
    ignore_progress,
)
from vault.store.query import apply_query
from vault.store.table import Key, RankedQuery, StoreQuery, Table
from vault.store.tables import ALL, HEAD_ROW, SYSTEM

R = TypeVar("R", bound=Struct)
T = TypeVar("T")
_Rows = dict[Key, bytes]

READERS: Final = 8


class MemoryBackend:
    """A database that lives as long as this object; closing it loses nothing."""

    exclusive = True
    is_of_one_node = True
    look_seconds = 30.0
    queries_in_turn = True
    readers = READERS

    def __init__(self) -> None:
        self.is_open = False
        self._tables: Mapping[str, _Rows] = {table.name: {} for table in ALL}
        self._one_writer = Lock()

    def open(self) -> None:
        """Always possible."""
        self.is_open = True

    def close(self) -> None:
        """Keep the rows for the next `open`."""
        self.is_open = False

    def connect(self) -> None:
        """There is no connection that could be broken."""

    @contextmanager
    def read(self) -> Iterator[StoreSession]:
        """What is committed now."""
        yield _MemorySession(self._tables)

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """All or nothing; raises `ConstraintError`."""
        with self._one_writer:
            self._write(apply)

    @property
    def location(self) -> str:
        """Nowhere."""
        return "memory"

    def size(self) -> int:
        """None on a disk."""
        return 0

    def read_since(self, _position: FeedPosition, ask: Callable[[StoreSession], T]) -> T:
        """By `read`: there is no replica."""
        with self.read() as session:
            return ask(session)

    def read_head(self) -> bytes:
        """As committed."""
        with self.read() as session:
            row = session.get(SYSTEM, (HEAD_ROW,))
        return b"" if row is None else row.value

    def checkpoint(self) -> None:
        """There is no log."""

    def foreign_writes(self) -> int:
        """Nobody else has it."""
        return 0

    def check(self) -> None:
        """Decode every row; raises `TamperedError`."""
        session = _MemorySession(self._tables)
        for table in ALL:
            session.rows(table)

    def _write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        before = self._tables
        writes = apply(_MemorySession(before))
        tables = {**before, **{name: dict(before[name]) for name in _touched(writes)}}
        for table, keys in writes.deletes.items():
            for key in keys:
                tables[table.name].pop(key, None)
        for table, moves in writes.moves.items():
            for old, row in moves:
                if tables[table.name].pop(old, None) is None:
                    raise ConstraintError(table.name)
                _put(table, tables[table.name], [row], expected=False)
        for table, rows in writes.inserts.items():
            _put(table, tables[table.name], rows, expected=False)
        for table, rows in writes.updates.items():
            _put(table, tables[table.name], rows, expected=True)
        for table, rows in writes.counts.items():
            there = _subjects(table, _MemorySession(tables))
            _count(table, tables[table.name], [r for r in rows if table.key_of(r)[0] in there])
        _check_constraints(writes, _MemorySession(tables))
        self._tables = tables


class _MemorySession:
    def __init__(self, tables: Mapping[str, _Rows]) -> None:
        self._tables = tables

    def inspect(self, on_progress: Callable[[], None] = ignore_progress) -> None:
        """Rows are all there is."""
        on_progress()

    def database_time(self) -> int | None:
        return None

    def get(self, table: Table[R], key: Key) -> R | None:
        data = self._tables[table.name].get(key)
        return None if data is None else _decode(table, key, data)

    def get_many(self, table: Table[R], keys: Iterable[Key]) -> dict[Key, R]:
        found = ((key, self.get(table, key)) for key in keys)
        return {key: row for key, row in found if row is not None}

    def existing_keys(self, table: Table[R], keys: Iterable[Key]) -> set[Key]:
        return self._tables[table.name].keys() & set(keys)

    def get_macs(self, table: Table[Any], keys: Iterable[Key]) -> dict[Key, bytes]:
        return {key: row.mac for key, row in self.get_many(table, keys).items()}

    def iter_macs(self, table: Table[Any]) -> Iterator[tuple[Key, bytes]]:
        rows = self._tables[table.name].items()
        return ((key, _decode(table, key, data).mac) for key, data in rows)

    def select(self, table: Table[R], query: StoreQuery) -> list[R]:
        return apply_query(table, query, self.rows(table))

    def select_keys(self, table: Table[Any], query: StoreQuery) -> list[Key]:
        return [table.key_of(row) for row in self.select(table, query)]

    def select_macs(self, table: Table[Any], query: StoreQuery) -> list[tuple[Key, bytes]]:
        return [(table.key_of(row), row.mac) for row in self.select(table, query)]

    def select_ranked(self, ranking: RankedQuery) -> list[Key]:
        by, table = ranking.by, ranking.table
        numbers = [(-getattr(row, ranking.column), by.key_of(row)) for row in self.rows(by)]
        first = sorted(entry for entry in numbers if entry[0] < 0)[: ranking.limit]
        there = {getattr(row, ranking.link): table.key_of(row) for row in self.rows(table)}
        return [there[about] for _, (about,) in first if about in there]

    def column(self, table: Table[Any], name: str) -> list[Any]:
        return [getattr(_looked_at(table, row), name) for row in self._tables[table.name].values()]

    def rows(self, table: Table[R]) -> list[R]:
        return [_decode(table, key, data) for key, data in self._tables[table.name].items()]


@lru_cache(maxsize=65_536)
def _looked_at(table: Table[R], data: bytes) -> R:
    """A row for a look at its columns: each write looks at all there are."""
    return _decode(table, (), data)


def _decode(table: Table[R], key: Key, data: bytes) -> R:
    try:
        return json_text.decode(data, type=table.row)
    except msgspec.DecodeError:
        raise TamperedError(
            "row_corrupt", f"{table.name}: a stored row is damaged", table=table.name, key=key
        ) from None


def _touched(writes: WriteSet) -> set[str]:
    parts = (writes.inserts, writes.updates, writes.deletes, writes.moves, writes.counts)
    return {table.name for part in parts for table in part}


def _put(table: Table[Any], rows: _Rows, new: list[Any], *, expected: bool) -> None:
    for row in new:
        key = table.key_of(row)
        if (key in rows) is not expected:
            raise ConstraintError(table.name)
        rows[key] = msgspec.json.encode(row)


def _count(table: Table[Any], rows: _Rows, counts: list[Any]) -> None:
    for row in counts:
        key = table.key_of(row)
        there = rows.get(key)
        total = row if there is None else table.add_counts(_decode(table, key, there), row)
        rows[key] = msgspec.json.encode(total)


def _subjects(table: Table[Any], after: _MemorySession) -> set[Any]:
    return {value for other, name in table.counted_subject for value in after.column(other, name)}


def _check_constraints(writes: WriteSet, after: _MemorySession) -> None:
    """What a database checks by its indexes, for the tables that were touched."""
    touched = _touched(writes)
    for table in ALL:
        if table.name in touched:
            for column in table.unique:
                values = after.column(table, column)
                if len(set(values)) != len(values):
                    raise ConstraintError(table.name)
        for column, (parent, target) in table.references.items():
            if not {table.name, parent.name} & touched:
                continue
            if not set(after.column(parent, target)).issuperset(after.column(table, column)):
                raise ConstraintError(table.name)
