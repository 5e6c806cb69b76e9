"""The agent itself: seal it, rotate its key-encryption key, look at its actors and its cache."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from actors.tree import Node
from vault import operations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.stores import KeyStore
from vault.model.health import CacheState, KeyStatus
from vault.model.operation import Capability
from vault.model.payloads import Nothing, RewrapDataKeys
from vault.model.results import RewrapStep


@dataclass(frozen=True)
class SystemHandlers:
    """The handlers of `sys.*`."""

    keys: KeyStore
    request_seal: Callable[[], None]
    record_seal: Callable[[], Awaitable[None]]
    tree: Callable[[], Node]
    rewrapper: KeyRewrapper

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.SEAL,
                run=self.seal,
                capability=Capability.SUDO,
                mutates=True,
                only_restricts=True,
                before_intent=self.request_seal,
            ),
            Handler(
                operations.ROTATE_KEY, run=self.rotate, capability=Capability.SUDO, mutates=True
            ),
            Handler(
                operations.REWRAP_DATA_KEYS,
                run=self.rewrap,
                capability=Capability.SUDO,
                mutates=True,
            ),
            Handler(
                operations.RETIRE_KEYS,
                run=self.retire_keys,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda retired: {"generations": retired},
            ),
            Handler(operations.READ_KEY_STATUS, run=self.key_status, capability=Capability.READ),
            Handler(operations.READ_ACTORS, run=self.actors, capability=Capability.READ),
            Handler(operations.READ_CACHE, run=self.cache, capability=Capability.READ),
        )

    async def seal(self, _: Call[Nothing]) -> None:
        """Seal the vault: it happens when this and the other operations in flight are done.

        Nothing new is served any more. A restart does not end it: only a person does.
        """
        await self.record_seal()

    async def rotate(self, _: Call[Nothing]) -> int:
        """Make a new KEK generation; values keep theirs until they are rewrapped."""
        return await self.keys.rotate()

    async def rewrap(self, call: Call[RewrapDataKeys | Nothing]) -> RewrapStep:
        """Put the data keys of some more versions under the active KEK."""
        payload = call.payload
        again = isinstance(payload, RewrapDataKeys) and payload.again
        return await self.rewrapper.rewrap_next(again=again)

    async def retire_keys(self, _: Call[Nothing]) -> list[int]:
        """Forget the KEKs of older generations, which nothing is under any more."""
        return await self.rewrapper.retire_old_keys()

    async def key_status(self, _: Call[Nothing]) -> KeyStatus:
        """What may be told of the keyring, and whether versions may be under older keys."""
        behind = await self.rewrapper.has_old_keys()
        return KeyStatus(keyring=self.keys.state, rewrapped=not behind)

    async def actors(self, _: Call[Nothing]) -> Node:
        """Every actor with its mailbox depth, restarts and time per message."""
        return self.tree()

    async def cache(self, _: Call[Nothing]) -> CacheState:
        """How the cache of sealed rows is set, and how it does."""
        return self.keys.cache_state
