"""Another version of a provider's key wraps the root key, or nothing has changed."""

import msgspec
import pytest

from tests.support.key_providers import MemoryKeyProvider
from tests.unit.vault.wrapped_vault import ROOT_KEY, WrappedVault
from vault.errors import ConflictError, TamperedError, UnavailableError, ValidationError
from vault.seal.manager import SEAL_ROW
from vault.seal.root_keys.provider import KeyProviderError

DOWN = KeyProviderError("key_provider_unreachable", "connect it")


@pytest.fixture
def provider() -> MemoryKeyProvider:
    """With one version of its key."""
    return MemoryKeyProvider()


@pytest.fixture
def vault(provider: MemoryKeyProvider) -> WrappedVault:
    """Wrapped by that."""
    return WrappedVault(provider)


async def test_the_newest_version_wraps(vault: WrappedVault, provider: MemoryKeyProvider) -> None:
    """The record is authenticated anew; where there is nothing newer, it is told."""
    async with vault.unsealed() as root_key:
        with pytest.raises(ConflictError, match="root_key_version_current"):
            await root_key.rotate_wrapping()
        await provider.create_version()
        told = await root_key.rotate_wrapping()
        assert (told.previous_version, told.version) == ("1", "2")
        assert await vault.versions() == {"memory": "2"}
        provider.creates_keys = True
        assert (await root_key.rotate_wrapping()).version == "3"


async def test_what_fails_leaves_the_former_wrapping_in_force(
    vault: WrappedVault, provider: MemoryKeyProvider
) -> None:
    """A provider that is away, a device that is broken, a database that stores nothing."""
    async with vault.unsealed() as root_key:
        await provider.create_version()
        provider.error = DOWN
        with pytest.raises(KeyProviderError):
            await root_key.rotate_wrapping()
        provider.error = None
        vault.backend.fails = True
        with pytest.raises(UnavailableError, match="store_unavailable"):
            await root_key.rotate_wrapping()
        vault.backend.fails = False
        assert await vault.versions() == {"memory": "1"}


async def test_a_record_that_somebody_else_wrote_is_not_built_upon(
    vault: WrappedVault, provider: MemoryKeyProvider
) -> None:
    """Nor are recovery shares believed by it."""
    async with vault.unsealed() as root_key:
        await provider.create_version()
        altered = msgspec.structs.replace(await vault.record(), recovery=bytes(32))
        await vault.put(SEAL_ROW, altered.encode())
        with pytest.raises(TamperedError, match="seal_tampered"):
            await root_key.rotate_wrapping()
        with pytest.raises(TamperedError, match="seal_tampered"):
            await root_key.start_rekey(1, 1, require_verification=False, recovery=True)


async def test_only_the_recovery_key_is_shared_anew(
    vault: WrappedVault, provider: MemoryKeyProvider
) -> None:
    """Nobody has shares of the root key."""
    async with vault.unsealed() as root_key:
        with pytest.raises(ValidationError, match="rekey_unsupported"):
            await root_key.start_rekey(1, 1, require_verification=False)
        assert (await root_key.start_rekey(3, 2, require_verification=False, recovery=True)).started


async def test_several_providers_are_rotated_at_once() -> None:
    """Those that are away keep their version, are named, and follow once they are back."""
    one, two, away = (MemoryKeyProvider(name=name) for name in ("one", "two", "away"))
    vault = WrappedVault(one, two, away)
    async with vault.unsealed() as root_key:
        for each in (one, two, away):
            await each.create_version()
        away.error = DOWN
        told = await root_key.rotate_wrapping()
        assert (told.provider, told.version) == ("one", "2")
        assert [(each.provider, each.version) for each in told.others] == [("two", "2")]
        assert told.skipped == ("away",)
        away.error = None
        assert await vault.versions() == {"one": "2", "two": "2", "away": "1"}
        assert await root_key.needs_renewal()
        assert (await root_key.renew_wrappings()).wrapped == ("away",)
        assert await vault.versions() == {"one": "2", "two": "2", "away": "2"}
        assert not await root_key.needs_renewal()
        await two.create_version()
        assert (await root_key.rotate_wrapping()).provider == "two"


async def test_the_root_key_itself_is_replaced() -> None:
    """The recovery key stays. A provider that is away wraps the new one once it is back."""
    one, away = MemoryKeyProvider(name="one"), MemoryKeyProvider(name="away")
    vault = WrappedVault(one, away)
    async with vault.unsealed() as root_key:
        before = await vault.record()
        away.error = DOWN
        told = await root_key.rotate_wrapping(new_root_key=True)
        assert (told.provider, told.version, told.skipped) == ("one", "1", ("away",))
        assert not await vault.opens(ROOT_KEY)
        assert vault.root_keys[-1] == vault.barrier.root_key != ROOT_KEY
        assert await vault.opens(vault.barrier.root_key)
        assert await vault.versions() == {"one": "1"}
        assert (await vault.record()).recovery == before.recovery
        away.error = None
        assert (await root_key.renew_wrappings()).wrapped == ("away",)
        assert await vault.versions() == {"one": "1", "away": "1"}
        one.error = away.error = DOWN
        now = vault.barrier.root_key
        with pytest.raises(KeyProviderError, match="unreachable"):
            await root_key.rotate_wrapping(new_root_key=True)
        assert await vault.opens(now)


async def test_no_other_node_is_left_without_its_provider() -> None:
    """A token in another machine cannot wrap a new root key here."""
    one, other = MemoryKeyProvider(name="one"), MemoryKeyProvider(name="other")
    vault = WrappedVault(one, other)
    async with vault.unsealed() as root_key:
        await vault.add_node("n2")
        await vault.operations("n2", vault.seals(other)).renew_wrappings()
        here = vault.operations("n1", vault.seals(one))
        with pytest.raises(ConflictError, match="key_provider_elsewhere"):
            await here.rotate_wrapping(new_root_key=True)
        assert await vault.opens(ROOT_KEY)
        assert (await root_key.rotate_wrapping(new_root_key=True)).provider == "one"


async def test_all_providers_are_away() -> None:
    """Then nothing is rotated, and nothing is marked."""
    providers = [MemoryKeyProvider(name=name) for name in ("one", "two")]
    vault = WrappedVault(*providers)
    async with vault.unsealed() as root_key:
        before = await vault.record()
        for each in providers:
            each.error = DOWN
        with pytest.raises(KeyProviderError, match="unreachable"):
            await root_key.rotate_wrapping()
        assert await vault.record() == before
