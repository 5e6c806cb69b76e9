"""Key-value mounts: which one a path lies in, and how its paths name secrets.

A secret's name is the mount's path and the rest: `secret/data/app/db` here is `secret/app/db` in
policies, in the audit log and in the native API.
"""

from contextlib import suppress
from typing import Final

from msgspec import Raw

from protocols.instant import SECOND
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Route
from vault.errors import MethodError, NotFoundError, ValidationError
from vault.model.path import RESERVED, ResourcePath
from vault.model.payloads import Nothing
from vault.model.records import MountRow

DEFAULT_LEASE_SECONDS: Final = (
    2_764_800  # seconds; 768 h, OpenBao's lease where nothing says otherwise
)


def default_lease(mount: MountRow) -> int:
    """How long (s) clients may keep a value that says nothing itself."""
    return (mount.default_lease_ttl or 0) // SECOND or DEFAULT_LEASE_SECONDS


def secret_path(mount: MountRow, path: str) -> ResourcePath:
    """The secret to read. Raises `NotFoundError` where only a folder can be."""
    if not path or path.endswith("/"):
        raise NotFoundError("secret_not_found", "there is no secret of this name")
    return ResourcePath.parse_secret(mount.path + path)


def new_secret_path(mount: MountRow, path: str) -> ResourcePath:
    """The secret to write. Raises `ValidationError` where only a folder can be."""
    if not path or path.endswith("/"):
        raise ValidationError("path_invalid", "cannot write to a path ending in '/'", field="path")
    return ResourcePath.parse_secret(mount.path + path)


def folder_path(mount: MountRow, path: str) -> ResourcePath:
    """The folder to list, with or without its closing slash."""
    return ResourcePath.parse_folder(mount.path + path)


def kv_value(value: bytes) -> Raw:
    """A value as KV clients expect it: an object. Another one, written natively, is put into one.

    A null is no object either, but OpenBao keeps and shows it, and so do we.
    """
    if value.startswith(b"{") or value == b"null":
        return Raw(value)
    return Raw(b'{"value":%b}' % value)


async def no_mount(dialect: Dialect, request: Request, path: str) -> Reply:
    """A path in no mount: who may not see what lies there hears 403, as everywhere."""
    name = ResourcePath.parse(path.rstrip("/"))
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.RESOLVE_MOUNT, name, Nothing())
    raise NotFoundError("no_handler", f'no handler for route "{path}". route entry not found.')


async def unsupported_method(_dialect: Dialect, _request: Request, *_values: object) -> Reply:
    """The path is one of the mount's, the method is not one of the path's."""
    raise MethodError("method_not_allowed", "unsupported operation")


NO_MOUNT: Final = Route("*", "{path}", no_mount)


def is_reserved(path: str) -> bool:
    """Whether a path is the agent's own (`sys/`, `auth/`, …) and in no mount."""
    return path.partition("/")[0] in RESERVED
