"""`/api/v1/tokens`: tokens by accessor, by text, and the caller's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from protocols.instant import MAX_NS, SECOND, parse_duration, rfc3339, rfc3339_or_none
from vault import operations
from vault.authn.tokens import IssuedToken, NewToken
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints
from vault.edge.request import Request
from vault.errors import NotFoundError, VaultError
from vault.model.path import ResourcePath
from vault.model.payloads import AccessorSelector, Nothing, RenewToken, TokenSelector
from vault.model.records import TokenRow

tokens = Endpoints("tokens", "Credentials that expire, are renewed, and end with their parent.")

Text = Annotated[str, Meta(min_length=1)]
Duration = str | Annotated[int, Meta(ge=0)]  # `1h30m`, or seconds


class TokenBody(Struct, frozen=True, kw_only=True):
    """A token. `token` is what its holder presents, and only in the answer that makes it."""

    accessor: str
    display_name: str
    policies: list[str]
    metadata: dict[str, str]
    path: str
    orphan: bool
    renewable: bool
    created_at: str
    renewed_at: str | None
    expires_at: str | None
    ttl_seconds: int
    period_seconds: int
    explicit_max_ttl_seconds: int
    num_uses: int
    uses_left: int
    token: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET

    @classmethod
    def of(cls, row: TokenRow, **more: Any) -> "TokenBody":
        """From the row; `more` are fields that only the answer to a change has."""
        return cls(
            accessor=row.accessor,
            display_name=row.display_name,
            policies=row.policies,
            metadata=row.meta,
            path=row.path,
            orphan=not row.parent,
            renewable=row.renewable,
            created_at=rfc3339(row.created_at),
            renewed_at=rfc3339(row.issued_at) if row.issued_at != row.created_at else None,
            expires_at=rfc3339_or_none(row.expires_at),
            ttl_seconds=row.ttl // SECOND,
            period_seconds=row.period // SECOND,
            explicit_max_ttl_seconds=row.explicit_max_ttl // SECOND,
            num_uses=row.num_uses,
            uses_left=row.uses_left,
            **more,
        )


class AccessorList(Struct, frozen=True):
    """The accessors of all tokens, in no particular order."""

    accessors: list[str]


class NewTokenBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made. Durations such as `1h30m`, or seconds; empty policies: the caller's."""

    policies: list[str] = []
    ttl: Duration = 0
    explicit_max_ttl: Duration = 0
    period: Duration = 0
    num_uses: Annotated[int, Meta(ge=0, le=MAX_NS)] = 0
    renewable: bool = True
    display_name: str = ""
    metadata: dict[str, str] = {}
    orphan: bool = False
    no_default_policy: bool = False


class TokenText(Struct, frozen=True, forbid_unknown_fields=True):
    """Which token, by its text."""

    token: Text


class RevokeText(Struct, frozen=True, forbid_unknown_fields=True):
    """Which token, by its text. `keep_children`: they stay, as orphans."""

    token: Text
    keep_children: bool = False


