"""Endings: how many transactions that changed a thing are over, whatever came of them.

Who holds something in another form than rows goes by them: a change that was told as timed out may
still be stored, long after the one who asked for it has read back what was stored until then.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from vault.store.row_cache import ChangedRow
from vault.store.table import Table
from vault.store.tables import SYSTEM

_VersionKey: TypeAlias = str | tuple[str | int, ...]


class TableVersions:
    """Counts by table, of `system` by row. Written by whoever commits, read by anybody."""

    def __init__(self) -> None:
        self._counts: dict[_VersionKey, int] = {}
        self._all = 0
        self.total = 0
        """Transactions that are over, whatever they changed."""

    def record_transaction(self, touched: Iterable[ChangedRow]) -> None:
        """A transaction that changed these, or may have, is over, and the cache knows of it."""
        for thing in {_version_key(table, key) for table, key, _ in touched}:
            self._counts[thing] = self._counts.get(thing, 0) + 1
        self.total += 1  # last: who has seen this count sees those above

    def note_all(self) -> None:
        """Anything at all may have been changed, and the cache knows of it."""
        self._all += 1
        self.total += 1

    def version_of(self, table: Table[Any], *key: str | int) -> int:
        """How many there were. `key`: of a row of `system`, and of no other table."""
        return self._all + self._counts.get(_version_key(table, key), 0)


def _version_key(table: Table[Any], key: tuple[str | int, ...]) -> _VersionKey:
    return key if table is SYSTEM else table.name
