"""`identity/mfa` and `sys/mfa`: methods, enforcements and the second phase of logins."""

from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from protocols.instant import SECOND
from vault import operations
from vault.authn.mfa.configuration import StoredMethod
from vault.authn.mfa.enforcement import TOTP, Enforcement, MfaRequirement
from vault.authn.mfa.second_factors import Generated
from vault.authn.tokens import IssuedToken
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import MOST_ITEMS, Fields
from vault.edge.compat.token import AuthBody
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.path import ResourcePath
from vault.model.payloads import FinishLogin, Nothing, SelectFactor, WriteMfaMethod

routes: Final = Router()

HEADER: Final = b"x-vault-mfa"
_METHODS: Final = "sys/mfa/methods"
_ENFORCEMENTS: Final = "sys/mfa/enforcements"
_ENTITIES: Final = "sys/mfa/entities"
_OWN: Final = "sys/mfa/generate"
_WAITS: Final = (
    "A login request was issued that is subject to MFA validation. Please make sure to validate "
    "the login by sending another request to mfa/validate endpoint."
)
_NAMESPACE: Final = {"namespace_id": "root", "namespace_path": ""}


class WaitingAuth(Struct, frozen=True, kw_only=True):
    """The `auth` of a login that waits for its second factor, as clients read it."""

    client_token: str = ""
    accessor: str = ""
    policies: None = None
    metadata: None = None
    lease_duration: int = 0
    renewable: bool = False
    entity_id: str = ""
    token_type: str = "default"
    orphan: bool = False
    mfa_requirement: dict[str, Any]
    num_uses: int = 0


def login_reply(request: Request, issued: IssuedToken) -> Reply:
    """The answer to a login: its token, or what it waits for."""
    if issued.requirement is None:
        auth = AuthBody.of(issued, issued.text)
        return data_reply(request, None, auth=auth, warnings=list(issued.warnings) or None)
    waiting = WaitingAuth(mfa_requirement=_requirement(issued.requirement))
    return data_reply(request, None, auth=waiting, warnings=[*issued.warnings, _WAITS])


def shown_codes(request: Request) -> dict[str, tuple[str, ...]] | None:
    """The factors that come with a login: `X-Vault-MFA: METHOD[:CODE]`, several with commas."""
    text = request.header(HEADER)
    if not text:
        return None
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(",", MOST_ITEMS)[:MOST_ITEMS]:
        method, _, code = part.strip().partition(":")
        found[method] = (*found.get(method, ()), *((code,) if code else ()))
    return found


@routes.add("POST", template="sys/mfa/validate", public=True)
async def validate(dialect: Dialect, request: Request) -> Reply:
    """The second phase of a login."""
    fields = Fields.from_body(request)
    request_id = fields.text("mfa_request_id")
    if not request_id:
        raise ValidationError("request_id_missing", "missing request ID", field="mfa_request_id")
    issued = await dialect.run_operation(
        request,
        operations.FINISH_LOGIN,
        ResourcePath.parse("sys/mfa/validate"),
        FinishLogin(request_id=request_id, codes=_codes(fields)),
    )
    return login_reply(request, issued)


@routes.add("POST", template="identity/mfa/method/totp")
async def create_method(dialect: Dialect, request: Request) -> Reply:
    """Make a TOTP method, or change that of the name."""
    payload = WriteMfaMethod(fields=_settings(Fields.from_body(request)))
    place = ResourcePath.parse(_METHODS)
    written = await dialect.run_operation(request, operations.WRITE_MFA_METHOD, place, payload)
    return data_reply(request, {"method_id": written.id})


@routes.add("POST", template="identity/mfa/method/totp/{id}")
async def update_method(dialect: Dialect, request: Request, method_id: str) -> Reply:
    """Change what is named of a method."""
    payload = WriteMfaMethod(fields=_settings(Fields.from_body(request)), method_id=method_id)
    await dialect.run_operation(
        request, operations.WRITE_MFA_METHOD, _at(_METHODS, method_id), payload
    )
    return NO_CONTENT_REPLY