class Renewal(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long; empty: as long as at its making."""

    increment: Duration = 0


@tokens.add(
    "POST", "tokens", "Make a token; its text is shown once", body=NewTokenBody, returns=TokenBody,
    status=201,
)  # fmt: skip
async def create(dialect: Dialect, request: Request, *, body: NewTokenBody) -> TokenBody:
    path = _at("create-orphan" if body.orphan else "create")
    payload = NewToken(
        policies=tuple(body.policies) or None,
        ttl=parse_duration(body.ttl, "ttl"),
        explicit_max_ttl=parse_duration(body.explicit_max_ttl, "explicit_max_ttl"),
        period=parse_duration(body.period, "period"),
        num_uses=body.num_uses,
        renewable=body.renewable,
        display_name=body.display_name,
        meta=body.metadata,
        no_default_policy=body.no_default_policy,
        path=str(path),
    )
    issued = await dialect.run_operation(request, operations.CREATE_TOKEN, path, payload)
    return TokenBody.of(issued.row, token=issued.text, warnings=list(issued.warnings))


@tokens.add("GET", "tokens", "List the accessors of all tokens", returns=AccessorList)
async def accessors(dialect: Dialect, request: Request) -> AccessorList:
    found = await dialect.run_operation(
        request, operations.LIST_ACCESSORS, _at("accessors"), Nothing()
    )
    return AccessorList(accessors=found)


@tokens.add("GET", "tokens/self", "Look at your own token", returns=TokenBody)
async def read_self(dialect: Dialect, request: Request) -> TokenBody:
    found = await dialect.run_operation(
        request, operations.LOOK_UP_OWN_TOKEN, _at("lookup-self"), Nothing()
    )
    return TokenBody.of(found.row)


@tokens.add("POST", "tokens/self/renew", "Renew your own token", body=Renewal, returns=TokenBody)
async def renew_self(dialect: Dialect, request: Request, *, body: Renewal) -> TokenBody:
    payload = RenewToken(increment=parse_duration(body.increment, "increment"))
    return _renewed_body(
        await dialect.run_operation(request, operations.RENEW_OWN_TOKEN, _at("renew-self"), payload)
    )


@tokens.add("DELETE", "tokens/self", "Revoke your own token and what came from it", status=204)
async def revoke_self(dialect: Dialect, request: Request) -> None:
    await dialect.run_operation(request, operations.REVOKE_OWN_TOKEN, _at("revoke-self"), Nothing())


@tokens.add(
    "POST", "tokens/lookup", "Look at a token by its text", body=TokenText, returns=TokenBody,
    errors=(404,),
)  # fmt: skip
async def lookup(dialect: Dialect, request: Request, *, body: TokenText) -> TokenBody:
    payload = TokenSelector(token=body.token)
    with _missing_token_is_404():
        found = await dialect.run_operation(
            request, operations.LOOK_UP_TOKEN, _at("lookup"), payload
        )
    return TokenBody.of(found.row)


@tokens.add(
    "POST",
    "tokens/revoke",
    "Revoke a token by its text",
    body=RevokeText,
    status=204,
    errors=(404,),
)
async def revoke_text(dialect: Dialect, request: Request, *, body: RevokeText) -> None:
    payload = TokenSelector(token=body.token)
    with _missing_token_is_404():
        if body.keep_children:
            await dialect.run_operation(
                request, operations.REVOKE_ORPHAN, _at("revoke-orphan"), payload
            )
        else:
            await dialect.run_operation(request, operations.REVOKE_TOKEN, _at("revoke"), payload)


@tokens.add("GET", "tokens/{accessor}", "Look at a token by its accessor", returns=TokenBody)
async def read(dialect: Dialect, request: Request, accessor: str) -> TokenBody:
    payload = AccessorSelector(accessor=accessor)
    with _missing_token_is_404():
        found = await dialect.run_operation(
            request, operations.LOOK_UP_ACCESSOR, _at("lookup-accessor"), payload
        )
    return TokenBody.of(found.row)


@tokens.add(
    "POST", "tokens/{accessor}/renew", "Renew a token by its accessor", body=Renewal,
    returns=TokenBody,
)  # fmt: skip
async def renew(dialect: Dialect, request: Request, accessor: str, *, body: Renewal) -> TokenBody:
    payload = RenewToken(accessor=accessor, increment=parse_duration(body.increment, "increment"))
    with _missing_token_is_404():
        issued = await dialect.run_operation(
            request, operations.RENEW_ACCESSOR, _at("renew-accessor"), payload
        )
    return _renewed_body(issued)


@tokens.add(
    "DELETE",
    "tokens/{accessor}",
    "Revoke a token by its accessor, and what came from it",
    status=204,
)
async def revoke(dialect: Dialect, request: Request, accessor: str) -> None:
    with _missing_token_is_404():
        await dialect.run_operation(
            request,
            operations.REVOKE_ACCESSOR,
            _at("revoke-accessor"),
            AccessorSelector(accessor=accessor),
        )


_ABSENT = frozenset({"bad_token", "invalid_accessor", "token_not_found"})


@contextmanager
def _missing_token_is_404() -> Iterator[None]:
    """A token that is not there is 404 here; other clients expect 400 or 403 of the same."""
    try:
        yield
    except VaultError as error:
        if error.code not in _ABSENT:
            raise
        raise NotFoundError("token_not_found", "there is no such token") from None


def _at(name: str) -> ResourcePath:
    return ResourcePath.parse(f"auth/token/{name}")


def _renewed_body(issued: IssuedToken) -> TokenBody:
    return TokenBody.of(issued.row, warnings=list(issued.warnings))
