"""`/api/v1/jwt/revocations`: tokens of trusted issuers that do not count any more."""

from typing import Annotated

import msgspec
from msgspec import Struct

from protocols.instant import rfc3339
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.payloads import ListJwtRevocations, RevokeJwt
from vault.model.records import AuthEntryRow

jwt_revocations = Endpoints(
    "jwt", "Tokens of trusted issuers (`authentication.jwt`) that were revoked before their end."
)
_PLACE = "jwt/revocations"


class RevocationBody(Struct, frozen=True, kw_only=True):
    """A revocation: of one token, or of all tokens of a subject that were issued before it."""

    value: str
    revoked_at: str
    expires_at: str

    @classmethod
    def of(cls, row: AuthEntryRow) -> "RevocationBody":
        """From its row."""
        return cls(
            value=row.document["value"],
            revoked_at=rfc3339(row.created_at),
            expires_at=rfc3339(row.expires_at),
        )


class NewRevocation(Struct, frozen=True, forbid_unknown_fields=True):
    """`token_id` (the token's `jti`) or `subject`, of the issuer of this name."""

    issuer: str
    token_id: str = ""
    subject: str = ""


class RevocationQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose, and of what: tokens, or with `subjects=true` subjects."""

    issuer: str
    subjects: bool = False
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class RevocationList(Struct, frozen=True):
    """Revocations in force. `next`: for `after`; empty: there are no more."""

    revocations: list[RevocationBody]
    next: str


@jwt_revocations.add(
    "POST", _PLACE, "Revoke a token of a trusted issuer, or all of a subject up to now",
    body=NewRevocation, returns=RevocationBody, status=201, errors=(404,),
)  # fmt: skip
async def revoke(dialect: Dialect, request: Request, *, body: NewRevocation) -> RevocationBody:
    row = await dialect.run_operation(
        request,
        operations.REVOKE_JWT,
        system_path(_PLACE),
        RevokeJwt(issuer=body.issuer, token_id=body.token_id, subject=body.subject),
    )
    return RevocationBody.of(row)


@jwt_revocations.add(
    "GET", _PLACE, "List revocations in force", query=RevocationQuery, returns=RevocationList
)
async def list_(dialect: Dialect, request: Request, *, query: RevocationQuery) -> RevocationList:
    rows = await dialect.run_operation(
        request,
        operations.LIST_JWT_REVOCATIONS,
        system_folder(_PLACE),
        ListJwtRevocations(
            issuer=query.issuer, subjects=query.subjects, after=query.after, limit=query.limit
        ),
    )
    more = rows[-1].name if len(rows) == query.limit else ""
    return RevocationList(revocations=[RevocationBody.of(row) for row in rows], next=more)
