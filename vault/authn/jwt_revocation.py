"""Revocation of tokens of trusted issuers: by id (`jti`), or of a subject up to now.

A revocation is an entry of the issuer, as those of auth mounts are, which expires with the last
token that it could be about. Nothing else is stored of such tokens.
"""

from collections.abc import Mapping
from typing import Final

from actors.world import World
from vault.authn.jwt.digest import digest_of
from vault.errors import NotFoundError, ValidationError
from vault.model.records import AuthEntryRow
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import AUTH_ENTRIES

MAX_VALUE: Final = 512  # characters of a token's id or a subject
ISSUER_PREFIX: Final = "jwt-issuer:"
"""Of the id that entries of an issuer of the settings have in place of a mount's."""
TOKEN: Final = "revoked-token"  # kinds, no secrets
SUBJECT: Final = "revoked-subject"
BEFORE: Final = "before"


def entry_key(issuer: str, kind: str, name: str) -> tuple[str, str, str]:
    """The key of a revocation: what it is about may be of any length."""
    return f"{ISSUER_PREFIX}{issuer}", kind, digest_of(name)


def is_revoked(token: AuthEntryRow | None, subject: AuthEntryRow | None, issued_at: int) -> bool:
    """Whether a token of this id and this subject is revoked; `issued_at` in Unix ns."""
    if token is not None:
        return True
    before: int = 0 if subject is None else subject.document.get(BEFORE, 0)
    return issued_at <= before


class JwtRevocations:
    """What handlers call. The caller is authorized for the path."""

    def __init__(self, store: Store, lifetimes: Mapping[str, int], world: World) -> None:
        """`lifetimes`: of the tokens of each issuer, by its name: ns, clocks' leeway included."""
        self._store = store
        self._lifetimes = dict(lifetimes)
        self._world = world

    async def revoke(self, issuer: str, *, token_id: str = "", subject: str = "") -> AuthEntryRow:
        """Revoke the token of this id, or all of this subject that were issued up to now.

        Raises `NotFoundError` for an unknown issuer, and `ValidationError` unless one of the two is
        given. To revoke again is no error.
        """
        lifetime = self._lifetimes.get(issuer)
        if lifetime is None:
            raise NotFoundError(
                "issuer_unknown",
                "no trusted issuer has this name: see authentication.jwt.issuers in the settings",
            )
        if bool(token_id) == bool(subject) or len(token_id or subject) > MAX_VALUE:
            raise ValidationError(
                "revocation_invalid",
                f"give token_id or subject, with at most {MAX_VALUE} characters",
                field="token_id",
            )
        now, new_id = self._world.now(), self._world.new_id()
        row = revocation_row(
            issuer,
            TOKEN if token_id else SUBJECT,
            token_id or subject,
            row_id=new_id,
            now=now,
            expires_at=now + lifetime,
        )
        await self._store.commit(lambda tx: tx.put(AUTH_ENTRIES, row))
        return row

    async def list_all(self, issuer: str, kind: str, after: str, limit: int) -> list[AuthEntryRow]:
        """Revocations of a kind that are in force, by key."""
        place = f"{ISSUER_PREFIX}{issuer}"
        found = await self._store.select(
            AUTH_ENTRIES,
            StoreQuery(
                equals={"mount_id": place, "kind": kind},
                after=(place, kind, after) if after else None,
                limit=limit,
            ),
        )
        now = self._world.now()
        return [row for row in found if now < row.expires_at]


def revocation_row(
    issuer: str, kind: str, name: str, *, row_id: str, now: int, expires_at: int
) -> AuthEntryRow:
    """The row of a revocation, now."""
    mount, kind, key = entry_key(issuer, kind, name)
    return AuthEntryRow(
        mount_id=mount,
        kind=kind,
        name=key,
        id=row_id,
        document={"value": name, BEFORE: now},
        expires_at=expires_at,
        created_at=now,
        updated_at=now,
    )
