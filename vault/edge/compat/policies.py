"""`sys/policy`, `sys/policies/acl`, `sys/capabilities`: policies in Vault's language."""

import binascii
from base64 import b64decode
from contextlib import suppress
from typing import Final

from protocols.instant import SECOND
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply, system_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.acl.policy import AclPath
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY
from vault.model.name import canonical_name
from vault.model.path import ResourcePath
from vault.model.payloads import CheckCapabilities, Nothing, WritePolicy

routes: Final = Router()

_FOLDER: Final = "sys/policies"
_OWN_FORM: Final = "# Written in Freehold's own form: freehold policy get {}\n"


@routes.add("GET", "LIST", template="sys/policy")
async def list_policies(dialect: Dialect, request: Request) -> Reply:
    """All names, twice: clients of old read `policies`."""
    names = await _names(dialect, request)
    return system_reply(request, {"keys": names, "policies": names})


@routes.add("LIST", template="sys/policies/acl")
async def list_acl_policies(dialect: Dialect, request: Request) -> Reply:
    """All names."""
    return data_reply(request, {"keys": await _names(dialect, request)})


@routes.add("GET", template="sys/policy/{name}")
async def read_policy(dialect: Dialect, request: Request, name: str) -> Reply:
    """The text as it was written, under the name `rules`."""
    return system_reply(request, await _read(dialect, request, name, "rules"))


@routes.add("GET", template="sys/policies/acl/{name}")
async def read_acl_policy(dialect: Dialect, request: Request, name: str) -> Reply:
    """The text as it was written, under the name `policy`."""
    return data_reply(request, await _read(dialect, request, name, "policy"))


@routes.add("POST", template="sys/policy/{name}")
@routes.add("POST", template="sys/policies/acl/{name}")
async def write(dialect: Dialect, request: Request, name: str) -> Reply:
    """Write a policy; it is in force at once."""
    fields = Fields.from_body(request)
    text = fields.text("policy") or (fields.text("rules") if "/policy/" in request.path else "")
    if not text:
        raise ValidationError(
            "policy_missing", "'policy' parameter not supplied or empty", field="policy"
        )
    if canonical_name(name, "name") == ROOT_POLICY:
        raise ValidationError("policy_built_in", 'cannot update "root" policy', field="name")
    if fields.value("expiration") or fields.value("ttl"):
        raise ValidationError(
            "policy_expiration_unsupported",
            "a policy does not expire as a whole: give its paths an expiration",
            field="expiration",
        )
    document: dict[str, object] = {"acl": _plain(text)}
    if fields.boolean("cas_required"):
        document["cas_required"] = True
    payload = WritePolicy(document=document, cas=fields.integer("cas"))
    try:
        await dialect.run_operation(request, operations.WRITE_POLICY, _at(name), payload)
    except ValidationError as fault:
        raise ValidationError(fault.code, fault.message.removeprefix("acl ")) from None
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="sys/policy/{name}")
@routes.add("DELETE", template="sys/policies/acl/{name}")
async def delete(dialect: Dialect, request: Request, name: str) -> Reply:
    """Delete a policy; one that is not there is no error."""
    if (wanted := canonical_name(name, "name")) in {ROOT_POLICY, DEFAULT_POLICY}:
        quoted = f'"{wanted}"' if wanted == ROOT_POLICY else wanted
        raise ValidationError("policy_built_in", f"cannot delete {quoted} policy", field="name")
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.DELETE_POLICY, _at(name), Nothing())
    return NO_CONTENT_REPLY


@routes.add("POST", template="sys/capabilities-self")
async def own_capabilities(dialect: Dialect, request: Request) -> Reply:
    """What the caller may do on some paths."""
    asked = CheckCapabilities(paths=_paths(Fields.from_body(request)))
    place = ResourcePath.parse("sys/capabilities-self")
    found = await dialect.run_operation(request, operations.CHECK_OWN_CAPABILITIES, place, asked)
    return _capabilities_reply(request, found)


@routes.add("POST", template="sys/capabilities")
async def capabilities(dialect: Dialect, request: Request) -> Reply:
    """What a token may do on some paths."""
    fields = Fields.from_body(request)
    if not (token := fields.text("token")):
        raise ValidationError("missing_token", "missing token", field="token")
    asked = CheckCapabilities(paths=_paths(fields), token=token)
    place = ResourcePath.parse("sys/capabilities")
    found = await dialect.run_operation(request, operations.CHECK_CAPABILITIES, place, asked)
    return _capabilities_reply(request, found)


