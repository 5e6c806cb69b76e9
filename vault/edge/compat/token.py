"""`auth/token`: make, look up, renew and revoke tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from vault import operations
from vault.authn.bound_origin import shown
from vault.authn.tokens import IssuedToken, NewToken
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply, warnings_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import AuthorizationError, ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import AccessorSelector, Nothing, RenewToken, TokenSelector

routes: Final = Router()

CREATE_PATH: Final = "auth/token/create"
ROOT_TOKEN_PATH: Final = "auth/token/root"
CREATE_ORPHAN_PATH: Final = "auth/token/create-orphan"


class AuthBody(Struct, frozen=True, kw_only=True):
    """The `auth` of an answer: what every login reads."""

    client_token: str
    accessor: str
    policies: list[str]
    token_policies: list[str]
    identity_policies: list[str] | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | None
    lease_duration: int
    renewable: bool
    entity_id: str = ""
    token_type: str = "service"
    orphan: bool
    mfa_requirement: None = None
    num_uses: int

    @classmethod
    def of(cls, issued: IssuedToken, text: str) -> "AuthBody":
        """From what was issued; `text` is empty if the caller does not know it."""
        row, of_entity = issued.row, list(issued.identity_policies)
        return cls(
            client_token=text,
            accessor="" if row.is_batch else row.accessor,
            policies=sorted({*row.policies, *of_entity}) if of_entity else row.policies,
            token_policies=row.policies,
            identity_policies=of_entity or msgspec.UNSET,
            metadata=row.meta or None,
            lease_duration=_seconds(row.expires_at - row.issued_at) if row.expires_at else 0,
            renewable=row.renewable,
            entity_id=row.user_id if row.mount_id else "",
            token_type="batch" if row.is_batch else "service",
            orphan=not row.parent,
            num_uses=row.num_uses,
        )


@routes.add("POST", template=CREATE_PATH)
async def create(dialect: Dialect, request: Request) -> Reply:
    """A child of the caller's token."""
    return await _create(dialect, request, CREATE_PATH)


@routes.add("POST", template=CREATE_ORPHAN_PATH)
async def create_orphan(dialect: Dialect, request: Request) -> Reply:
    """A token that no other takes down with it."""
    return await _create(dialect, request, CREATE_ORPHAN_PATH)


@routes.add("POST", template="auth/token/create/{role}")
async def create_by_role(dialect: Dialect, request: Request, role: str) -> Reply:
    """A token by a token role."""
    return await _create(dialect, request, f"{CREATE_PATH}/{role}", role)


@routes.add("POST", template="auth/token/tidy")
async def tidy(dialect: Dialect, request: Request) -> Reply:
    """Accepted; what has expired is removed by itself."""
    await dialect.run_operation(request, operations.LIST_ACCESSORS, _at("tidy"), Nothing())
    return data_reply(request, None, status=202, warnings=[_TIDIED])


_TIDIED: Final = (
    "Tidy operation successfully started. Any information from the operation will be printed to "
    "OpenBao's server logs."
)


@routes.add("GET", "POST", template="auth/token/lookup-self")
async def lookup_self(dialect: Dialect, request: Request) -> Reply:
    """The caller's own token."""
    found = await dialect.run_operation(
        request, operations.LOOK_UP_OWN_TOKEN, _at("lookup-self"), Nothing()
    )
    return data_reply(
        request, _lookup_body(found, dialect.credential(request) or "", dialect.world.now())
    )


@routes.add("GET", "POST", template="auth/token/lookup")
async def lookup(dialect: Dialect, request: Request) -> Reply:
    """Any token by its text; without one, the caller's own."""
    text = _token_text(Fields.from_body(request)) or dialect.credential(request) or ""
    found = await dialect.run_operation(
        request, operations.LOOK_UP_TOKEN, _at("lookup"), TokenSelector(token=text)
    )
    return data_reply(request, _lookup_body(found, text, dialect.world.now()))


@routes.add("POST", template="auth/token/lookup-accessor")
async def lookup_accessor(dialect: Dialect, request: Request) -> Reply:
    """Any token by its accessor, its text left out."""
    payload = AccessorSelector(accessor=_accessor(Fields.from_body(request)))
    found = await dialect.run_operation(
        request, operations.LOOK_UP_ACCESSOR, _at("lookup-accessor"), payload
    )
    return data_reply(request, _lookup_body(found, "", dialect.world.now()))


