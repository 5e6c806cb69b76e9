"""Whose a credential is, by its id alone; and who there is at all."""

from typing import Final

from vault.authn.api_keys import ApiKeys
from vault.authn.tokens import Tokens
from vault.authn.users import Users
from vault.errors import NotFoundError
from vault.model.identity import Identity, Method

_PAGE: Final = 1_000


class CredentialOwners:
    """Answers for API keys and tokens. A token without a user is somebody of its own."""

    def __init__(self, keys: ApiKeys, tokens: Tokens, users: Users) -> None:
        self._keys = keys
        self._tokens = tokens
        self._users = users

    async def find_owner(self, credential: str) -> tuple[str, str] | None:
        """Id and name of its user, or of the token itself; None when it is gone."""
        try:
            return await self._user((await self._keys.get(credential)).user_id)
        except NotFoundError:
            token = await self._tokens.find_by_accessor(credential)
        if token is None:
            return None
        if token.user_id:
            return await self._user(token.user_id)
        return token.accessor, f"token {token.display_name}"

    async def identity_at(self, method: str, credential: str, *, at: int) -> Identity | None:
        """Its identity with its policies of now, at the time `at` (ns); None if it is gone."""
        if method == Method.API_KEY:
            return await self._keys.identity_of(credential, at)
        if method in {Method.SERVICE, Method.ANONYMOUS}:
            return None
        return await self._tokens.identity_of(credential, at)

    async def list_users(self) -> list[tuple[str, str]]:
        """Id and name of each."""
        found: list[tuple[str, str]] = []
        after = ""
        while page := await self._users.list_page(after=after, limit=_PAGE):
            after = page[-1].id
            found += [(row.id, row.username) for row in page]
        return found

    async def list_tokens(self) -> list[tuple[str, str]]:
        """Accessor of each, and what it may be called."""
        return [(accessor, "a token") for accessor in await self._tokens.list_accessors()]

    async def _user(self, user_id: str) -> tuple[str, str] | None:
        try:
            user = await self._users.get(user_id)
        except NotFoundError:
            return None
        return user.id, user.username
