"""Providers that are added, removed, or were away: their wrappings follow."""

import pytest

from tests.support.key_providers import MemoryKeyProvider
from tests.unit.vault.wrapped_vault import WrappedVault
from vault.errors import ConflictError, TamperedError
from vault.seal.manager import SEAL_ROW
from vault.seal.root_keys.provider import KeyProviderError

DOWN = KeyProviderError("key_provider_unreachable", "connect it")


@pytest.fixture
def one() -> MemoryKeyProvider:
    """Asked first."""
    return MemoryKeyProvider(name="one")


@pytest.fixture
def two() -> MemoryKeyProvider:
    """Asked second."""
    return MemoryKeyProvider(name="two")


async def test_a_provider_that_was_away_or_is_new_wraps_once_it_answers(
    one: MemoryKeyProvider, two: MemoryKeyProvider
) -> None:
    """Nothing is asked for before; and once it has, nothing any more."""
    two.error = DOWN
    vault = WrappedVault(one, two)
    async with vault.unsealed() as root_key:
        assert (await root_key.renew_wrappings()).wrapped == ()
        assert await vault.versions() == {"one": "1"}
        assert not await root_key.needs_renewal()
        two.error = None
        assert await root_key.needs_renewal()
        assert (await root_key.renew_wrappings()).wrapped == ("two",)
        assert await vault.versions() == {"one": "1", "two": "1"}
        assert (await vault.record()).type == "multiseal"
        assert not await root_key.needs_renewal()


async def test_a_removed_provider_is_let_go_once_no_node_has_it_and_another_opens(
    one: MemoryKeyProvider, two: MemoryKeyProvider
) -> None:
    """Each node may have providers of its own, such as a token in its machine."""
    vault = WrappedVault(one, two)
    async with vault.unsealed() as root_key:
        await vault.add_node("n2")
        second = vault.operations("n2", vault.seals(one, two))
        await root_key.renew_wrappings()
        await second.renew_wrappings()
        only_one = vault.seals(one)
        first = vault.operations("n1", only_one)
        assert (await first.renew_wrappings()).removed == ()
        assert set(await vault.versions()) == {"one", "two"}
        second = vault.operations("n2", only_one)
        one.error = DOWN
        assert await second.needs_renewal()
        assert (await second.renew_wrappings()).removed == ()
        one.error = None
        assert (await second.renew_wrappings()).removed == ("two",)
        assert await vault.versions() == {"one": "1"}
        assert (await vault.record()).type == "memory"


async def test_a_node_that_was_forgotten_keeps_no_provider(
    one: MemoryKeyProvider, two: MemoryKeyProvider
) -> None:
    """Its machine is gone, and what was in it."""
    vault = WrappedVault(one, two)
    async with vault.unsealed(None) as _:
        await vault.add_node("n2")
        await vault.operations("n2", vault.seals(two)).renew_wrappings()
        first = vault.operations("n1", vault.seals(one))
        assert (await first.renew_wrappings()).removed == ()
        assert not await first.needs_renewal()
        await vault.forget_node("n2")
        assert await first.needs_renewal()
        assert (await first.renew_wrappings()).removed == ("two",)


async def test_what_gives_another_root_key_keeps_no_removed_provider_from_staying(
    one: MemoryKeyProvider, two: MemoryKeyProvider
) -> None:
    """A provider that answers garbage does not count as one that opens."""
    vault = WrappedVault(one, two)
    async with vault.unsealed() as root_key:
        await root_key.renew_wrappings()
        one.garbage = bytes(32)
        left = vault.operations("n1", vault.seals(one))
        assert (await left.renew_wrappings()).removed == ()
        one.garbage = None
        assert set(await vault.versions()) == {"one", "two"}


async def test_nothing_is_built_upon_a_record_that_somebody_else_wrote(
    one: MemoryKeyProvider, two: MemoryKeyProvider
) -> None:
    """Nor is one overwritten that another node has written meanwhile."""
    vault = WrappedVault(one, two)
    async with vault.unsealed() as root_key:
        record = await vault.record()
        await vault.put(SEAL_ROW, record.with_wrappings(record.wrappings[:1]).encode())
        with pytest.raises(TamperedError, match="seal_tampered"):
            await root_key.renew_wrappings()
        await vault.put(SEAL_ROW, record.encode())
        wrap = two.wrap

        async def wrap_late(*args: bytes) -> object:
            other = vault.operations("n2", vault.seals(one))
            await other.renew_wrappings()
            return await wrap(*args)

        two.wrap = wrap_late  # type: ignore[method-assign]  # another node is quicker
        await two.create_version()
        with pytest.raises(ConflictError, match="seal_changed"):
            await root_key.rotate_wrapping()
        assert await vault.versions() == {"one": "1", "two": "1"}