@routes.add("POST", template="auth/token/renew-self")
async def renew_self(dialect: Dialect, request: Request) -> Reply:
    """Renew the caller's own token."""
    payload = RenewToken(increment=_increment(Fields.from_body(request)))
    issued = await dialect.run_operation(
        request, operations.RENEW_OWN_TOKEN, _at("renew-self"), payload
    )
    return _issued_reply(request, issued, dialect.credential(request) or "")


@routes.add("POST", template="auth/token/renew")
async def renew(dialect: Dialect, request: Request) -> Reply:
    """Renew a token by its text."""
    fields = Fields.from_body(request)
    payload = RenewToken(token=_token(fields), increment=_increment(fields))
    with _missing_token_is("token not found"):
        issued = await dialect.run_operation(request, operations.RENEW_TOKEN, _at("renew"), payload)
    return _issued_reply(request, issued, payload.token)


@routes.add("POST", template="auth/token/renew-accessor")
async def renew_accessor(dialect: Dialect, request: Request) -> Reply:
    """Renew a token by its accessor."""
    fields = Fields.from_body(request)
    payload = RenewToken(accessor=_accessor(fields), increment=_increment(fields))
    issued = await dialect.run_operation(
        request, operations.RENEW_ACCESSOR, _at("renew-accessor"), payload
    )
    return _issued_reply(request, issued, "")


@routes.add("POST", template="auth/token/revoke-self")
async def revoke_self(dialect: Dialect, request: Request) -> Reply:
    """End the caller's own token and all that came from it."""
    await dialect.run_operation(request, operations.REVOKE_OWN_TOKEN, _at("revoke-self"), Nothing())
    return NO_CONTENT_REPLY


@routes.add("POST", template="auth/token/revoke")
async def revoke(dialect: Dialect, request: Request) -> Reply:
    """End a token by its text; one that is gone already is no error."""
    payload = TokenSelector(token=_token(Fields.from_body(request)))
    try:
        await dialect.run_operation(request, operations.REVOKE_TOKEN, _at("revoke"), payload)
    except AuthorizationError as error:
        if error.code != "bad_token":
            raise
    return NO_CONTENT_REPLY


@routes.add("POST", template="auth/token/revoke-accessor")
async def revoke_accessor(dialect: Dialect, request: Request) -> Reply:
    """End a token by its accessor; one that is gone already is worth a remark."""
    payload = AccessorSelector(accessor=_accessor(Fields.from_body(request)))
    try:
        await dialect.run_operation(
            request, operations.REVOKE_ACCESSOR, _at("revoke-accessor"), payload
        )
    except ValidationError as error:
        if error.code != "invalid_accessor":
            raise
        return warnings_reply(request, ["No token found with this accessor"])
    return NO_CONTENT_REPLY


@routes.add("POST", template="auth/token/revoke-orphan")
async def revoke_orphan(dialect: Dialect, request: Request) -> Reply:
    """End a token by its text and leave its children."""
    payload = TokenSelector(token=_token(Fields.from_body(request)))
    with _missing_token_is("token to revoke not found"):
        await dialect.run_operation(
            request, operations.REVOKE_ORPHAN, _at("revoke-orphan"), payload
        )
    return NO_CONTENT_REPLY


@routes.add("LIST", template="auth/token/accessors")
@routes.add("LIST", template="auth/token/accessors/")
async def accessors(dialect: Dialect, request: Request) -> Reply:
    """The accessors of all tokens."""
    found = await dialect.run_operation(
        request, operations.LIST_ACCESSORS, _at("accessors"), Nothing()
    )
    return data_reply(request, {"keys": found})


