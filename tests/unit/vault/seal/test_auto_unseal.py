"""A vault that a key provider unseals: init, recovery shares, and a provider that fails."""

import json
from base64 import b64encode

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.key_providers import MemoryKeyProvider
from tests.unit.vault.gatehouse import Vault
from vault.crypto.random import random_bytes
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.seal.auto_unseal import INIT_INTERVAL, LAST_RETRY, run_auto_unseal
from vault.seal.key_providers import wrap_root_key
from vault.seal.root_keys.provider import KeyProviderError, WrappedKey
from vault.seal.seal_record import SealRecord, recovery_verifier

DOWN = KeyProviderError("key_provider_unreachable", "connect /dev/hsm")


@pytest.fixture
def provider() -> MemoryKeyProvider:
    """With one version of its key."""
    return MemoryKeyProvider()


@pytest.fixture
def vault(nursery: trio.Nursery, provider: MemoryKeyProvider) -> Vault:
    """Not made yet."""
    return Vault(nursery, None, provider)


async def test_init_answers_with_recovery_shares_and_unseals_alone(vault: Vault) -> None:
    """They are no shares of the root key, and nothing that is stored tells either."""
    made = await vault.init()
    assert (made.shares, len(made.recovery_shares)) == ((), 3)
    status = vault.seal_manager.status()
    assert (status.type, status.recovery_seal) == ("memory", True)
    assert (status.shares, status.threshold) == (3, 2)
    assert await vault.seal_manager.auto_unseal()
    assert vault.fake_core.by_person == [False]
    stored = vault.system.rows["seal"]
    assert not any(share in stored for share in made.recovery_shares)


async def test_a_key_is_made_only_where_the_agent_may(nursery: trio.Nursery) -> None:
    """Otherwise nothing is: the administrator of the provider makes it first."""
    for creates, versions in ((False, 0), (True, 1)):
        provider = MemoryKeyProvider(0, creates_keys=creates)
        vault = Vault(nursery, None, provider)
        if creates:
            await vault.init()
        else:
            with pytest.raises(KeyProviderError, match="key_missing"):
                await vault.init()
            assert vault.system.rows == {}
        assert len(provider.keys) == versions


async def test_no_vault_is_made_that_its_provider_would_not_unseal(
    vault: Vault, provider: MemoryKeyProvider
) -> None:
    """What it has wrapped is unwrapped once before anything is stored."""

    async def unwrap(_wrapped: WrappedKey, _context: bytes) -> bytes:
        return bytes(32)

    provider.unwrap = unwrap  # type: ignore[method-assign]  # a device that is broken
    with pytest.raises(KeyProviderError, match="key_provider_failed"):
        await vault.init()
    assert vault.system.rows == {}


async def test_a_seal_that_was_ordered_is_ended_by_recovery_shares(
    vault: Vault, provider: MemoryKeyProvider
) -> None:
    """Wrong ones do not even reach the provider: anybody may offer them."""
    made = await vault.init()
    calls = len(provider.calls)
    for share in (bytes(32) + b"\1", bytes(32) + b"\2"):
        if share[-1] == 1:
            await vault.seal_manager.unseal(share)
        else:
            with pytest.raises(ValidationError, match="unseal_failed"):
                await vault.seal_manager.unseal(share)
    assert len(provider.calls) == calls
    for share in made.recovery_shares[1:]:
        status = await vault.seal_manager.unseal(share)
    assert not status.sealed
    assert vault.fake_core.by_person == [True]


async def test_a_recovery_key_that_somebody_wrote_into_the_database_opens_nothing(
    vault: Vault,
) -> None:
    """The record is authenticated by the root key that it wraps."""
    await vault.init()
    record = json.loads(vault.system.rows["seal"])
    own = bytes(range(32))
    verifier = recovery_verifier(own, record["org"], record["vault"])
    record |= {"shares": 1, "threshold": 1, "recovery": b64encode(verifier).decode()}
    vault.system.rows["seal"] = json.dumps(record).encode()
    await vault.seal_manager.reload()
    with pytest.raises(TamperedError, match="seal_tampered"):
        await vault.seal_manager.unseal(own)
    assert vault.fake_core.keyrings == []


async def test_another_seal_than_the_vaults(vault: Vault, nursery: trio.Nursery) -> None:
    """It is told which one the vault has."""
    made = await vault.init()
    other = vault.make()
    nursery.start_soon(other.run_until_cancelled)
    await other.reload()
    with pytest.raises(UnavailableError, match=r"memory \(memory\)"):
        await other.unseal(made.recovery_shares[0])


