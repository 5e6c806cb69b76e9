"""The agent itself: seal it, rotate its key-encryption key, look at its actors and its cache."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from actors.tree import Node
from vault.barrier import VERSIONS, Barrier, Query, VaultTx
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.operation import Capability
from vault.model.records import VersionRow

REWRAPPED_AT_ONCE: Final = 200  # versions a transaction


@dataclass(frozen=True)
class System:
    """The handlers of `sys.*`."""

    barrier: Barrier
    want_seal: Callable[[], None]
    order_seal: Callable[[], Awaitable[None]]
    tree: Callable[[], Node]

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "sys.seal": Handler(
                run=self.seal, capability=Capability.SUDO, mutates=True, closes=True
            ),
            "sys.rotate": Handler(run=self.rotate, capability=Capability.SUDO, mutates=True),
            "sys.rewrap": Handler(run=self.rewrap, capability=Capability.SUDO, mutates=True),
            "sys.key_status": Handler(run=self.key_status, capability=Capability.READ),
            "sys.tree": Handler(run=self.actors, capability=Capability.READ),
            "sys.cache": Handler(run=self.cache, capability=Capability.READ),
        }

    async def seal(self, _: Call) -> None:
        """Seal the vault: it happens when this and the other operations in flight are done.

        From here on nothing new is served. A restart does not end it: only a person does.
        """
        self.want_seal()
        await self.order_seal()

    async def rotate(self, _: Call) -> int:
        """Make a new KEK generation; values keep theirs until they are rewrapped."""
        return await self.barrier.rotate()

    async def rewrap(self, _: Call) -> int:
        """Put every value's data key under the active KEK; returns how many were moved.

        The ciphertexts stay as they are. Some at a time, so that other writes go on meanwhile; one
        that is cut short can be repeated.
        """
        moved, after = 0, None
        while page := await self.barrier.select(
            VERSIONS, Query(after=after, limit=REWRAPPED_AT_ONCE)
        ):
            after = (page[-1].secret_id, page[-1].version)
            keys = [(row.secret_id, row.version) for row in page if self._is_old(row)]
            if keys:
                change = partial(_rewrapped, keys, self.barrier.active_generation)
                moved += await self.barrier.commit(change, seals=len(keys))
        return moved

    def _is_old(self, row: VersionRow) -> bool:
        return not row.destroyed and row.kek_generation != self.barrier.active_generation

    async def key_status(self, _: Call) -> dict[str, Any]:
        """What may be told of the keyring."""
        return self.barrier.keyring_state

    async def actors(self, _: Call) -> Node:
        """Every actor with its mailbox depth, restarts and time per message."""
        return self.tree()

    async def cache(self, _: Call) -> dict[str, Any]:
        """How the cache of sealed rows is set, and how it does."""
        return self.barrier.cache_state


def _rewrapped(keys: list[tuple[str, int]], generation: int, tx: VaultTx) -> int:
    """Rewrap those of the versions that are still there and still old."""
    moved = 0
    for key in keys:
        row = tx.get(VERSIONS, *key)
        if row is not None and not row.destroyed and row.kek_generation != generation:
            tx.put(VERSIONS, tx.rewrap(row))
            moved += 1
    return moved
