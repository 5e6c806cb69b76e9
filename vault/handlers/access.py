"""Counts of reads, kept in memory and flushed in batches: a read must not cost a write.

Reads of the value and of the metadata are told apart, so that browsing never looks like use.
A crash loses at most the counts since the last flush; the audit log has every read.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Final

from msgspec.structs import replace

from actors.world import World
from vault.barrier import ACCESS, Barrier, VaultTx
from vault.model.records import AccessRow

FLUSH_BATCH: Final = 1_000  # rows a transaction, so that a flush never holds the writer for long
MOST_PENDING: Final = 250_000  # secrets counted between two flushes; about 50 MB


Written = Callable[[list[AccessRow]], None]


def _nobody(_: list[AccessRow]) -> None:
    """Nobody wants to know."""


class AccessCounters:
    """Pending counts by secret id."""

    def __init__(self, barrier: Barrier, world: World, written: Written = _nobody) -> None:
        """`written` is told of what was flushed."""
        self._written = written
        self._barrier = barrier
        self._world = world
        self._pending: dict[str, AccessRow] = {}

    def value_read(self, secret_id: str) -> None:
        """Count a read of a value, now."""
        row = self._row(secret_id)
        if row is not None:
            self._pending[secret_id] = replace(
                row, value_reads=row.value_reads + 1, last_value_read=self._world.now()
            )

    def metadata_read(self, secret_id: str) -> None:
        """Count a read of the metadata alone, now."""
        row = self._row(secret_id)
        if row is not None:
            self._pending[secret_id] = replace(
                row, metadata_reads=row.metadata_reads + 1, last_metadata_read=self._world.now()
            )

    async def get(self, secret_id: str) -> AccessRow:
        """The counts of a secret, those not yet flushed included."""
        stored = await self._barrier.get(ACCESS, secret_id)
        return _sum(stored, self._pending.get(secret_id) or AccessRow(secret_id=secret_id))

    def drain(self) -> list[AccessRow]:
        """What is pending, for another's `add`; nothing is pending then."""
        pending, self._pending = self._pending, {}
        return list(pending.values())

    def add(self, counts: Iterable[AccessRow]) -> None:
        """Count what another process has counted."""
        for row in counts:
            if self._row(row.secret_id) is not None:
                self._pending[row.secret_id] = _sum(self._pending.get(row.secret_id), row)

    async def flush(self) -> None:
        """Write what is pending. On an error the counts stay pending; raises as the store does."""
        while self._pending:
            batch = [self._pending.pop(key) for key in list(islice(self._pending, FLUSH_BATCH))]
            try:
                await self._barrier.commit(partial(_count, batch))
            except BaseException:
                for row in batch:
                    self._pending[row.secret_id] = _sum(row, self._row(row.secret_id))
                raise
            self._written(batch)

    def _row(self, secret_id: str) -> AccessRow | None:
        row = self._pending.get(secret_id)
        if row is None and len(self._pending) < MOST_PENDING:
            row = AccessRow(secret_id=secret_id)
        return row


def _count(batch: list[AccessRow], tx: VaultTx) -> None:
    tx.count(ACCESS, batch)


def _sum(stored: AccessRow | None, pending: AccessRow | None) -> AccessRow:
    if stored is None or pending is None:
        return stored or pending or AccessRow(secret_id="")
    return ACCESS.sum_of(stored, pending)
