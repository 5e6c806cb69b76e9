"""Whose a credential is."""

from typing import Any

from tests.unit.vault.authn.conftest import ROOT
from vault.authn.credential_owners import CredentialOwners


async def test_a_key_and_a_token_lead_to_their_user(desk: Any) -> None:
    """A token of nobody is somebody of its own; what is gone is nobody's."""
    owners = CredentialOwners(desk.keys, desk.tokens, desk.users)
    user = await desk.users.create(ROOT, "ann")
    key = (await desk.keys.create(ROOT, user.id, "k")).key
    token = (await desk.tokens.create_root()).row
    assert await owners.find_owner(key.id) == (user.id, "ann")
    assert await owners.find_owner(token.accessor) == (
        token.accessor,
        f"token {token.display_name}",
    )
    assert await owners.find_owner("gone") is None
    assert (user.id, "ann") in await owners.list_users()
    assert (token.accessor, "a token") in await owners.list_tokens()
