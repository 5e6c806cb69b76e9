"""What every key provider promises."""

import pytest

from tests.contract.key_providers.conftest import FORGETFUL, Provided
from tests.support.key_providers import tampered
from vault.seal.root_keys.provider import KeyProviderError, wrap_context

ROOT_KEY = bytes(range(32))
CONTEXT = wrap_context("org", "vault")


async def test_it_unwraps_what_it_has_wrapped(provided: Provided) -> None:
    """With all that takes in what is stored, and nothing secret in it."""
    wrapped = await provided.provider.wrap(ROOT_KEY, CONTEXT)
    described = await provided.provider.describe()
    assert (wrapped.key, wrapped.version) == (described.key, described.version)
    assert wrapped.version == provided.newest
    assert (wrapped.provider, wrapped.type) == (provided.provider.name, provided.provider.type)
    assert wrapped.created_at
    assert wrapped.algorithm
    assert ROOT_KEY not in wrapped.ciphertext
    assert await provided.provider.unwrap(wrapped, CONTEXT) == ROOT_KEY
    again = await provided.provider.wrap(ROOT_KEY, CONTEXT)
    assert await provided.provider.unwrap(again, CONTEXT) == ROOT_KEY


async def test_altered_bytes_and_other_vaults_are_reported_as_another_key(
    provided: Provided,
) -> None:
    """And the provider works on."""
    wrapped = await provided.provider.wrap(ROOT_KEY, CONTEXT)
    with pytest.raises(KeyProviderError) as caught:
        await provided.provider.unwrap(tampered(wrapped), CONTEXT)
    assert caught.value.code == "key_provider_wrong_key"
    if provided.binds_context:
        with pytest.raises(KeyProviderError) as caught:
            await provided.provider.unwrap(wrapped, wrap_context("org", "other"))
        assert caught.value.code == "key_provider_wrong_key"
    assert await provided.provider.unwrap(wrapped, CONTEXT) == ROOT_KEY


@pytest.mark.parametrize("provided", FORGETFUL, indirect=True)
async def test_a_missing_version_is_distinguished_from_a_missing_key(provided: Provided) -> None:
    """The newest version wraps; older ones unwrap what they have wrapped while they are there."""
    newest = await provided.provider.wrap(ROOT_KEY, CONTEXT)
    provided.forget("02")
    older = await provided.provider.wrap(ROOT_KEY, CONTEXT)
    assert int(older.version) == 1
    with pytest.raises(KeyProviderError) as caught:
        await provided.provider.unwrap(newest, CONTEXT)
    assert caught.value.code == "key_provider_version_missing"
    provided.forget("01")
    for call in (provided.provider.describe(), provided.provider.unwrap(older, CONTEXT)):
        with pytest.raises(KeyProviderError) as caught:
            await call
        assert caught.value.code == "key_provider_key_missing"
