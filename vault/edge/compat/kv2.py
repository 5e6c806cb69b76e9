"""KV version 2: `data`, `subkeys`, `delete`, `undelete`, `destroy`.

A value goes through as the bytes of its JSON: it is spliced into the answer, never decoded.
Editing versions of a secret that is not there is no error: there is nothing left to do.
"""

from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from protocols import json_text
from protocols.instant import rfc3339
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.kv import folder_path, kv_value, new_secret_path, secret_path
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.payloads import ListKeys, PatchSecret, ReadSecret, SecretVersions, WriteSecret
from vault.model.records import MountRow, SecretRow, VersionRow
from vault.model.results import SecretValue

routes: Final = Router()
MERGE_PATCH: Final = "application/merge-patch+json"


class VersionBody(Struct, frozen=True):
    """What is told of a version with its value, and after a write."""

    created_time: str
    custom_metadata: dict[str, str] | None
    deletion_time: str
    destroyed: bool
    version: int

    @classmethod
    def of(cls, secret: SecretRow, version: VersionRow) -> "VersionBody":
        """From the rows."""
        return cls(
            rfc3339(version.created_at),
            secret.metadata or None,
            rfc3339(version.deletion_time) if version.deletion_time else "",
            version.destroyed,
            version.version,
        )


class DataBody(Struct, frozen=True):
    """A value with its version."""

    data: Any
    metadata: VersionBody


class SubkeysBody(Struct, frozen=True):
    """The keys of a value, with its version."""

    metadata: VersionBody
    subkeys: Any


@routes.add("GET", template="data/{path}")
async def read(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """A value; one that is deleted or destroyed is a 404 that still tells its version."""
    found = await _read(dialect, request, mount, path)
    body = VersionBody.of(found.secret, found.version)
    if found.value is None:
        return data_reply(request, DataBody(None, body), status=404)
    return data_reply(request, DataBody(kv_value(found.value), body))


@routes.add("POST", template="data/{path}")
async def write(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """A new version."""
    name, fields = new_secret_path(mount, path), Fields.from_body(request)
    payload = WriteSecret(value=_value(fields), cas=_cas(fields))
    written = await dialect.run_operation(request, operations.WRITE_SECRET, name, payload)
    body = VersionBody.of(written.secret, written.version)
    return data_reply(request, body, warnings=fields.ignored_field_warnings() or None)


@routes.add("PATCH", template="data/{path}")
async def patch(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """A new version: the current value with a JSON merge patch applied."""
    request.require_media_type(MERGE_PATCH)
    name, fields = new_secret_path(mount, path), Fields.from_body(request)
    payload = PatchSecret(patch=_value(fields), cas=_cas(fields))
    try:
        written = await dialect.run_operation(request, operations.PATCH_SECRET, name, payload)
    except NotFoundError as error:
        if error.code == "secret_not_found":
            return Reply(404)  # without a body, as OpenBao
        raise
    body = VersionBody.of(written.secret, written.version)
    return data_reply(request, body, warnings=fields.ignored_field_warnings() or None)


@routes.add("DELETE", template="data/{path}")
async def delete_current(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Hide the current version."""
    with suppress(NotFoundError):
        await dialect.run_operation(
            request, operations.DELETE_VERSIONS, secret_path(mount, path), SecretVersions()
        )
    return NO_CONTENT_REPLY


@routes.add("POST", template="delete/{path}")
async def delete(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Hide versions."""
    name, versions = new_secret_path(mount, path), _versions(request)
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.DELETE_VERSIONS, name, versions)
    return NO_CONTENT_REPLY


@routes.add("POST", template="undelete/{path}")
async def undelete(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Show hidden versions again."""
    name, versions = new_secret_path(mount, path), _versions(request)
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.UNDELETE_VERSIONS, name, versions)
    return NO_CONTENT_REPLY


@routes.add("POST", template="destroy/{path}")
async def destroy(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Erase versions for good."""
    name = new_secret_path(mount, path)
    versions = _versions(request, missing="no version number provided")
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.DESTROY_VERSIONS, name, versions)
    return NO_CONTENT_REPLY


@routes.add("GET", template="subkeys/{path}")
async def subkeys(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """The keys of a value down to `depth` (0: all), every leaf a null."""
    depth = Fields(request.query).integer("depth") or 0
    found = await _read(dialect, request, mount, path)
    body = VersionBody.of(found.secret, found.version)
    if found.value is None:
        return data_reply(request, SubkeysBody(body, None), status=404)
    value = json_text.decode(kv_value(found.value))
    keys = None if value is None else _subkeys(value, depth)  # a null has none
    return data_reply(request, SubkeysBody(body, keys))


async def list_keys(
    dialect: Dialect, request: Request, mount: MountRow, path: str, payload: ListKeys
) -> list[str]:
    """The children of a folder. Raises `NotFoundError` for none: that is how clients take it."""
    folder = folder_path(mount, path)
    found = await dialect.run_operation(request, operations.LIST_SECRET_KEYS, folder, payload)
    if not found.keys:
        raise NotFoundError("folder_empty", "nothing lies in this folder")
    return found.keys


async def _read(dialect: Dialect, request: Request, mount: MountRow, path: str) -> SecretValue:
    version = Fields(request.query).integer("version") if request.query else 0
    payload = ReadSecret(version=max(version or 0, 0))
    return await dialect.run_operation(
        request, operations.READ_SECRET, secret_path(mount, path), payload
    )


def _value(fields: Fields) -> bytes:
    if "data" not in fields:
        raise ValidationError("no_data", "no data provided", field="data")
    return fields.raw_mapping("data")


def _cas(fields: Fields) -> int | None:
    options = fields.mapping("options")
    if not options or "cas" not in options:
        return None
    try:
        return Fields(options).integer("cas") or 0  # a null that was given is no check left out
    except ValidationError:
        raise ValidationError(
            "cas_invalid", "error parsing check-and-set parameter", field="cas"
        ) from None


def _versions(request: Request, missing: str = "No version number provided") -> SecretVersions:
    """Raises `ValidationError` with `missing` for none: OpenBao has it in two spellings."""
    versions = Fields.from_body(request).integers("versions")
    if not versions:
        raise ValidationError("no_versions", missing, field="versions")
    return SecretVersions(versions=versions)


def _subkeys(value: dict[str, Any], depth: int) -> dict[str, Any]:
    """A copy with null for what has no keys, and below `depth` (0: nowhere) for what has some.

    A negative `depth` is 1, as in OpenBao. The outermost object stays one, be it empty.
    """
    if depth < 0 or depth == 1:
        return dict.fromkeys(value)
    return {
        key: _subkeys(item, max(depth - 1, 0)) if isinstance(item, dict) and item else None
        for key, item in value.items()
    }