async def test_a_provider_that_is_down_is_tried_again_and_told_of(
    vault: Vault, provider: MemoryKeyProvider, nursery: trio.Nursery
) -> None:
    """Since when, and which; never what only the log may say. It is opened once it answers."""
    await vault.init()
    provider.error = DOWN
    began = vault.world.now()
    await nursery.start(run_auto_unseal, vault.seal_manager, vault.world)
    for _ in range(8):
        await wait_all_tasks_blocked()
        vault.world.advance(LAST_RETRY)
    await wait_all_tasks_blocked()
    assert provider.calls.count("unwrap") >= 9
    (trouble,) = vault.seal_manager.provider_troubles
    assert trouble.since == began
    waiting = vault.seal_manager.status().waiting
    assert all(word in waiting for word in ("memory", "key_provider_unreachable", "since 20"))
    assert "/dev/hsm" not in waiting
    provider.error = None
    vault.world.advance(LAST_RETRY)
    await wait_all_tasks_blocked()
    assert vault.seal_manager.is_open
    assert vault.seal_manager.status().waiting == ""


async def test_an_open_vault_goes_on_without_its_provider(
    vault: Vault, provider: MemoryKeyProvider, nursery: trio.Nursery
) -> None:
    """That it fails is noticed all the same, and that it answers again."""
    await vault.init()
    await nursery.start(run_auto_unseal, vault.seal_manager, vault.world)
    for error in (DOWN, None):
        provider.error = error
        await wait_all_tasks_blocked()
        vault.world.advance(LAST_RETRY)
        await wait_all_tasks_blocked()
        assert vault.seal_manager.is_open
        assert bool(vault.seal_manager.provider_troubles) is (error is not None)
    await provider.create_version()  # which has wrapped nothing
    del provider.keys["1"]
    vault.world.advance(LAST_RETRY)
    await wait_all_tasks_blocked()
    (trouble,) = vault.seal_manager.provider_troubles
    assert trouble.error.code == "key_provider_version_missing"


@pytest.mark.parametrize("once_back", [False, True])
async def test_a_wrong_pin_is_not_tried_again(
    vault: Vault, provider: MemoryKeyProvider, nursery: trio.Nursery, *, once_back: bool
) -> None:
    """Tokens lock after a few. Nor is one that is wrong once the provider is back."""
    await vault.init()
    wrong = KeyProviderError("key_provider_pin_wrong", "correct it")
    provider.error = DOWN if once_back else wrong
    before = provider.calls.count("unwrap")
    await nursery.start(run_auto_unseal, vault.seal_manager, vault.world)
    provider.error = wrong
    for _ in range(5):
        await wait_all_tasks_blocked()
        vault.world.advance(LAST_RETRY)
    assert provider.calls.count("unwrap") == before + 1 + once_back
    assert "pin_wrong" in vault.seal_manager.status().waiting


async def test_a_vault_that_another_agent_makes_is_opened_here_too(
    vault: Vault, provider: MemoryKeyProvider, nursery: trio.Nursery
) -> None:
    """Within seconds."""
    other = vault.make(None, provider)
    await nursery.start(other.run_until_cancelled)
    await nursery.start(run_auto_unseal, other, vault.world)
    await vault.init()
    await wait_all_tasks_blocked()
    vault.world.advance(INIT_INTERVAL)
    await wait_all_tasks_blocked()
    assert other.is_open


async def test_what_takes_a_person_is_not_tried_again(
    vault: Vault, provider: MemoryKeyProvider, nursery: trio.Nursery
) -> None:
    """A seal that was ordered lasts."""
    await vault.init()
    vault.fake_core.refuse = UnavailableError("sealed_on_order", "somebody has sealed it")
    await nursery.start(run_auto_unseal, vault.seal_manager, vault.world)
    before = provider.calls.count("unwrap")
    for _ in range(3):
        await wait_all_tasks_blocked()
        vault.world.advance(LAST_RETRY)
    assert provider.calls.count("unwrap") == before
    assert not vault.seal_manager.is_open


async def test_a_root_key_that_another_agent_has_changed_is_followed(
    vault: Vault, provider: MemoryKeyProvider, nursery: trio.Nursery
) -> None:
    """It seals itself and opens anew, though what it stores at the end takes the former key."""
    await vault.init()
    await nursery.start(run_auto_unseal, vault.seal_manager, vault.world)
    record = json.loads(vault.system.rows["seal"])
    root_key = random_bytes(32)
    keyring = vault.fake_core.keyrings[0]
    wrapped = await wrap_root_key(provider, root_key, record["org"], record["vault"])
    stored = msgspec.json.decode(vault.system.rows["seal"], type=SealRecord)
    vault.system.rows["seal"] = stored.with_wrapping(wrapped).authenticate(root_key).encode()
    vault.system.rows["keyring"] = keyring.at_epoch(keyring.epoch + 1).encode(root_key)
    changed = UnavailableError("root_key_changed", "another agent has changed it")
    vault.fake_core.end_error = ExceptionGroup("jobs", [ExceptionGroup("stop", [changed])])
    vault.seal_manager.request_reopening()
    await wait_all_tasks_blocked()
    assert vault.seal_manager.is_open
    assert [each.epoch for each in vault.fake_core.keyrings] == [1, 2]
    assert vault.fake_core.by_person == [False, False]
