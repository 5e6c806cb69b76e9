"""The first rows of a vault: all or none, readable while sealed; and the clock that is kept."""

from typing import NoReturn

import pytest

from actors.testing import FakeWorld
from vault.barrier import HmacRowGuard
from vault.crypto import credentials
from vault.crypto.hmac import HmacKey
from vault.crypto.keyring import Keyring
from vault.model.records import SystemRow
from vault.seal.bootstrap import BackendSystemTable
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.store.tables import TOKENS

NOW = 1_800_000_000 * 10**9


def opened() -> MemoryBackend:
    """An empty database."""
    backend = MemoryBackend()
    backend.open()
    return backend


async def test_a_new_vault_has_its_rows_and_its_root_token() -> None:
    """What `create` wrote is read back by `load`, and the token authenticates by its text."""
    backend, keyring = opened(), Keyring.create(NOW, org="o", vault="v")
    genesis = BackendSystemTable(backend, FakeWorld())
    rows = [SystemRow(name="seal", value=b"s"), SystemRow(name="keyring", value=b"k")]
    text = await genesis.create_vault(keyring, rows, None)
    assert await genesis.load_rows() == {"seal": b"s", "keyring": b"k"}
    located = credentials.locate_credential(HmacKey(keyring.pepper), text)
    async with open_store(backend, HmacRowGuard(keyring), FakeWorld()) as store:
        row = await store.get(TOKENS, located.id)
    assert row is not None
    assert credentials.matches_stored_hash(located, row.secret_hash)
    assert row.policies == ["root"]
    assert not row.renewable
    assert text not in repr(row)


async def test_a_chosen_root_token_is_kept_as_a_hash() -> None:
    """Development may choose the text; the database still holds only its keyed hash."""
    backend, keyring = opened(), Keyring.create(NOW, org="o", vault="v")
    assert (
        await BackendSystemTable(backend, FakeWorld()).create_vault(keyring, [], "root") == "root"
    )
    located = credentials.locate_credential(HmacKey(keyring.pepper), "root")
    async with open_store(backend, HmacRowGuard(keyring), FakeWorld()) as store:
        row = await store.get(TOKENS, located.id)
    assert row is not None
    assert credentials.matches_stored_hash(located, row.secret_hash)


async def test_nothing_is_left_of_a_creation_that_failed() -> None:
    """The rows and the token are one transaction: none is there when one cannot be."""
    backend, keyring = opened(), Keyring.create(NOW, org="o", vault="v")
    genesis = BackendSystemTable(backend, FakeWorld())
    too_long = SystemRow(name="x" * 10_000, value=b"")
    with pytest.raises(Exception, match=r"row_invalid|hold"):
        await genesis.create_vault(keyring, [SystemRow(name="seal", value=b"s"), too_long], None)
    assert await genesis.load_rows() == {}


class Gone(MemoryBackend):
    """A database that cannot be read."""

    def read(self) -> NoReturn:
        """Always."""
        raise BackendError("store_unavailable", "the disk is away")


async def test_a_database_that_is_gone_is_told() -> None:
    """A database that cannot be read is an error, and never looks like a new vault."""
    with pytest.raises(BackendError):
        await BackendSystemTable(Gone(), FakeWorld()).load_rows()
