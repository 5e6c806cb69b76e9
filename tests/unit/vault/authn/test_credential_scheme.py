"""The crypto of credentials is what authentication asks for."""

from typing import Any

import pytest

from vault.authn.credential_scheme import API_KEY, TOKEN


async def test_kinds(desk: Any) -> None:
    """The kinds that the scheme names are those that authentication has methods for."""
    assert desk.scheme.locate(desk.scheme.mint_token().text).kind == TOKEN
    assert desk.scheme.locate(desk.scheme.mint_api_key().text).kind == API_KEY
    assert desk.scheme.locate("any other text").kind == TOKEN


@pytest.mark.parametrize("mint", ["mint_token", "mint_api_key"])
async def test_minted_is_located(desk: Any, mint: str) -> None:
    """What was minted is found under its id and matches what its row keeps, and nothing else."""
    minted = getattr(desk.scheme, mint)()
    located = desk.scheme.locate(minted.text)
    assert located.id == minted.id
    assert desk.scheme.matches(located, minted.secret_hash)
    assert not desk.scheme.matches(located, None)
    assert not desk.scheme.matches(located, bytes(32))


async def test_no_id_holds_a_colon(desk: Any) -> None:
    """`key:ID` as a parent can be told from a token's id."""
    assert ":" not in desk.scheme.locate("a:b").id + desk.scheme.mint_token().id
