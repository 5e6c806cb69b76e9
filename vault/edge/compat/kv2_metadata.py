"""KV version 2 beside the values: `metadata`, `detailed-metadata`, `config`, and wrong paths."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from protocols.instant import go_duration, rfc3339
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.kv import new_secret_path, secret_path, unsupported_method
from vault.edge.compat.kv2 import MERGE_PATCH, list_keys
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.name import echoed
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_RESULT_BYTES,
    ListKeys,
    Nothing,
    ReadMetadata,
    TuneMount,
    WriteMetadata,
)
from vault.model.records import MountRow
from vault.model.results import SecretInfo

routes: Final = Router()
_METADATA: Final = ReadMetadata()
MAX_DETAILED: Final = 1_000  # secrets in one answer: each is a read with its own audit record


class VersionBody(Struct, frozen=True):
    """What the metadata tells of one version."""

    created_time: str
    deletion_time: str
    destroyed: bool


class MetadataBody(Struct, frozen=True, kw_only=True):
    """Everything about a secret but its values. We keep no version of the metadata itself."""

    cas_required: bool
    created_time: str
    current_metadata_version: int = 0
    current_version: int
    custom_metadata: dict[str, str] | None
    delete_version_after: str
    max_versions: int
    metadata_cas_required: bool = False
    oldest_version: int
    updated_time: str
    versions: dict[str, VersionBody]

    @classmethod
    def of(cls, info: SecretInfo) -> "MetadataBody":
        """From what the handler found."""
        secret = info.secret
        return cls(
            cas_required=secret.cas_required,
            created_time=rfc3339(secret.created_at),
            current_version=secret.current_version,
            custom_metadata=secret.metadata or None,
            delete_version_after=go_duration(secret.delete_version_after),
            max_versions=secret.max_versions,
            oldest_version=secret.oldest_version if secret.oldest_version > 1 else 0,
            updated_time=rfc3339(secret.updated_at),
            versions={
                str(row.version): VersionBody(
                    rfc3339(row.created_at),
                    rfc3339(row.deletion_time) if row.deletion_time else "",
                    row.destroyed,
                )
                for row in info.versions
            },
        )


class ConfigBody(Struct, frozen=True):
    """The settings that a mount gives its secrets."""

    cas_required: bool
    delete_version_after: str
    max_versions: int
    metadata_cas_required: bool = False


@routes.add("GET", template="metadata/{path}")
async def read(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Everything about a secret but its values."""
    info = await dialect.run_operation(
        request, operations.READ_METADATA, secret_path(mount, path), _METADATA
    )
    return data_reply(request, MetadataBody.of(info))


