"""The agent itself: seal it, rotate its key-encryption key, look at its actors and its cache."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from actors.tree import Node
from vault.barrier import Barrier
from vault.handlers.handler import Call, Handler, Handlers
from vault.handlers.rewrap import KeyRewrapper
from vault.model.operation import Capability
from vault.model.payloads import RewrapDataKeys
from vault.model.results import RewrapStep


@dataclass(frozen=True)
class SystemHandlers:
    """The handlers of `sys.*`."""

    barrier: Barrier
    request_seal: Callable[[], None]
    record_seal: Callable[[], Awaitable[None]]
    tree: Callable[[], Node]
    rewrapper: KeyRewrapper

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "sys.seal": Handler(
                run=self.seal,
                capability=Capability.SUDO,
                mutates=True,
                only_restricts=True,
                closes=self.request_seal,
            ),
            "sys.rotate": Handler(run=self.rotate, capability=Capability.SUDO, mutates=True),
            "sys.rewrap": Handler(run=self.rewrap, capability=Capability.SUDO, mutates=True),
            "sys.retire_keys": Handler(
                run=self.retire_keys,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda retired: {"generations": retired},
            ),
            "sys.key_status": Handler(run=self.key_status, capability=Capability.READ),
            "sys.tree": Handler(run=self.actors, capability=Capability.READ),
            "sys.cache": Handler(run=self.cache, capability=Capability.READ),
        }

    async def seal(self, _: Call) -> None:
        """Seal the vault: it happens when this and the other operations in flight are done.

        Nothing new is served any more. A restart does not end it: only a person does.
        """
        await self.record_seal()

    async def rotate(self, _: Call) -> int:
        """Make a new KEK generation; values keep theirs until they are rewrapped."""
        return await self.barrier.rotate()

    async def rewrap(self, call: Call) -> RewrapStep:
        """Put the data keys of some more versions under the active KEK."""
        payload = call.payload
        again = isinstance(payload, RewrapDataKeys) and payload.again
        return await self.rewrapper.rewrap_next(again=again)

    async def retire_keys(self, _: Call) -> list[int]:
        """Forget the KEKs of older generations, which nothing is under any more."""
        return await self.rewrapper.retire_old_keys()

    async def key_status(self, _: Call) -> dict[str, Any]:
        """What may be told of the keyring, and whether versions may be under older keys."""
        behind = await self.rewrapper.has_old_keys()
        return self.barrier.keyring_state | {"rewrapped": not behind}

    async def actors(self, _: Call) -> Node:
        """Every actor with its mailbox depth, restarts and time per message."""
        return self.tree()

    async def cache(self, _: Call) -> dict[str, Any]:
        """How the cache of sealed rows is set, and how it does."""
        return self.barrier.cache_state
