"""A vault that several key providers unseal: one suffices, and each that fails is told of."""

import json

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.key_providers import MemoryKeyProvider
from tests.unit.vault.gatehouse import Vault
from vault.errors import TamperedError, UnavailableError
from vault.seal.auto_unseal import LAST_RETRY, run_auto_unseal
from vault.seal.key_providers import NEXT_PROVIDER_DELAY
from vault.seal.root_keys.provider import KeyProviderError

FAULTS = [
    KeyProviderError(code, "see to it")
    for code in ("key_provider_unreachable", "key_provider_timeout", "key_provider_pin_wrong")
]


@pytest.fixture
def providers() -> list[MemoryKeyProvider]:
    """In the order in which they are asked."""
    return [MemoryKeyProvider(name=name) for name in ("near", "far")]


@pytest.fixture
def vault(nursery: trio.Nursery, providers: list[MemoryKeyProvider]) -> Vault:
    """Not made yet."""
    return Vault(nursery, None, *providers)


@pytest.mark.parametrize("fault", [*FAULTS, None], ids=lambda each: each.code if each else "junk")
async def test_a_failing_provider_is_skipped_and_reported(
    vault: Vault, providers: list[MemoryKeyProvider], fault: KeyProviderError | None
) -> None:
    """Whatever it is: away, slow, of a wrong PIN, or with an answer that is no root key."""
    await vault.init()
    status = vault.seal_manager.status()
    assert (status.type, status.recovery_seal) == ("multiseal", True)
    near, far = providers
    near.error, near.garbage = fault, b"junk"
    assert await vault.seal_manager.auto_unseal()
    (trouble,) = vault.seal_manager.provider_troubles
    assert trouble.provider == "near"
    assert trouble.error.code == (fault.code if fault else "key_provider_wrong_key")
    told = vault.seal_manager.status()
    assert [(each.name, each.wraps, bool(each.error)) for each in told.key_providers] == [
        ("near", True, True),
        ("far", True, False),
    ]
    assert told.waiting == ""
    near.error = near.garbage = None
    await vault.seal_manager.check_providers()
    assert vault.seal_manager.provider_troubles == ()
    far.garbage = bytes(32)
    await vault.seal_manager.check_providers()
    assert [each.provider for each in vault.seal_manager.provider_troubles] == ["far"]


async def test_the_first_suffices_and_the_others_are_not_asked(
    vault: Vault, providers: list[MemoryKeyProvider]
) -> None:
    """A call costs money and time."""
    await vault.init()
    before = providers[1].calls.count("unwrap")
    assert await vault.seal_manager.auto_unseal()
    assert providers[1].calls.count("unwrap") == before


def troubles(vault: Vault) -> dict[str, str]:
    """Code by provider."""
    return {each.provider: each.error.code for each in vault.seal_manager.provider_troubles}


async def test_a_provider_that_hangs_delays_a_start_by_seconds(
    vault: Vault, providers: list[MemoryKeyProvider], nursery: trio.Nursery
) -> None:
    """The next one is asked meanwhile and opens; the slow one is named until it answers again."""
    await vault.init()
    near, far = providers
    near.answers_after, before = trio.Event(), far.calls.count("unwrap")
    nursery.start_soon(vault.seal_manager.auto_unseal)
    await wait_all_tasks_blocked()
    vault.world.advance(NEXT_PROVIDER_DELAY - 0.1)
    await wait_all_tasks_blocked()
    assert far.calls.count("unwrap") == before
    vault.world.advance(0.1)
    await wait_all_tasks_blocked()
    assert vault.seal_manager.is_open
    assert troubles(vault) == {"near": "key_provider_slow"}
    near.answers_after = None
    await vault.seal_manager.check_providers()
    assert troubles(vault) == {}


@pytest.mark.parametrize("far_fault", [None, FAULTS[0]], ids=["slow", "fails"])
async def test_a_slow_provider_still_opens_when_the_next_has_not(
    vault: Vault,
    providers: list[MemoryKeyProvider],
    nursery: trio.Nursery,
    far_fault: KeyProviderError | None,
) -> None:
    """Whether that one is slow as well, or fails. It is no trouble then."""
    await vault.init()
    near, far = providers
    near.answers_after, far.error = trio.Event(), far_fault
    far.answers_after = None if far_fault else trio.Event()
    nursery.start_soon(vault.seal_manager.auto_unseal)
    await wait_all_tasks_blocked()
    vault.world.advance(NEXT_PROVIDER_DELAY)
    await wait_all_tasks_blocked()
    assert not vault.seal_manager.is_open
    near.answers_after.set()
    await wait_all_tasks_blocked()
    assert vault.seal_manager.is_open
    assert troubles(vault) == {"far": far_fault.code if far_fault else "key_provider_slow"}


