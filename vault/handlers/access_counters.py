"""Counts of reads, kept in memory and flushed in batches: a read must not cost a write.

Reads of the value and of the metadata are told apart, so that browsing never looks like use.
A crash loses at most the counts since the last flush; the audit log has every read.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from actors.world import World
from vault.handlers.stores import AccessStore
from vault.model.records import AccessRow

FLUSH_BATCH: Final = 1_000  # rows a transaction, so that a flush never holds the writer for long
MAX_PENDING: Final = 250_000  # secrets counted between two flushes; about 50 MB
LETTERS: Final = 2
"""Of an id, which is random hex. Pending counts lie by these: rows of a transaction that are no
neighbours in the database cost a page each (decision 4)."""

OnFlushed = Callable[[list[AccessRow]], None]
_Part = dict[str, AccessRow]


def _ignore(_: list[AccessRow]) -> None:
    """Nobody wants to know."""


class AccessCounters:
    """Pending counts by secret id."""

    def __init__(self, store: AccessStore, world: World, on_flushed: OnFlushed = _ignore) -> None:
        """`on_flushed` is told of what was flushed."""
        self._on_flushed = on_flushed
        self._store = store
        self._world = world
        self._pending: defaultdict[str, _Part] = defaultdict(dict)
        self._size = 0  # rows in it

    def count_value_read(self, secret_id: str) -> None:
        """Count a read of a value, now."""
        now, part = self._world.now(), self._pending[secret_id[:LETTERS]]
        row = part.get(secret_id)
        if row is not None:
            part[secret_id] = replace(row, value_reads=row.value_reads + 1, last_value_read=now)
        elif self._reserve_entry():
            part[secret_id] = AccessRow(secret_id=secret_id, value_reads=1, last_value_read=now)

    def count_metadata_read(self, secret_id: str) -> None:
        """Count a read of the metadata alone, now."""
        now, part = self._world.now(), self._pending[secret_id[:LETTERS]]
        row = part.get(secret_id)
        if row is not None:
            part[secret_id] = replace(
                row, metadata_reads=row.metadata_reads + 1, last_metadata_read=now
            )
        elif self._reserve_entry():
            part[secret_id] = AccessRow(
                secret_id=secret_id, metadata_reads=1, last_metadata_read=now
            )

    async def get(self, secret_id: str) -> AccessRow:
        """The counts of a secret, those not yet flushed included."""
        stored = await self._store.get(secret_id)
        pending = self._pending[secret_id[:LETTERS]].get(secret_id)
        if stored is None or pending is None:
            return stored or pending or AccessRow(secret_id=secret_id)
        return AccessStore.merge(stored, pending)

    async def flush(self) -> None:
        """Write what is pending, in the order of the ids, each part once: it ends if others read.

        On an error all that is not written stays pending; raises as the store does.
        """
        taken: list[AccessRow] = []
        try:
            for letters in sorted(self._pending):
                taken += self._taken(letters)
                while len(taken) >= FLUSH_BATCH:
                    await self._write(taken)
            if taken:
                await self._write(taken)
        except BaseException:
            for row in taken:
                self._put_back(row)
            raise

    async def _write(self, taken: list[AccessRow]) -> None:
        """Write the first of them and take these away."""
        batch = taken[:FLUSH_BATCH]
        await self._store.add_counts(batch)
        del taken[:FLUSH_BATCH]
        self._on_flushed(batch)

    def _taken(self, letters: str) -> list[AccessRow]:
        part = self._pending.pop(letters, {})
        self._size -= len(part)
        return [part[secret_id] for secret_id in sorted(part)]

    def _put_back(self, row: AccessRow) -> None:
        """Whatever has come meanwhile: the bound is passed by a batch and a part at most."""
        part = self._pending[row.secret_id[:LETTERS]]
        there = part.get(row.secret_id)
        self._size += there is None
        part[row.secret_id] = row if there is None else AccessStore.merge(there, row)

    def _reserve_entry(self) -> bool:
        """Take a place for another secret's count; False if there is none."""
        if self._size >= MAX_PENDING:
            return False
        self._size += 1
        return True