@routes.add("POST", template="metadata/{path}")
async def write(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Set what is given; `custom_metadata` is replaced whole. May come before the first value."""
    name, fields = new_secret_path(mount, path), Fields.from_body(request)
    payload = WriteMetadata(
        metadata=_custom_metadata(fields),
        max_versions=fields.integer("max_versions"),
        cas_required=fields.boolean("cas_required"),
        delete_version_after=_not_negative(fields),
    )
    if payload == WriteMetadata():
        payload = WriteMetadata(must_exist=True)  # a write of nothing makes nothing
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.WRITE_METADATA, name, payload)
    return NO_CONTENT_REPLY


@routes.add("PATCH", template="metadata/{path}")
async def patch(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Merge: a null sets a field back, and takes a key out of `custom_metadata`."""
    request.require_media_type(MERGE_PATCH)
    name, fields = new_secret_path(mount, path), Fields.from_body(request)
    custom = fields.mapping("custom_metadata")
    cleared = "custom_metadata" in fields and custom is None
    payload = WriteMetadata(
        metadata={} if cleared else _texts(custom),
        merge=not cleared,
        max_versions=fields.integer("max_versions") or (0 if "max_versions" in fields else None),
        cas_required=fields.boolean("cas_required")
        or (False if "cas_required" in fields else None),
        delete_version_after=_not_negative(fields),
        must_exist=True,
    )
    try:
        await dialect.run_operation(request, operations.WRITE_METADATA, name, payload)
    except NotFoundError:
        return Reply(404)
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="metadata/{path}")
async def purge(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Erase a secret whole."""
    with suppress(NotFoundError):
        await dialect.run_operation(
            request, operations.PURGE_SECRET, secret_path(mount, path), Nothing()
        )
    return NO_CONTENT_REPLY


@routes.add("LIST", template="metadata")
@routes.add("LIST", template="metadata/{path}")
async def list_(dialect: Dialect, request: Request, mount: MountRow, path: str = "") -> Reply:
    """The children of a folder; `after` and `limit` page through it."""
    keys = await list_keys(dialect, request, mount, path, _page(request))
    return data_reply(request, {"keys": keys})


@routes.add("LIST", template="detailed-metadata")
@routes.add("LIST", template="detailed-metadata/{path}")
async def list_detailed(
    dialect: Dialect, request: Request, mount: MountRow, path: str = ""
) -> Reply:
    """The children of a folder, with the metadata of those that the caller may read."""
    asked = replace(_page(request), looked_at=True)
    keys = await list_keys(dialect, request, mount, path, asked)
    if len(keys) > MAX_DETAILED:
        raise ValidationError("limit_needed", f"ask for a limit of at most {MAX_DETAILED}")
    folder = path and path.removesuffix("/") + "/"
    info: dict[str, object] = {key: {} for key in keys}
    size = 0
    for key in keys:
        if not key.endswith("/"):
            name = secret_path(mount, folder + key)
            try:
                found = await dialect.run_operation(
                    request, operations.READ_METADATA, name, _METADATA
                )
            except (AuthorizationError, NotFoundError):
                continue
            shown = msgspec.json.encode(MetadataBody.of(found))
            size += len(shown)
            if size > MAX_RESULT_BYTES:
                raise ValidationError("limit_needed", "too much for one answer; lower the limit")
            info[key] = Raw(shown)
    return data_reply(request, {"key_info": info, "keys": keys})


@routes.add("GET", template="config")
async def read_config(dialect: Dialect, request: Request, mount: MountRow) -> Reply:
    """The mount's settings."""
    row = await dialect.run_operation(request, operations.READ_MOUNT, _settings(mount), Nothing())
    after = "-1s" if row.delete_version_after < 0 else go_duration(row.delete_version_after)
    return data_reply(request, ConfigBody(row.cas_required, after, row.max_versions))


@routes.add("POST", template="config")
async def write_config(dialect: Dialect, request: Request, mount: MountRow) -> Reply:
    """Change the mount's settings; a negative `delete_version_after` switches it off."""
    fields = Fields.from_body(request)
    payload = TuneMount(
        max_versions=fields.integer("max_versions"),
        cas_required=fields.boolean("cas_required"),
        delete_version_after=fields.duration("delete_version_after"),
    )
    await dialect.run_operation(request, operations.TUNE_MOUNT, _settings(mount), payload)
    return NO_CONTENT_REPLY


@routes.add("LIST", template="data/{path}")
@routes.add("LIST", template="data")
async def _list_data(_dialect: Dialect, _request: Request, *values: object) -> Reply:
    return await unsupported_method(_dialect, _request, *values)


@routes.add("GET", "POST", "DELETE", template="data")
@routes.add("GET", "POST", "DELETE", template="metadata")
async def refuse_root(_dialect: Dialect, request: Request, _mount: MountRow) -> Reply:
    """The roots of the two trees hold nothing themselves."""
    return _wrong_path_reply(
        request, "Non-listing operations on the root of a K/V v2 mount are not supported."
    )


@routes.add("GET", template="{path}")
async def refuse_kv1_read(
    _dialect: Dialect, request: Request, _mount: MountRow, _path: str
) -> Reply:
    """A path of KV version 1 in a version 2 mount: refused with the path to use."""
    return _kv1_path_reply(request, "get")


@routes.add("LIST", template="{path}")
async def refuse_kv1_list(
    _dialect: Dialect, request: Request, _mount: MountRow, _path: str
) -> Reply:
    """A path of KV version 1 in a version 2 mount: refused with the path to use."""
    return _kv1_path_reply(request, "list")


@routes.add("POST", template="{path}")
async def refuse_kv1_write(
    _dialect: Dialect, request: Request, _mount: MountRow, _path: str
) -> Reply:
    """A path of KV version 1 in a version 2 mount: refused with the path to use."""
    return _kv1_path_reply(request, "put")


@routes.add("DELETE", template="{path}")
async def refuse_kv1_delete(
    _dialect: Dialect, request: Request, _mount: MountRow, _path: str
) -> Reply:
    """A path of KV version 1 in a version 2 mount: refused with the path to use."""
    return _kv1_path_reply(request, "delete")


def _kv1_path_reply(request: Request, command: str) -> Reply:
    return _wrong_path_reply(
        request,
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate "
        "API endpoints to use. If using the OpenBao CLI, use "
        f"'bao kv {command}' for this operation.",
    )


def _wrong_path_reply(request: Request, warning: str) -> Reply:
    return data_reply(request, None, status=404, warnings=[warning])


def _settings(mount: MountRow) -> ResourcePath:
    return ResourcePath.parse(f"sys/mounts/{mount.path.removesuffix('/')}")


def _page(request: Request) -> ListKeys:
    if not request.query:
        return ListKeys()
    fields = Fields(request.query)
    return ListKeys(after=fields.text("after"), limit=max(fields.integer("limit") or 0, 0))


def _not_negative(fields: Fields) -> int | None:
    duration = fields.duration("delete_version_after")
    if duration is not None and duration < 0:
        raise ValidationError(
            "field_invalid",
            'error converting input for field "delete_version_after": it must not be negative',
            field="delete_version_after",
        )
    return duration


def _custom_metadata(fields: Fields) -> dict[str, str | None] | None:
    """All of it; a null takes all away. Raises `ValidationError` for a value that is empty."""
    if "custom_metadata" not in fields:
        return None
    found = fields.text_map("custom_metadata") or {}
    _refuse_empty(found)
    return {**found}


def _refuse_empty(custom: Mapping[str, object]) -> None:
    for key, value in custom.items():
        if value == "":
            raise ValidationError(
                "field_invalid",
                f'custom_metadata validation failed: length of value for key "{echoed(key)}" is 0 '
                "but must be 0 < len(value) <= 512",
                field="custom_metadata",
            )


def _texts(custom: dict[str, Any] | None) -> dict[str, str | None] | None:
    """A merge patch for text values. Raises `ValidationError` for any other value."""
    for value in (custom or {}).values():
        if value is not None and not isinstance(value, str):
            raise ValidationError(
                "field_invalid", "custom_metadata holds text only", field="custom_metadata"
            )
    _refuse_empty(custom or {})
    return custom