async def test_slow_providers_that_all_fail_are_reported_with_their_own_errors(
    vault: Vault, providers: list[MemoryKeyProvider], nursery: trio.Nursery
) -> None:
    """In the order of the configuration, whichever answered first; nothing is open."""
    await vault.init()
    near, far = providers
    near.answers_after = trio.Event()
    near.error, far.error = FAULTS[1], FAULTS[0]
    raised = []

    async def unseal() -> None:
        with pytest.raises(KeyProviderError) as caught:
            await vault.seal_manager.auto_unseal()
        raised.append(caught.value.code)

    nursery.start_soon(unseal)
    await wait_all_tasks_blocked()
    vault.world.advance(NEXT_PROVIDER_DELAY)
    await wait_all_tasks_blocked()
    assert raised == []
    near.answers_after.set()
    await wait_all_tasks_blocked()
    assert raised == [FAULTS[1].code]
    assert troubles(vault) == {"near": FAULTS[1].code, "far": FAULTS[0].code}


async def test_a_vault_is_made_only_when_all_have_wrapped(
    vault: Vault, providers: list[MemoryKeyProvider]
) -> None:
    """Somebody is there who can see to it."""
    providers[1].error = FAULTS[0]
    with pytest.raises(KeyProviderError, match="unreachable"):
        await vault.init()
    assert vault.system.rows == {}


async def test_all_are_away_and_one_comes_back(
    vault: Vault, providers: list[MemoryKeyProvider], nursery: trio.Nursery
) -> None:
    """A wrong PIN at one does not keep the other from being tried again."""
    await vault.init()
    providers[0].error, providers[1].error = FAULTS[2], FAULTS[0]
    await nursery.start(run_auto_unseal, vault.seal_manager, vault.world)
    waiting = vault.seal_manager.status().waiting
    assert "near" in waiting
    assert "far" in waiting
    providers[1].error = None
    await wait_all_tasks_blocked()
    vault.world.advance(LAST_RETRY)
    await wait_all_tasks_blocked()
    assert vault.seal_manager.is_open


async def test_a_root_key_of_each_that_opens_nothing_is_a_damaged_keyring(
    vault: Vault, providers: list[MemoryKeyProvider]
) -> None:
    """With one of them away it may as well be the other's fault, and is tried again."""
    await vault.init()
    providers[0].garbage = providers[1].garbage = bytes(32)
    with pytest.raises(TamperedError, match="keyring_tampered"):
        await vault.seal_manager.auto_unseal()
    providers[1].error = FAULTS[0]
    with pytest.raises(KeyProviderError):
        await vault.seal_manager.auto_unseal()


async def test_providers_that_nobody_knows_open_nothing(
    vault: Vault, nursery: trio.Nursery
) -> None:
    """They are named. With one that is known among them the vault opens."""
    await vault.init()
    other = vault.make(None, MemoryKeyProvider(name="other"))
    nursery.start_soon(other.run_until_cancelled)
    with pytest.raises(UnavailableError, match="near \\(memory\\), far \\(memory\\)"):
        await other.auto_unseal()
    assert not other.is_open


@pytest.mark.parametrize("change", ["drop", "swap", "alter", "add"])
async def test_a_list_of_wrappings_that_somebody_else_wrote_is_refused(
    vault: Vault, change: str
) -> None:
    """Whatever still opens, the record does not count without its tag."""
    await vault.init()
    record = json.loads(vault.system.rows["seal"])
    first, second = record["wrappings"]
    match change:
        case "drop":
            record["wrappings"] = [second]
        case "swap":
            first["ciphertext"], second["ciphertext"] = second["ciphertext"], first["ciphertext"]
            record["wrappings"] = [first, {**second, "ciphertext": second["ciphertext"]}]
        case "alter":
            record["wrappings"] = [{**first, "ciphertext": "AAAA"}, second]
        case _:
            record["wrappings"] = [first, second, {**first, "provider": "own"}]
    vault.system.rows["seal"] = json.dumps(record).encode()
    with pytest.raises((TamperedError, KeyProviderError)):
        await vault.seal_manager.auto_unseal()
    assert vault.fake_core.keyrings == []