async def _create(dialect: Dialect, request: Request, path: str, role: str = "") -> Reply:
    fields = Fields.from_body(request)
    kind = fields.text("type")
    if kind not in {"", "service", "batch"}:
        raise ValidationError("token_type_invalid", "invalid 'token_type' value", field="type")
    if fields.text("entity_alias"):
        raise ValidationError("entity_alias_invalid", "entity aliases take a token role")
    lease = fields.duration("lease")  # the old name of `ttl`
    payload = NewToken(
        policies=fields.texts("policies") or None,
        ttl=fields.duration("ttl") or lease or 0,
        explicit_max_ttl=fields.duration("explicit_max_ttl") or 0,
        period=fields.duration("period") or 0,
        num_uses=fields.integer("num_uses") or 0,
        renewable=fields.boolean("renewable") is not False,
        display_name=fields.text("display_name"),
        meta=fields.text_map("meta") or {},
        no_parent=bool(fields.boolean("no_parent")),
        no_default_policy=bool(fields.boolean("no_default_policy")),
        id=fields.text("id"),
        type=kind,
        role=role,
        path=path,
    )
    issued = await dialect.run_operation(
        request, operations.CREATE_TOKEN, ResourcePath.parse(path), payload
    )
    return _issued_reply(request, issued, issued.text, fields.ignored_field_warnings())


def _issued_reply(
    request: Request, issued: IssuedToken, text: str, remarks: list[str] | None = None
) -> Reply:
    warnings = [*issued.warnings, *(remarks or [])]
    return data_reply(request, None, auth=AuthBody.of(issued, text), warnings=warnings or None)


def _lookup_body(found: IssuedToken, text: str, now: int) -> dict[str, Any]:
    """What a lookup tells; `period` and the last renewal only where there is one."""
    row = found.row
    body: dict[str, Any] = {
        "accessor": "" if row.is_batch else row.accessor,
        "creation_time": row.created_at // SECOND,
        "creation_ttl": _seconds(row.ttl),
        "display_name": row.display_name,
        "entity_id": row.user_id if row.mount_id else "",
        "expire_time": rfc3339_or_none(row.expires_at),
        "explicit_max_ttl": _seconds(row.explicit_max_ttl),
        "id": text,
        "meta": row.meta or None,
        "num_uses": row.uses_left or (-1 if row.num_uses else 0),  # -1: this was the last use
        "orphan": not row.parent,
        "path": row.path,
        "policies": row.policies,
        "ttl": _seconds(max(row.expires_at - now, 0)) if row.expires_at else 0,
        "type": "batch" if row.is_batch else "service",
    }
    if found.identity_policies:
        body["identity_policies"] = list(found.identity_policies)
        body["external_namespace_policies"] = {}
    if row.bound_cidrs:
        body["bound_cidrs"] = [shown(network) for network in row.bound_cidrs]
    if row.role and not row.mount_id:
        body["role"] = row.role
    if (
        row.path != ROOT_TOKEN_PATH
    ):  # the token of `sys/init` has no lease, the only place of these two
        body["issue_time"] = rfc3339(row.created_at)
        body["renewable"] = row.renewable
    if row.period:
        body["period"] = _seconds(row.period)
    if row.issued_at != row.created_at:
        body["last_renewal"] = rfc3339(row.issued_at)
        body["last_renewal_time"] = row.issued_at // SECOND
    return body


@contextmanager
def _missing_token_is(told: str) -> Iterator[None]:
    """A token that is not there is the caller's fault here, and a matter of rights elsewhere."""
    try:
        yield
    except AuthorizationError as error:
        if error.code != "bad_token":
            raise
        raise ValidationError("token_not_found", told, field="token") from None


def _at(name: str) -> ResourcePath:
    return ResourcePath.parse(f"auth/token/{name}")


def _token_text(fields: Fields) -> str:
    """The text of a token, empty where none is given. A null is none, and not the caller's own."""
    if "token" in fields and fields.value("token") is None:
        raise AuthorizationError("invalid_token", "invalid token")
    return fields.text("token")


def _token(fields: Fields) -> str:
    text = _token_text(fields)
    if not text:
        raise ValidationError("missing_token", "missing token ID", field="token")
    return text


def _accessor(fields: Fields) -> str:
    text = fields.text("accessor")
    if not text:
        raise ValidationError("missing_accessor", "missing accessor", field="accessor")
    return text


def _increment(fields: Fields) -> int:
    return fields.duration("increment") or 0


def _seconds(ns: int) -> int:
    return ns // SECOND
