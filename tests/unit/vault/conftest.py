"""An open barrier over what it does not believe."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from actors.testing import FakeWorld
from vault.barrier import Barrier, HmacRowGuard, VaultTx
from vault.crypto.keyring import Keyring
from vault.model.records import SecretRow, VersionRow
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.tables import SECRETS, SYSTEM, VERSIONS

NOW = 1_800_000_000 * 10**9
ROOT_KEY = bytes(range(32))


@dataclass
class Vault:
    """A barrier, and what lies below it."""

    barrier: Barrier
    store: Store
    keyring: Keyring
    world: FakeWorld
    backend: MemoryBackend

    async def put(self, value: bytes = b'"v"', secret_id: str = "i", number: int = 1) -> VersionRow:
        """A sealed version."""

        def change(tx: VaultTx) -> VersionRow:
            wrapped, box, generation = tx.seal(secret_id, number, value)
            row = VersionRow(
                secret_id=secret_id, version=number, wrapped_dek=wrapped, box=box,
                kek_generation=generation, created_at=NOW, created_by="x",
            )  # fmt: skip
            if tx.get(SECRETS, f"s/{secret_id}") is None:
                tx.put(SECRETS, head(secret_id))
            tx.put(VERSIONS, row)
            return row

        return await self.barrier.transact(change, max_encryptions=1)

    async def reserved(self) -> int:
        """The stored reservation of uses of the first key."""
        row = await self.store.get(SYSTEM, "kek-uses/1")
        return 0 if row is None else int.from_bytes(row.value)


def head(secret_id: str) -> SecretRow:
    """Of a secret."""
    name = f"s/{secret_id}"
    return SecretRow(name=name, id=secret_id, created_at=NOW, updated_at=NOW, created_by="x")


@pytest.fixture
async def vault() -> AsyncIterator[Vault]:
    """An open, empty one."""
    keyring, world, backend = Keyring.create(NOW, org="o", vault="v"), FakeWorld(), MemoryBackend()
    async with open_store(backend, HmacRowGuard(keyring), world) as store:
        barrier = Barrier(store, keyring, ROOT_KEY, world)
        await barrier.load_use_counter()
        yield Vault(barrier, store, keyring, world, backend)
