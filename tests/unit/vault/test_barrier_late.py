"""Tests of the barrier: what is stored after it was told, and counted after it was done."""

from typing import Any

import pytest

from tests.unit.vault.conftest import NOW, ROOT_KEY, Vault
from vault.barrier import VaultTx
from vault.crypto import kek_uses
from vault.errors import ConflictError, TamperedError, UnavailableError
from vault.model.records import SystemRow
from vault.store.tables import SYSTEM


async def test_a_rotation_that_is_stored_late_is_followed(vault: Vault) -> None:
    """One that was told as timed out and stored long after seals what is written next."""
    later = vault.keyring.rotate(NOW)
    row = SystemRow(name="keyring", value=later.encode(ROOT_KEY))
    await vault.store.commit(lambda tx: tx.put(SYSTEM, row))
    assert vault.barrier.is_stale
    assert (await vault.put()).kek_generation == 2
    assert not vault.barrier.is_stale
    assert vault.barrier.epoch == later.epoch


async def test_a_rotation_never_replaces_a_later_one(vault: Vault) -> None:
    """What was sealed under the generation of one that came in between would be lost."""
    commit, row = vault.store.commit, SystemRow(
        name="keyring", value=vault.keyring.rotate(NOW).encode(ROOT_KEY)
    )  # fmt: skip

    async def overtaken(change: Any) -> Any:
        vault.store.commit = commit  # type: ignore[method-assign]  # once
        await commit(lambda tx: tx.put(SYSTEM, row))
        return await commit(change)

    vault.store.commit = overtaken  # type: ignore[method-assign,assignment]  # as a late one would
    with pytest.raises(ConflictError, match="keyring_changed"):
        await vault.barrier.rotate()
    assert await vault.store.get(SYSTEM, "keyring") == row
    assert await vault.barrier.rotate() == 3


async def test_a_keyring_of_another_key_is_not_followed(vault: Vault) -> None:
    """Nothing is sealed then: somebody else wrote the row."""
    row = SystemRow(name="keyring", value=vault.keyring.rotate(NOW).encode(bytes(32)))
    await vault.store.commit(lambda tx: tx.put(SYSTEM, row))
    with pytest.raises(TamperedError):
        await vault.put()


async def test_what_is_committed_is_told_as_committed(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uses that a batch has made more of are reserved before the next seal, not instead of it."""
    monkeypatch.setattr(kek_uses, "BLOCK", block := 1000)
    commit, failing = vault.store.commit, [False]

    def many(tx: VaultTx) -> str:
        for number in range(1, block + 10):
            tx.seal("i", number, b"1")
        failing[0] = True
        return "done"

    async def full(change: Any) -> Any:
        if failing[0]:
            raise UnavailableError("store_full", "full", outcome="none")
        return await commit(change)

    vault.store.commit = full  # type: ignore[method-assign,assignment]  # full from there on
    assert await vault.barrier.transact(many, max_encryptions=1) == "done"
    with pytest.raises(UnavailableError, match="store_full"):
        await vault.put()
    failing[0] = False
    await vault.put()
    assert await vault.reserved() == 2 * block + 9, "a block for all that is owed"
    assert vault.barrier.keyring_state.uses == block + 10
