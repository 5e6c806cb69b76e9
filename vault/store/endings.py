"""Endings: how many transactions that changed a thing are over, whatever came of them.

Who holds something in another form than rows goes by them: a change that was told as timed out may
still be stored, long after the one who asked for it has read back what was stored until then.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from vault.store.cache import Touched
from vault.store.table import Table
from vault.store.tables import SYSTEM

_Thing: TypeAlias = str | tuple[str | int, ...]


class Endings:
    """Counts by table, of `system` by row. Written by whoever commits, read by anybody."""

    def __init__(self) -> None:
        self._counts: dict[_Thing, int] = {}
        self._all = 0
        self.total = 0
        """Transactions that are over, whatever they changed."""

    def note(self, touched: Iterable[Touched]) -> None:
        """A transaction that changed these, or may have, is over, and the cache knows of it."""
        for thing in {_thing(table, key) for table, key, _ in touched}:
            self._counts[thing] = self._counts.get(thing, 0) + 1
        self.total += 1  # last: who has seen this count sees those above

    def note_all(self) -> None:
        """Anything at all may have been changed, and the cache knows of it."""
        self._all += 1
        self.total += 1

    def of(self, table: Table[Any], *key: str | int) -> int:
        """How many there were. `key`: of a row of `system`, and of no other table."""
        return self._all + self._counts.get(_thing(table, key), 0)


def _thing(table: Table[Any], key: tuple[str | int, ...]) -> _Thing:
    return key if table is SYSTEM else table.name
