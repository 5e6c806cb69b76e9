"""`/api/v1/secrets`, `versions`, `metadata`, `rollback`, `delete`, `undelete`, `destroy`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from protocols import json_text
from protocols.instant import parse_duration, parse_rfc3339
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import MERGE_PATCH, Endpoints
from vault.edge.native.views import (
    DiffBody,
    InfoBody,
    PageBody,
    SecretBody,
    VersionBody,
    diff_body,
    info_body,
    secret_body,
    value_body,
    version_bodies,
)
from vault.edge.request import Request
from vault.errors import NotFoundError, ValidationError
from vault.model.operation import OperationType
from vault.model.path import MAX_BYTES, ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    MAX_VERSIONS,
    CompareVersions,
    ListSecrets,
    Nothing,
    PatchSecret,
    ReadMetadata,
    ReadSecret,
    RollbackSecret,
    SecretVersions,
    WriteMetadata,
    WriteSecret,
)
from vault.model.records import SecretRow
from vault.model.results import SecretValue

secrets = Endpoints("secrets", "Values with their versions, metadata and tags.")
secret_path = ResourcePath.parse_secret

Number = Annotated[int, Meta(ge=0, lt=2**31)]  # of a version; 0: the current one, or none
Counted = Annotated[int, Meta(ge=1, lt=2**31)]
MAX_VERSIONS_AT_ONCE = 1_000  # versions of one edit


class CreateSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """A new secret. `value` is any JSON value."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_BYTES)]
    value: Raw
    metadata: dict[str, str] = {}
    tags: list[str] = []
    expires_at: str | None = None


class UpdateSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """A new version. `cas` is the version that must be current.

    Metadata and tags that are left out stay; without `expires_at` it never expires.
    """

    value: Raw
    cas: Number | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None
    expires_at: str | None = None