@routes.add("POST", template="sys/capabilities-accessor")
async def accessor_capabilities(dialect: Dialect, request: Request) -> Reply:
    """What the token of an accessor may do on some paths."""
    fields = Fields.from_body(request)
    if not (accessor := fields.text("accessor")):
        raise ValidationError("missing_accessor", "missing accessor", field="accessor")
    asked = CheckCapabilities(paths=_paths(fields), accessor=accessor)
    place = ResourcePath.parse("sys/capabilities-accessor")
    found = await dialect.run_operation(request, operations.CHECK_CAPABILITIES, place, asked)
    return _capabilities_reply(request, found)


@routes.add("GET", template="sys/internal/ui/resultant-acl")
async def resultant_acl(dialect: Dialect, request: Request) -> Reply:
    """What the caller's policies say, path by path, as the web interface of OpenBao reads it."""
    place = ResourcePath.parse("sys/internal/ui/resultant-acl")
    found = await dialect.run_operation(request, operations.READ_RESULTANT_ACL, place, Nothing())
    if found.root:
        return data_reply(request, {"root": True})
    exact = {path: _resultant(said) for path, said in sorted(found.exact_paths.items())}
    begun = {path: _resultant(said) for path, said in sorted(found.glob_paths.items())}
    return data_reply(request, {"exact_paths": exact, "glob_paths": begun, "root": False})


def _resultant(said: AclPath) -> dict[str, object]:
    """The permissions on one path; limits that are not set are left out."""
    shown: dict[str, object] = {
        "allowed_parameters": {name: list(one) for name, one in said.allowed_parameters.items()},
        "denied_parameters": {name: list(one) for name, one in said.denied_parameters.items()},
        "required_parameters": list(said.required_parameters),
        "max_wrapping_ttl": said.max_wrapping_ttl // SECOND,
        "min_wrapping_ttl": said.min_wrapping_ttl // SECOND,
        "pagination_limit": said.pagination_limit,
    }
    limits = {name: value for name, value in shown.items() if value}
    capabilities = sorted(one.value for one in said.capabilities)
    return {"capabilities": capabilities, **limits}


def _paths(fields: Fields) -> tuple[str, ...]:
    paths = fields.texts("paths") or fields.texts("path")
    if not paths:
        raise ValidationError("paths_missing", "paths must be supplied", field="paths")
    return paths


def _capabilities_reply(request: Request, found: dict[str, list[str]]) -> Reply:
    """By path; of a single path under the name `capabilities`, too."""
    shown: dict[str, object] = dict(found)
    if len(found) == 1:
        shown["capabilities"] = next(iter(found.values()))
    return system_reply(request, shown)


async def _names(dialect: Dialect, request: Request) -> list[str]:
    path = ResourcePath.parse_folder(f"{_FOLDER}/")
    listed = await dialect.run_operation(request, operations.LIST_POLICIES, path, Nothing())
    return listed.policies


async def _read(dialect: Dialect, request: Request, name: str, field: str) -> dict[str, object]:
    if canonical_name(name, "name") == ROOT_POLICY:
        await dialect.run_operation(
            request, operations.LIST_POLICIES, ResourcePath.parse_folder(f"{_FOLDER}/"), Nothing()
        )
        return {**_SETTINGS, "name": ROOT_POLICY, "version": 0, field: ""}
    found = await dialect.run_operation(request, operations.READ_POLICY, _at(name), Nothing())
    edition = {"version": found.version, "modified": found.updated_at} if found.version else {}
    return {
        **_SETTINGS,
        **edition,
        "cas_required": found.cas_required is True,
        "name": found.name,
        field: found.acl or _OWN_FORM.format(found.name),
    }


_SETTINGS: Final = {
    "allow_slashes_in_identity_templates": False,
    "allow_wildcards_in_identity_templates": False,
    "cas_required": False,
}
"""Of every policy: what an identity is called never becomes a part of a path, or a pattern."""


def _at(name: str) -> ResourcePath:
    return ResourcePath.parse(f"{_FOLDER}/{canonical_name(name, 'name')}")


def _plain(text: str) -> str:
    """The text, which may come in base64."""
    try:
        return b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):  # what is not UTF-8 is no policy in base64, either
        return text
