"""Revocation of tokens of trusted issuers: by id (`jti`), or of a subject up to now.

A revocation is an entry of the issuer, as those of auth mounts are, which expires with the last
token that it could be about. Nothing else is stored of such tokens.
"""

from typing import Final

from vault.authn.jwt.digest import digest_of
from vault.model.records import AuthEntryRow

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