@routes.add("GET", template="identity/mfa/method/totp/{id}")
@routes.add("GET", template="identity/mfa/method/{id}")
async def read_method(dialect: Dialect, request: Request, method_id: str) -> Reply:
    """One method."""
    found = await dialect.run_operation(
        request, operations.READ_MFA_METHOD, _at(_METHODS, method_id), Nothing()
    )
    return data_reply(request, _method(found))


@routes.add("DELETE", template="identity/mfa/method/totp/{id}")
async def delete_method(dialect: Dialect, request: Request, method_id: str) -> Reply:
    """Delete a method that no enforcement needs."""
    await dialect.run_operation(
        request, operations.DELETE_MFA_METHOD, _at(_METHODS, method_id), Nothing()
    )
    return NO_CONTENT_REPLY


@routes.add("LIST", template="identity/mfa/method")
@routes.add("LIST", template="identity/mfa/method/totp")
async def list_methods(dialect: Dialect, request: Request) -> Reply:
    """All methods."""
    place = ResourcePath.parse(_METHODS)
    found = await dialect.run_operation(request, operations.LIST_MFA_METHODS, place, Nothing())
    return _keys_reply(request, {one.id: _method(one) for one in found})


@routes.add("POST", template="identity/mfa/method/totp/generate")
async def generate_own(dialect: Dialect, request: Request) -> Reply:
    """A secret for the caller's own entity."""
    wanted = SelectFactor(entity_id="", method_id=_method_id(Fields.from_body(request)))
    made = await dialect.run_operation(
        request, operations.GENERATE_OWN_FACTOR, ResourcePath.parse(_OWN), wanted
    )
    return _generated_reply(request, made)


@routes.add("POST", template="identity/mfa/method/totp/admin-generate")
async def generate(dialect: Dialect, request: Request) -> Reply:
    """A secret for an entity."""
    wanted = _factor(Fields.from_body(request))
    place = _at(_ENTITIES, wanted.entity_id)
    made = await dialect.run_operation(request, operations.GENERATE_FACTOR, place, wanted)
    return _generated_reply(request, made)


@routes.add("POST", template="identity/mfa/method/totp/admin-destroy")
async def destroy(dialect: Dialect, request: Request) -> Reply:
    """Take the secret of an entity away."""
    wanted = _factor(Fields.from_body(request))
    place = _at(_ENTITIES, wanted.entity_id)
    await dialect.run_operation(request, operations.DESTROY_FACTOR, place, wanted)
    return NO_CONTENT_REPLY


@routes.add("POST", template="identity/mfa/login-enforcement/{name}")
async def write_enforcement(dialect: Dialect, request: Request, name: str) -> Reply:
    """Make or replace an enforcement."""
    fields = Fields.from_body(request)
    wanted = Enforcement(
        methods=fields.texts("mfa_method_ids"),
        accessors=fields.texts("auth_method_accessors"),
        types=fields.texts("auth_method_types"),
        groups=fields.texts("identity_group_ids"),
        entities=fields.texts("identity_entity_ids"),
    )
    await dialect.run_operation(
        request, operations.WRITE_ENFORCEMENT, _at(_ENFORCEMENTS, name), wanted
    )
    return NO_CONTENT_REPLY


@routes.add("GET", template="identity/mfa/login-enforcement/{name}")
async def read_enforcement(dialect: Dialect, request: Request, name: str) -> Reply:
    """One enforcement."""
    found = await dialect.run_operation(
        request, operations.READ_ENFORCEMENT, _at(_ENFORCEMENTS, name), Nothing()
    )
    return data_reply(request, _enforcement(name, found))


@routes.add("DELETE", template="identity/mfa/login-enforcement/{name}")
async def delete_enforcement(dialect: Dialect, request: Request, name: str) -> Reply:
    """Delete an enforcement; one that is not there is no error."""
    with suppress(NotFoundError):
        await dialect.run_operation(
            request, operations.DELETE_ENFORCEMENT, _at(_ENFORCEMENTS, name), Nothing()
        )
    return NO_CONTENT_REPLY


