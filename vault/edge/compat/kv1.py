"""KV version 1: the body of a request is the value, whole; one version, no history."""

from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from protocols import json_text
from protocols.instant import SECOND
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.kv import (
    DEFAULT_LEASE_SECONDS,
    default_lease,
    kv_value,
    new_secret_path,
    secret_path,
)
from vault.edge.compat.kv2 import list_keys
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.payloads import ListKeys, Nothing, ReadSecret, WriteSecret
from vault.model.records import MountRow

routes: Final = Router()


class LeaseFields(Struct, frozen=True):
    """The two fields of a value that say how long a client may keep it."""

    ttl: Any = msgspec.UNSET
    lease: Any = msgspec.UNSET


@routes.add("GET", template="{path}")
async def read(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """A value."""
    name = secret_path(mount, path)
    found = await dialect.run_operation(request, operations.READ_SECRET, name, ReadSecret())
    if found.value is None:
        raise NotFoundError("version_deleted", "this secret is deleted")
    return data_reply(
        request,
        kv_value(found.value),
        lease_duration=lease_seconds(found.value, default_lease(mount)),
        warnings=Fields(request.query).ignored_field_warnings() or None,
    )


@routes.add("POST", template="{path}")
@routes.add("POST", template="")
async def write(dialect: Dialect, request: Request, mount: MountRow, path: str = "") -> Reply:
    """Replace the value by the body."""
    name = new_secret_path(mount, path)
    fields = request.decode_json(dict[str, Raw])
    if not fields:
        raise ValidationError("no_data", "missing data fields")
    request.decode_json(dict[str, Any])  # to the last character: what is kept must be readable
    await dialect.run_operation(
        request, operations.WRITE_SECRET, name, WriteSecret(value=request.body.strip())
    )
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="{path}")
async def delete(dialect: Dialect, request: Request, mount: MountRow, path: str) -> Reply:
    """Erase the secret: there is no version to keep."""
    with suppress(NotFoundError):
        await dialect.run_operation(
            request, operations.REMOVE_SECRET, secret_path(mount, path), Nothing()
        )
    return NO_CONTENT_REPLY


@routes.add("LIST", template="{path}")
@routes.add("LIST", template="")
async def list_(dialect: Dialect, request: Request, mount: MountRow, path: str = "") -> Reply:
    """The children of a folder, all of them."""
    fields = Fields(request.query)
    fields.text("list")
    keys = await list_keys(dialect, request, mount, path, ListKeys())
    return data_reply(request, {"keys": keys}, warnings=fields.ignored_field_warnings() or None)


def lease_seconds(value: bytes, default: int = DEFAULT_LEASE_SECONDS) -> int:
    """How long a client may keep a value: its own `ttl` (or `lease`), else that of the mount.

    A `ttl` that is no duration counts as absent, and an empty or null one as 0.
    """
    if b'"ttl"' not in value and b'"lease"' not in value:
        return default
    try:
        lease = json_text.decode(value, type=LeaseFields)
        asked = lease.lease if lease.ttl is msgspec.UNSET else lease.ttl
        if asked is msgspec.UNSET or isinstance(asked, float):
            return default
        return (Fields({"ttl": asked}).duration("ttl") or 0) // SECOND
    except (msgspec.ValidationError, ValidationError):
        return default
