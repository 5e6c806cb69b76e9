"""When each credential was last used and how often: in memory, flushed in batches.

A crash loses at most what came after the last flush; the audit log has every use.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from actors.world import World
from vault.model.records import UsageRow
from vault.store.store import Store
from vault.store.tables import USAGE
from vault.store.transaction import StoreTx

FLUSH_BATCH: Final = 1_000  # rows a transaction, so that a flush never holds the writer for long
MAX_PENDING: Final = 100_000  # credentials between two flushes; about 20 MB. Beyond: not counted


OnFlushed = Callable[[dict[str, tuple[int, int]]], None]


def _ignore(_: dict[str, tuple[int, int]]) -> None:
    """Nobody wants to know."""


class CredentialUsage:
    """Uses since the last flush, by credential id (an accessor or the id of a key)."""

    def __init__(self, store: Store, world: World, on_flushed: OnFlushed = _ignore) -> None:
        """`on_flushed` is told of what was flushed: uses and last time by credential."""
        self._on_flushed = on_flushed
        self._store = store
        self._world = world
        self._pending: dict[str, tuple[int, int]] = {}  # (uses, last time)

    def count_use(self, credential_id: str) -> None:
        """Count a use, now."""
        pending = self._pending
        found = pending.get(credential_id)
        if found is not None:
            pending[credential_id] = (found[0] + 1, self._world.now())
        elif len(pending) < MAX_PENDING:
            pending[credential_id] = (1, self._world.now())

    async def get(self, credential_id: str) -> UsageRow:
        """Return the uses of a credential, those not yet flushed included."""
        stored = await self._store.get(USAGE, credential_id)
        pending = _row(credential_id, *self._pending.get(credential_id, (0, 0)))
        return pending if stored is None else USAGE.add_counts(stored, pending)

    async def flush(self) -> None:
        """Write what is pending now. On an error it stays pending; raises what the store does."""
        keys = list(self._pending)  # what comes meanwhile is the next one's
        for start in range(0, len(keys), FLUSH_BATCH):
            some = keys[start : start + FLUSH_BATCH]
            batch = {key: self._pending.pop(key) for key in some if key in self._pending}
            try:
                await self._store.commit(partial(_count, batch))
            except BaseException:
                for key, (uses, last) in batch.items():
                    now_uses, now_last = self._pending.get(key, (0, 0))
                    self._pending[key] = (uses + now_uses, max(last, now_last))
                raise
            self._on_flushed(batch)


def _count(batch: dict[str, tuple[int, int]], tx: StoreTx) -> None:
    tx.add_counts(USAGE, [_row(key, *counted) for key, counted in batch.items()])


def _row(credential_id: str, uses: int, last: int) -> UsageRow:
    return UsageRow(credential_id=credential_id, uses=uses, last_used=last)