@routes.add("LIST", template="identity/mfa/login-enforcement")
async def list_enforcements(dialect: Dialect, request: Request) -> Reply:
    """All enforcements."""
    place = ResourcePath.parse(_ENFORCEMENTS)
    found = await dialect.run_operation(request, operations.LIST_ENFORCEMENTS, place, Nothing())
    return _keys_reply(request, {name: _enforcement(name, one) for name, one in found.items()})


def _requirement(requirement: MfaRequirement) -> dict[str, Any]:
    return {
        "mfa_request_id": requirement.request_id,
        "mfa_constraints": {
            name: {
                "any": [
                    {
                        "type": one.type,
                        "id": one.id,
                        "uses_passcode": one.type == TOTP,
                        "name": one.name,
                    }
                    for one in methods
                ]
            }
            for name, methods in requirement.constraints.items()
        },
    }


def _codes(fields: Fields) -> dict[str, tuple[str, ...]]:
    payload = fields.mapping("mfa_payload") or {}
    if len(payload) > MOST_ITEMS or not all(
        isinstance(codes, list) and all(isinstance(code, str) for code in codes)
        for codes in payload.values()
    ):
        raise ValidationError("payload_invalid", "invalid mfa payload", field="mfa_payload")
    return {method: tuple(codes) for method, codes in payload.items()}


def _settings(fields: Fields) -> dict[str, Any]:
    """What is named of a method."""
    period = fields.duration("period")
    given = {
        "name": fields.text("method_name") or None,
        "issuer": fields.text("issuer") or None,
        "period": None if period is None else period // SECOND,
        "key_size": fields.integer("key_size"),
        "qr_size": fields.integer("qr_size"),
        "algorithm": fields.text("algorithm").upper() or None,
        "digits": fields.integer("digits"),
        "skew": fields.integer("skew"),
        "max_validation_attempts": fields.integer("max_validation_attempts"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _method_id(fields: Fields) -> str:
    method_id = fields.text("method_id")
    if not method_id:
        raise ValidationError("method_missing", "missing method ID", field="method_id")
    return method_id


def _factor(fields: Fields) -> SelectFactor:
    wanted = SelectFactor(entity_id=fields.text("entity_id"), method_id=_method_id(fields))
    if not wanted.entity_id:
        raise ValidationError("entity_missing", "missing entityID", field="entity_id")
    return wanted


def _generated_reply(request: Request, found: Generated) -> Reply:
    if found.made is None:
        remark = f'Entity already has a secret for MFA method "{found.method}"'
        return data_reply(request, None, warnings=[remark])
    return data_reply(request, {"barcode": found.made.qr_code, "url": found.made.url})


def _method(one: StoredMethod) -> dict[str, Any]:
    settings = one.settings
    return {
        "algorithm": settings.algorithm,
        "digits": settings.digits,
        "id": one.id,
        "issuer": settings.issuer,
        "key_size": settings.key_size,
        "max_validation_attempts": settings.max_validation_attempts,
        "name": settings.name,
        **_NAMESPACE,
        "period": settings.period,
        "qr_size": settings.qr_size,
        "skew": settings.skew,
        "type": settings.type,
    }


def _enforcement(name: str, one: Enforcement) -> dict[str, Any]:
    return {
        "auth_method_accessors": list(one.accessors),
        "auth_method_types": list(one.types),
        "id": one.id,
        "identity_entity_ids": list(one.entities),
        "identity_group_ids": list(one.groups),
        "mfa_method_ids": list(one.methods),
        "name": name,
        **_NAMESPACE,
    }


def _keys_reply(request: Request, found: dict[str, Any]) -> Reply:
    """The answer to a LIST: 404 for an empty one, as clients expect."""
    if not found:
        raise NotFoundError("empty_list", "nothing is there")
    return data_reply(request, {"key_info": found, "keys": list(found)})


def _at(resource: str, name: str) -> ResourcePath:
    return ResourcePath.parse(f"{resource}/{name}")
