"""The change feed: for each commit one row that says which rows it changed.

Every agent that shares the database follows it: it drops the changed rows from its cache and brings
its row index up to date. Entries are numbered without a gap, by the count of commits in the commit
stamp.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from vault.errors import UnavailableError
from vault.store.row_cache import MISSING, ChangedRow
from vault.store.row_index import IndexChanges, RowChange
from vault.store.table import Key, StoreQuery, Table, plain_key
from vault.store.tables import ALL, CHANGES, HEAD_ROW, SYSTEM

KEPT: Final = 10_000
"""Entries that are kept. A follower that is further behind reads all rows anew."""
ENTRIES_PER_READ: Final = 64
"""Entries that a follower has in memory at a time, and applies while it holds the head at most."""
MAX_ENTRY_BYTES: Final = 4 << 20
"""A transaction with more of them is refused, and the committer halves the group. One change alone
needs at most some hundred KiB: it revokes up to 2,000 tokens."""
REMOVED_PER: Final = 256  # every 256th commit removes those that are too old, up to 1,000

_Mac: TypeAlias = bytes | None
_Row: TypeAlias = tuple[list[str | int], _Mac, _Mac, list[Any], list[Any]]
_Encoded: TypeAlias = dict[str, list[_Row]]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Encoded).decode
_TABLES: Final = {table.name: table for table in ALL}


def outdated_changes(commits: int) -> StoreQuery:
    """A query for the entries that are no longer kept after this many commits."""
    return StoreQuery(at_most=("seq", max(commits - KEPT, 0)))


class FeedBehindError(UnavailableError):
    """The feed does not reach back to what was followed last, or too much lies in between."""


def feed_behind_error() -> FeedBehindError:
    """The error for whoever asks meanwhile."""
    return FeedBehindError(
        "store_behind",
        "this process lacks commits of others and takes them over now: try again",
        outcome="none",
    )


class FedChanges(NamedTuple):
    """The changes of one commit of another process."""

    rows: list[ChangedRow]  # each as `MISSING`: read it from the database
    index_changes: IndexChanges


def encode_changes(changed: Iterable[ChangedRow], index: IndexChanges) -> bytes:
    """MessagePack: table → its rows as `[key, old MAC, new MAC, old values, new values]`.

    Tables without MACs have keys only. The feed itself and the head change in each transaction,
    so they are left out.
    """
    told: dict[str, list[Any]] = {
        table.name: [[plain_key(row.key), *row[1:]] for row in rows]
        for table, rows in index.items()
        if rows
    }
    for table, key, _ in changed:
        if not table.is_guarded and table is not CHANGES and key != (HEAD_ROW,):
            told.setdefault(table.name, []).append([plain_key(key), None, None, (), ()])
    return _encode(told)


def decode_changes(data: bytes) -> FedChanges:
    """The inverse of `encode_changes`. Raises `ValueError` for other data."""
    try:
        told = _decode(data)
        tables = [(_TABLES[name], rows) for name, rows in told.items()]
    except (msgspec.MsgspecError, KeyError):
        raise ValueError("it is not an entry") from None
    return FedChanges(
        [*_touched(tables)],
        {
            table: [
                RowChange(tuple(key), old, new, tuple(old_values), tuple(new_values))
                for key, old, new, old_values, new_values in rows
            ]
            for table, rows in tables
            if table.is_guarded
        },
    )


def _touched(tables: Iterable[tuple[Table[Any], list[_Row]]]) -> Iterator[ChangedRow]:
    """The changed rows, and the head, which every commit changes."""
    yield SYSTEM, (HEAD_ROW,), MISSING
    for table, rows in tables:
        for row in rows:
            key: Key = tuple(row[0])
            yield table, key, MISSING
