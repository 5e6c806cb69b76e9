"""Another version of the provider's key wraps the root key, or nothing has changed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import msgspec
import pytest

from actors.testing import FakeWorld
from tests.support.key_providers import MemoryKeyProvider
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError, TamperedError, UnavailableError, ValidationError
from vault.model.records import SystemRow
from vault.seal.manager import SEAL_ROW, wrap_root_key
from vault.seal.root_key_operations import RootKeyOperations
from vault.seal.root_keys.provider import KeyProviderError, wrap_context
from vault.seal.seal_record import SealRecord
from vault.store.interface import NOTHING_STORED, BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.tables import SYSTEM

ROOT_KEY = bytes(range(32))


class Failing(MemoryBackend):
    """Stores nothing once it is told to fail."""

    fails = False

    def write(self, apply: Callable[..., Any]) -> None:
        """Unless it fails."""
        if self.fails:
            raise BackendError("store_unavailable", "away", NOTHING_STORED)
        super().write(apply)


class Vault:
    """An open vault whose root key a provider wraps."""

    def __init__(self) -> None:
        self.backend, self.world, self.provider = Failing(), FakeWorld(), MemoryKeyProvider()
        self.store: Store

    @asynccontextmanager
    async def unsealed(self) -> AsyncIterator[RootKeyOperations]:
        """For the length of the block."""
        keyring = Keyring.create(self.world.now(), org="o", vault="v")
        record = SealRecord(type="memory", shares=1, threshold=1, org="o", vault="v", created_at=1)
        wrapped = await wrap_root_key(self.provider, ROOT_KEY, "o", "v")
        rows = {
            SEAL_ROW: record.with_wrapping(wrapped).authenticate(ROOT_KEY).encode(),
            KEYRING_ROW: keyring.encode(ROOT_KEY),
        }
        async with open_store(self.backend, HmacRowGuard(keyring), self.world) as self.store:
            for name, value in rows.items():
                await self.put(name, value)
            barrier = Barrier(self.store, keyring, ROOT_KEY, self.world)
            await barrier.load_use_counter()
            yield RootKeyOperations(
                barrier, None, self.world, mint_root_token=_never, suspend_peers=_nobody,
                on_rekeyed=_nothing, request_seal=lambda: None, key_provider=self.provider,
            )  # fmt: skip

    async def put(self, name: str, value: bytes) -> None:
        """One row of the system table."""
        await self.store.commit(lambda tx: tx.put(SYSTEM, SystemRow(name=name, value=value)))

    async def record(self) -> SealRecord:
        """As it is stored."""
        row = await self.store.get(SYSTEM, SEAL_ROW)
        assert row is not None
        return msgspec.json.decode(row.value, type=SealRecord)

    async def unwraps_by(self) -> str:
        """The version by which the provider unwraps what is stored."""
        (wrapped,) = (await self.record()).wrappings
        assert await self.provider.unwrap(wrapped, wrap_context("o", "v")) == ROOT_KEY
        return wrapped.version


async def _never() -> NoReturn:
    raise AssertionError


async def _nothing() -> None:
    """The seal manager reads the record again."""


@asynccontextmanager
async def _nobody() -> AsyncIterator[NoReturn]:
    raise AssertionError
    yield


@pytest.fixture
def vault() -> Vault:
    """With one version of its key."""
    return Vault()


async def test_the_newest_version_wraps(vault: Vault) -> None:
    """The record is authenticated anew; where there is nothing newer, it is told."""
    async with vault.unsealed() as root_key:
        with pytest.raises(ConflictError, match="root_key_version_current"):
            await root_key.rotate_wrapping()
        await vault.provider.create_version()
        told = await root_key.rotate_wrapping()
        assert (told.previous_version, told.version) == ("1", "2")
        assert await vault.unwraps_by() == "2"
        (await vault.record()).check(ROOT_KEY)
        vault.provider.creates_keys = True
        assert (await root_key.rotate_wrapping()).version == "3"


async def test_what_fails_leaves_the_former_wrapping_in_force(vault: Vault) -> None:
    """A provider that is away, a device that is broken, a database that stores nothing."""
    async with vault.unsealed() as root_key:
        await vault.provider.create_version()
        vault.provider.error = KeyProviderError("key_provider_unreachable", "connect it")
        with pytest.raises(KeyProviderError):
            await root_key.rotate_wrapping()
        vault.provider.error = None
        vault.backend.fails = True
        with pytest.raises(UnavailableError, match="store_unavailable"):
            await root_key.rotate_wrapping()
        vault.backend.fails = False
        assert await vault.unwraps_by() == "1"


async def test_a_record_that_somebody_else_wrote_is_not_built_upon(vault: Vault) -> None:
    """Nor are recovery shares believed by it."""
    async with vault.unsealed() as root_key:
        await vault.provider.create_version()
        altered = msgspec.structs.replace(await vault.record(), recovery=bytes(32))
        await vault.put(SEAL_ROW, altered.encode())
        with pytest.raises(TamperedError, match="seal_tampered"):
            await root_key.rotate_wrapping()
        with pytest.raises(TamperedError, match="seal_tampered"):
            await root_key.start_rekey(1, 1, require_verification=False, recovery=True)


async def test_only_the_recovery_key_is_shared_anew(vault: Vault) -> None:
    """Nobody has shares of the root key."""
    async with vault.unsealed() as root_key:
        with pytest.raises(ValidationError, match="rekey_unsupported"):
            await root_key.start_rekey(1, 1, require_verification=False)
        assert (await root_key.start_rekey(3, 2, require_verification=False, recovery=True)).started
