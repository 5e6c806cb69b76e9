"""An open vault in memory, as far as its root key goes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import msgspec

from actors.testing import FakeWorld
from tests.support.key_providers import MemoryKeyProvider
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard
from vault.crypto.errors import CryptoError
from vault.crypto.keyring import Keyring
from vault.model.records import NodeRow, SystemRow
from vault.seal.configured_seal import ConfiguredSeal, ConfiguredSeals
from vault.seal.key_providers import KeyProviders, wrap_root_key
from vault.seal.manager import SEAL_ROW
from vault.seal.root_key_operations import RootKeyOperations
from vault.seal.root_keys.provider import wrap_context
from vault.seal.seal_record import SealRecord, recovery_verifier
from vault.store.interface import NOTHING_STORED, BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.tables import NODES, SYSTEM

ROOT_KEY = bytes(range(32))
RECOVERY_KEY = bytes(range(32, 64))


class Failing(MemoryBackend):
    """Stores nothing once it is told to fail."""

    fails = False

    def write(self, apply: Callable[..., Any]) -> None:
        """Unless it fails."""
        if self.fails:
            raise BackendError("store_unavailable", "away", NOTHING_STORED)
        super().write(apply)


class WrappedVault:
    """Its root key is wrapped by each of `providers` that answers, or else in one share."""

    def __init__(self, *providers: MemoryKeyProvider) -> None:
        self.backend, self.world = Failing(), FakeWorld()
        self.providers = providers
        self.store: Store
        self.barrier: Barrier
        self.root_keys = [ROOT_KEY]
        """Those that came into force, for the other processes of the agent."""
        self.reopenings = 0

    @asynccontextmanager
    async def unsealed(
        self, seals: ConfiguredSeals | None = None
    ) -> AsyncIterator[RootKeyOperations]:
        """For the length of the block."""
        keyring = Keyring.create(self.world.now(), org="o", vault="v")
        record = SealRecord(type="shamir", shares=1, threshold=1, org="o", vault="v", created_at=1)
        for provider in self.providers:
            if provider.error is None:
                wrapped = await wrap_root_key(provider, ROOT_KEY, "o", "v")
                record = record.with_wrapping(wrapped)
        if record.is_wrapped:
            verifier = recovery_verifier(RECOVERY_KEY, "o", "v")
            record = msgspec.structs.replace(record, recovery=verifier).authenticate(ROOT_KEY)
        rows = {SEAL_ROW: record.encode(), KEYRING_ROW: keyring.encode(ROOT_KEY)}
        async with open_store(self.backend, HmacRowGuard(keyring), self.world) as self.store:
            for name, value in rows.items():
                await self.put(name, value)
            await self.add_node("n1")
            self.barrier = Barrier(self.store, keyring, ROOT_KEY, self.world)
            await self.barrier.load_use_counter()
            yield self.operations("n1", seals or self.seals(*self.providers))

    def operations(self, node: str, seals: ConfiguredSeals) -> RootKeyOperations:
        """Of an agent that has the vault open."""
        return RootKeyOperations(
            self.barrier, seals, self.world, node=node, mint_root_token=_never,
            suspend_peers=self._suspend, on_rekeyed=_nothing, request_reopening=self._reopen,
        )  # fmt: skip

    def seals(
        self, *providers: MemoryKeyProvider, former: ConfiguredSeal | None = None
    ) -> ConfiguredSeals:
        """A configuration that names these providers; none: shares."""
        return ConfiguredSeals(self.seal(*providers), former)

    def seal(self, *providers: MemoryKeyProvider) -> ConfiguredSeal:
        """The same, of one seal."""
        return ConfiguredSeal(None, KeyProviders(providers, self.world) if providers else None)

    async def add_node(self, node: str) -> None:
        """An agent that has the database in common."""
        await self.store.commit(lambda tx: tx.put(NODES, NodeRow(id=node)))

    async def forget_node(self, node: str) -> None:
        """It is gone for good."""
        await self.store.commit(lambda tx: tx.delete(NODES, node))

    async def put(self, name: str, value: bytes) -> None:
        """One row of the system table."""
        await self.store.commit(lambda tx: tx.put(SYSTEM, SystemRow(name=name, value=value)))

    async def record(self) -> SealRecord:
        """As it is stored; authenticated by the root key in force."""
        row = await self.store.get(SYSTEM, SEAL_ROW)
        assert row is not None
        return msgspec.json.decode(row.value, type=SealRecord)

    async def versions(self) -> dict[str, str]:
        """By provider the version of the key by which it unwraps what is stored now."""
        record = await self.record()
        record.check(self.barrier.root_key)
        named = {each.name: each for each in self.providers}
        for wrapped in record.wrappings:
            found = await named[wrapped.provider].unwrap(wrapped, wrap_context("o", "v"))
            assert found == self.barrier.root_key
        return {each.provider: each.version for each in record.wrappings}

    async def opens(self, root_key: bytes) -> bool:
        """Whether this one opens the stored keyring."""
        row = await self.store.get(SYSTEM, KEYRING_ROW)
        assert row is not None
        try:
            Keyring.decode(root_key, row.value, org="o", vault="v")
        except CryptoError:
            return False
        return True

    @asynccontextmanager
    async def _suspend(self) -> AsyncIterator[Callable[[bytes, int], None]]:
        yield lambda root_key, _: self.root_keys.append(root_key)

    def _reopen(self) -> None:
        self.reopenings += 1


async def _never() -> NoReturn:
    raise AssertionError


async def _nothing() -> None:
    """The seal manager reads the record again."""
