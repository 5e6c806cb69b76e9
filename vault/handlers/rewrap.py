"""Old data keys under the newest key-encryption key: some at a time, and then the old ones go.

A pass goes over all versions, and any number of steps make one: whoever asks for the next step
goes on where the last one ended. A pass that a restart has cut short begins anew, and passes over
what is done already. Each transaction is small, so that other writes go on meanwhile.
"""

from functools import partial
from typing import Final

import trio

from vault.barrier import SYSTEM, VERSIONS, Barrier, StoreQuery, VaultTx
from vault.errors import ConflictError
from vault.model.records import SystemRow, VersionRow
from vault.model.results import RewrapStep

BATCH_VERSIONS: Final = (
    64  # versions of a transaction: they are read with their values, of up to 1 MiB
)
MAX_SCANNED: Final = 4_096  # versions that one step looks at
DONE_ROW: Final = "kek-rewrapped"
"""The generation that the last whole pass has left all under. It saves one and proves nothing."""


class KeyRewrapper:
    """One open vault's. One step at a time; others wait for it."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._lock = trio.Lock()
        self._generation = 0  # that this pass moves to
        self._after: tuple[str, int] | None = None
        self._looked_at = 0
        self._proven = 0  # the generation of a whole pass of this process

    async def has_old_keys(self) -> bool:
        """Whether versions may be under an older key."""
        active = self._barrier.active_generation
        return (
            self._barrier.oldest_generation < active and await self._completed_generation() < active
        )

    async def rewrap_next(self, *, again: bool = False) -> RewrapStep:
        """Look at the next versions, and move those that are old. `again`: begin a pass anyway."""
        async with self._lock:
            active = self._barrier.active_generation
            if again or self._generation != active:
                if not again and (done := await self._completed_generation()) >= active:
                    return RewrapStep(generation=done, moved=0, looked_at=0, complete=True)
                await self._barrier.drain_older_generations()
                self._generation, self._after, self._looked_at = active, None, 0
            return await self._rewrap_batch(active)

    async def _rewrap_batch(self, active: int) -> RewrapStep:
        moved = looked_at = 0
        while looked_at < MAX_SCANNED:
            page = await self._barrier.select(
                VERSIONS, StoreQuery(after=self._after, limit=BATCH_VERSIONS)
            )
            if not page:
                await self._complete(active)
                break
            self._after = (page[-1].secret_id, page[-1].version)
            looked_at += len(page)
            keys = [(row.secret_id, row.version) for row in page if _is_old(row, active)]
            if keys:
                change = partial(_rewrapped, keys, active)
                moved += await self._barrier.commit(change, max_seals=len(keys))
        self._looked_at += looked_at
        complete = self._proven == active and self._generation != active
        return RewrapStep(
            generation=active, moved=moved, looked_at=self._looked_at, complete=complete
        )

    async def _complete(self, active: int) -> None:
        row = SystemRow(name=DONE_ROW, value=active.to_bytes(4))
        await self._barrier.commit(lambda tx: tx.put(SYSTEM, row))
        self._proven, self._generation = active, 0

    async def retire_old_keys(self) -> list[int]:
        """Forget the keys of older generations; returns which. Nothing is under them, for sure.

        Raises `ConflictError` (`rewrap_incomplete`) unless a pass of this process was whole.
        """
        async with self._lock:
            active = self._barrier.active_generation
            if self._proven != active:
                raise ConflictError(
                    "rewrap_incomplete",
                    "versions may be under older keys: run `freehold operator rewrap --retire`, "
                    "which looks at all of them first",
                )
            return await self._barrier.retire_older_generations(active)

    async def _completed_generation(self) -> int:
        row = await self._barrier.get(SYSTEM, DONE_ROW)
        return 0 if row is None else int.from_bytes(row.value)


def _is_old(row: VersionRow, generation: int) -> bool:
    return not row.destroyed and row.kek_generation != generation


def _rewrapped(keys: list[tuple[str, int]], generation: int, tx: VaultTx) -> int:
    """Rewrap those of the versions that are still there and still old."""
    moved = 0
    for key in keys:
        row = tx.get(VERSIONS, *key)
        if row is not None and _is_old(row, generation):
            tx.put(VERSIONS, tx.rewrap(row))
            moved += 1
    return moved