class UpdateMetadata(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays; a null value in `metadata` deletes its key."""

    metadata: dict[str, str | None] | None = None
    tags: list[str] | None = None
    expires_at: str | None = None
    max_versions: Annotated[int, Meta(ge=0, le=MAX_VERSIONS)] | None = None
    cas_required: bool | None = None
    delete_version_after: str | int | None = None


class VersionList(Struct, frozen=True, forbid_unknown_fields=True):
    """Which versions; empty means the current one."""

    versions: Annotated[list[Counted], Meta(max_length=MAX_VERSIONS_AT_ONCE)] = []


class RollbackTo(Struct, frozen=True, forbid_unknown_fields=True):
    """The version to write again, as a new one."""

    version: Counted
    cas: Number | None = None


class ReadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version; 0 is the current one."""

    version: Number = 0


class DiffQuery(Struct, frozen=True, forbid_unknown_fields=True, rename={"before": "from"}):
    """`from` one version `to` another; 0 is the secret as it is now."""

    before: Counted
    to: Number = 0


class CasQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The version that must be current."""

    cas: Number | None = None


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters, all of which must hold. `tags=a,b`; `metadata=env:prod,team:x`."""

    prefix: str = ""
    tags: str = ""
    metadata: str = ""
    status: Literal["", "active", "deleted", "destroyed", "empty"] = ""
    expiring_before: str = ""
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


@secrets.add("GET", "secrets", "List the secrets you may see", query=ListQuery, returns=PageBody)
async def list_(dialect: Dialect, request: Request, *, query: ListQuery) -> PageBody:
    payload = ListSecrets(
        tags=tuple(tag for tag in query.tags.split(",") if tag),
        metadata=_pairs(query.metadata),
        status=query.status,
        expiring_before=parse_expiry(query.expiring_before, "expiring_before") or 0,
        cursor=query.cursor,
        limit=query.limit,
    )
    folder = ResourcePath.parse_folder(query.prefix)
    page = await dialect.run_operation(request, operations.LIST_SECRETS, folder, payload)
    return PageBody(secrets=[secret_body(row) for row in page.secrets], cursor=page.cursor)


@secrets.add(
    "POST",
    "secrets",
    "Create a secret",
    body=CreateSecret,
    returns=SecretBody,
    status=201,
    errors=(409,),
)
async def create(dialect: Dialect, request: Request, *, body: CreateSecret) -> SecretBody:
    payload = WriteSecret(
        value=raw_value(body.value),
        metadata=body.metadata,
        tags=body.tags,
        expires_at=parse_expiry(body.expires_at, "expires_at"),
        create_only=True,
    )
    written = await dialect.run_operation(
        request, operations.WRITE_SECRET, secret_path(body.name), payload
    )
    return secret_body(written.secret)


@secrets.add("GET", "secrets/{path}", "Read a value", query=ReadQuery, returns=SecretBody)
async def read(dialect: Dialect, request: Request, name: str, *, query: ReadQuery) -> SecretBody:
    result = await dialect.run_operation(
        request, operations.READ_SECRET, secret_path(name), ReadSecret(version=query.version)
    )
    return value_read_body(result)


@secrets.add(
    "PUT", "secrets/{path}", "Write a version", body=UpdateSecret, returns=SecretBody, errors=(409,)
)
async def update(
    dialect: Dialect, request: Request, name: str, *, body: UpdateSecret
) -> SecretBody:
    payload = WriteSecret(
        value=raw_value(body.value),
        cas=body.cas,
        metadata=body.metadata,
        tags=body.tags,
        expires_at=parse_expiry(body.expires_at, "expires_at"),
        must_exist=True,
    )
    written = await dialect.run_operation(
        request, operations.WRITE_SECRET, secret_path(name), payload
    )
    return secret_body(written.secret)


@secrets.add(
    "PATCH",
    "secrets/{path}",
    "Merge a patch into the current value, as a new version",
    body=dict[str, Any],
    media_type=MERGE_PATCH,
    query=CasQuery,
    returns=SecretBody,
    errors=(409, 415),
)
async def patch(
    dialect: Dialect, request: Request, name: str, *, body: dict[str, Any], query: CasQuery
) -> SecretBody:
    payload = PatchSecret(patch=request.body, cas=query.cas)
    written = await dialect.run_operation(
        request, operations.PATCH_SECRET, secret_path(name), payload
    )
    return secret_body(written.secret)


@secrets.add("DELETE", "secrets/{path}", "Delete the current version (undelete undoes)", status=204)
async def delete_current(dialect: Dialect, request: Request, name: str) -> None:
    await dialect.run_operation(
        request, operations.DELETE_VERSIONS, secret_path(name), SecretVersions()
    )


@secrets.add("POST", "delete/{path}", "Delete versions", body=VersionList, returns=SecretBody)
async def delete(dialect: Dialect, request: Request, name: str, *, body: VersionList) -> SecretBody:
    return await _edit(dialect, request, operations.DELETE_VERSIONS, name, body)


@secrets.add("POST", "undelete/{path}", "Undelete versions", body=VersionList, returns=SecretBody)
async def undelete(
    dialect: Dialect, request: Request, name: str, *, body: VersionList
) -> SecretBody:
    return await _edit(dialect, request, operations.UNDELETE_VERSIONS, name, body)


@secrets.add(
    "POST", "destroy/{path}", "Destroy versions for good", body=VersionList, returns=SecretBody
)
async def destroy(
    dialect: Dialect, request: Request, name: str, *, body: VersionList
) -> SecretBody:
    return await _edit(dialect, request, operations.DESTROY_VERSIONS, name, body)


@secrets.add(
    "POST",
    "rollback/{path}",
    "Write an old version again",
    body=RollbackTo,
    returns=SecretBody,
    errors=(409,),
)
async def rollback(
    dialect: Dialect, request: Request, name: str, *, body: RollbackTo
) -> SecretBody:
    payload = RollbackSecret(version=body.version, cas=body.cas)
    written = await dialect.run_operation(
        request, operations.ROLL_BACK_SECRET, secret_path(name), payload
    )
    return secret_body(written.secret)


@secrets.add("GET", "versions/{path}", "List the versions", returns=list[VersionBody])
async def versions(dialect: Dialect, request: Request, name: str) -> list[VersionBody]:
    info = await dialect.run_operation(
        request, operations.READ_METADATA, secret_path(name), ReadMetadata()
    )
    return version_bodies(info)


@secrets.add(
    "GET",
    "diff/{path}",
    "What two versions differ in, but for their values",
    query=DiffQuery,
    returns=DiffBody,
)
async def diff(dialect: Dialect, request: Request, name: str, *, query: DiffQuery) -> DiffBody:
    asked = CompareVersions(before=query.before, after=query.to)
    return diff_body(
        await dialect.run_operation(request, operations.COMPARE_METADATA, secret_path(name), asked)
    )


@secrets.add("GET", "metadata/{path}", "Read everything but the values", returns=InfoBody)
async def metadata(dialect: Dialect, request: Request, name: str) -> InfoBody:
    payload = ReadMetadata(uses=True)
    return info_body(
        await dialect.run_operation(request, operations.READ_METADATA, secret_path(name), payload)
    )


@secrets.add(
    "PATCH",
    "metadata/{path}",
    "Change the metadata",
    body=UpdateMetadata,
    returns=SecretBody,
    errors=(409,),
)
async def write_metadata(
    dialect: Dialect, request: Request, name: str, *, body: UpdateMetadata
) -> SecretBody:
    after = body.delete_version_after
    payload = WriteMetadata(
        metadata=body.metadata,
        merge=True,
        tags=body.tags,
        expires_at=parse_expiry(body.expires_at, "expires_at"),
        max_versions=body.max_versions,
        cas_required=body.cas_required,
        delete_version_after=None
        if after is None
        else parse_duration(after, "delete_version_after"),
        must_exist=True,
    )
    return secret_body(
        await dialect.run_operation(request, operations.WRITE_METADATA, secret_path(name), payload)
    )


@secrets.add("DELETE", "metadata/{path}", "Erase a secret with all its versions", status=204)
async def purge(dialect: Dialect, request: Request, name: str) -> None:
    await dialect.run_operation(request, operations.PURGE_SECRET, secret_path(name), Nothing())


async def _edit(
    dialect: Dialect,
    request: Request,
    operation: OperationType[SecretVersions, SecretRow],
    name: str,
    body: VersionList,
) -> SecretBody:
    payload = SecretVersions(versions=tuple(body.versions))
    return secret_body(await dialect.run_operation(request, operation, secret_path(name), payload))


def value_read_body(result: SecretValue) -> SecretBody:
    """A value that was read. Raises `NotFoundError` where its version is deleted or destroyed."""
    if result.value is None:
        raise NotFoundError("version_deleted", "this version is deleted or destroyed")
    return value_body(result)


def raw_value(raw: Raw) -> bytes:
    """The bytes of a value, read once in full: what is sealed can be read again."""
    try:
        json_text.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError(
            "value_invalid", "value is not JSON that can be kept", field="value"
        ) from None
    return bytes(raw)


def parse_expiry(text: str | None, field: str) -> int | None:
    """None: leave it; "" : never; else an RFC 3339 time."""
    if text is None:
        return None
    return parse_rfc3339(text, field) if text else 0


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.partition(":") for pair in text.split(",") if pair]
    if any(not colon for _, colon, _ in pairs):
        raise ValidationError(
            "query_invalid", "metadata must look like key:value,key:value", field="metadata"
        )
    return {key: value for key, _, value in pairs}
