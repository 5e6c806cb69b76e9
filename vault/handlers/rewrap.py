"""Old data keys under the newest key-encryption key: some at a time, and then the old ones go.

A pass goes over all versions, and any number of steps make one: whoever asks for the next step
goes on where the last one ended. A pass that a restart has cut short begins anew, and passes over
what is done already. Each transaction is small, so that other writes go on meanwhile.
"""

from typing import Final

import trio

from vault.errors import ConflictError
from vault.handlers.stores import KeyStore, is_under_older_key
from vault.model.results import RewrapStep

BATCH_VERSIONS: Final = (
    64  # versions of a transaction: they are read with their values, of up to 1 MiB
)
MAX_SCANNED: Final = 4_096  # versions that one step looks at


class KeyRewrapper:
    """One open vault's. One step at a time; others wait for it."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._lock = trio.Lock()
        self._generation = 0  # that this pass moves to
        self._after: tuple[str, int] | None = None
        self._looked_at = 0
        self._proven = 0  # the generation of a whole pass of this process

    async def has_old_keys(self) -> bool:
        """Whether versions may be under an older key."""
        active = self._keys.active_generation
        return (
            self._keys.oldest_generation < active
            and await self._keys.get_rewrapped_generation() < active
        )

    async def rewrap_next(self, *, again: bool = False) -> RewrapStep:
        """Look at the next versions, and move those that are old. `again`: begin a pass anyway."""
        async with self._lock:
            active = self._keys.active_generation
            if again or self._generation != active:
                if not again and (done := await self._keys.get_rewrapped_generation()) >= active:
                    return RewrapStep(generation=done, moved=0, looked_at=0, complete=True)
                self._generation, self._after, self._looked_at = active, None, 0
            return await self._rewrap_batch(active)

    async def _rewrap_batch(self, active: int) -> RewrapStep:
        moved = looked_at = 0
        while looked_at < MAX_SCANNED:
            page = await self._keys.list_versions(self._after, BATCH_VERSIONS)
            if not page:
                await self._complete(active)
                break
            keys = [(row.secret_id, row.version) for row in page if is_under_older_key(row, active)]
            if keys:
                moved += await self._keys.rewrap(keys, active)
            self._after = (page[-1].secret_id, page[-1].version)
            looked_at += len(page)
        self._looked_at += looked_at
        complete = self._proven == active and self._generation != active
        return RewrapStep(
            generation=active, moved=moved, looked_at=self._looked_at, complete=complete
        )

    async def _complete(self, active: int) -> None:
        await self._keys.rewrap_pending(active)
        await self._keys.rewrap_entries(active)
        await self._keys.put_rewrapped_generation(active)
        self._proven, self._generation = active, 0

    async def retire_old_keys(self) -> list[int]:
        """Forget the keys of older generations; returns which. Nothing is under them, for sure.

        Raises `ConflictError` (`rewrap_incomplete`) unless a pass of this process was whole.
        """
        async with self._lock:
            active = self._keys.active_generation
            if self._proven != active:
                raise ConflictError(
                    "rewrap_incomplete",
                    "versions may be under older keys: run `freehold operator rewrap --retire`, "
                    "which looks at all of them first",
                )
            return await self._keys.retire_older_generations(active)
