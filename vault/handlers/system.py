"""The agent itself: seal it, rotate its key-encryption key, look at its actors and its cache."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.tree import Node
from vault.barrier import Barrier
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.operation import Capability


@dataclass(frozen=True)
class System:
    """The handlers of `sys.*`."""

    barrier: Barrier
    want_seal: Callable[[], None]
    tree: Callable[[], Node]

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "sys.seal": Handler(run=self.seal, capability=Capability.SUDO, mutates=True),
            "sys.rotate": Handler(run=self.rotate, capability=Capability.SUDO, mutates=True),
            "sys.key_status": Handler(run=self.key_status, capability=Capability.READ),
            "sys.tree": Handler(run=self.actors, capability=Capability.READ),
        }

    async def seal(self, _: Call) -> None:
        """Seal the vault: it happens when this and the other operations in flight are done."""
        self.want_seal()

    async def rotate(self, _: Call) -> int:
        """Make a new KEK generation; values keep theirs until they are rewrapped."""
        return await self.barrier.rotate()

    async def key_status(self, _: Call) -> dict[str, Any]:
        """What may be told of the keyring."""
        return self.barrier.keyring_state

    async def actors(self, _: Call) -> Node:
        """Every actor with its mailbox depth, restarts and time per message."""
        return self.tree()
