"""Batch tokens: sealed text instead of a row. Neither renewed nor revoked; bound by what made them.

What is in the text is a `TokenRow`. It stands as a stored one does: until its end, while its
parent, the auth mount of its login and its user do.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from actors.world import World
from vault.authn.bearer import violates_binding
from vault.authn.credential_scheme import (
    BATCH,
    MAX_CREDENTIAL_BYTES,
    CredentialScheme,
    LocatedCredential,
)
from vault.authn.credential_validity import token_identity
from vault.authn.identity_cache import IdentityCache
from vault.authn.sessions import SessionActivity
from vault.errors import ValidationError
from vault.model.identity import Identity
from vault.model.memo import BoundedMemo
from vault.model.operation import Origin
from vault.model.records import BATCH_ACCESSOR, TokenRow
from vault.store.store import Store

MAX_CACHED: Final = 8_192  # tokens whose content is remembered
_decode: Final = msgspec.msgpack.Decoder(TokenRow).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class BatchTokens:
    """Makes and opens batch tokens: the `CredentialMethod` of their kind."""

    def __init__(self, store: Store, scheme: CredentialScheme, world: World) -> None:
        self._scheme = scheme
        self._world = world
        self._rows: BoundedMemo[str, TokenRow] = BoundedMemo(MAX_CACHED)
        self._identities: IdentityCache[TokenRow] = IdentityCache(store, token_identity)
        self._activity = SessionActivity(store, world)

    def mint(self, draft: TokenRow) -> tuple[TokenRow, str]:
        """The token of a draft, and its text. Raises `ValidationError` for one that is too long."""
        content = replace(draft, id="", accessor="", secret_hash=b"", renewable=False, mac=b"")
        minted = self._scheme.mint_batch_token(_encode(content))
        if len(minted.text) > MAX_CREDENTIAL_BYTES:
            raise ValidationError(
                "batch_token_large",
                "a batch token holds its policies and metadata, and these are too long for it: "
                "ask for a service token, or for fewer of them",
            )
        return self._row(minted.id, content), minted.text

    def find(self, located: LocatedCredential) -> TokenRow | None:
        """The token of a text, whether or not it stands; None for what is none."""
        if located.kind != BATCH or not located.secret_hash:
            return None
        row = self._rows.get(located.id)
        if row is None:
            row = self._row(located.id, _decode(located.secret_hash))
        return row

    def find_by_accessor(self, accessor: str) -> TokenRow | None:
        """A token that this process has seen lately, by what stands for its accessor."""
        return self._rows.get(accessor.removeprefix(BATCH_ACCESSOR))

    async def identify(
        self, located: LocatedCredential, origin: Origin, *, use: bool = True
    ) -> Identity | None:
        """The holder of a batch token; see `CredentialMethod`. Its uses are not counted."""
        row = self.find(located)
        if row is None or origin.browser or violates_binding(row, origin):
            return None
        identity = await self._identities.resolve(located.id, row, self._world.now(), None)
        if identity is None or not identity.session or not use:
            return identity
        return identity if await self._activity.note_use(identity.session) else None

    def _row(self, token_id: str, content: TokenRow) -> TokenRow:
        name = BATCH_ACCESSOR + token_id
        row = replace(content, id=name, accessor=name)
        self._rows.put(token_id, row)
        return row
