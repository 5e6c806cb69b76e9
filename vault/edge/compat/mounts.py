"""`sys/mounts`, `sys/internal/ui/mounts`: which key-value engines there are, their settings."""

from contextlib import suppress
from typing import Any, Final

from protocols.instant import SECOND
from vault import operations
from vault.edge.compat.auth_mounts import (
    DEFAULT_LEASES,
    auth_methods,
    lease_ttl,
    listed_methods,
    mount_entry,
)
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply, system_reply, warnings_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.kv import DEFAULT_LEASE_SECONDS, default_lease
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.dynamic import MOUNT_TYPE as DATABASE
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, TuneMount, WriteMount
from vault.model.records import MountRow

routes: Final = Router()

TUNE: Final = "/tune"
_VERSIONS: Final = {"kv": 1, "kv-v1": 1, "generic": 1, "kv-v2": 2}
_OF_ONE_VERSION: Final = frozenset({"kv-v1", "kv-v2"})  # whatever `options` say


@routes.add("GET", template="sys/mounts")
async def list_(dialect: Dialect, request: Request) -> Reply:
    """Every mount, the agent's own `sys/` among them."""
    rows = await dialect.run_operation(
        request, operations.LIST_MOUNTS, ResourcePath.parse("sys/mounts"), Nothing()
    )
    return system_reply(request, _engines(rows))


@routes.add("GET", template="sys/mounts/{path}")
async def read(dialect: Dialect, request: Request, path: str) -> Reply:
    """One mount, or its tunable settings."""
    name, tune = _mount_path(path)
    try:
        row = await dialect.run_operation(
            request, operations.READ_MOUNT, _resource(name), Nothing()
        )
    except NotFoundError:
        what = "cannot fetch sysview for path" if tune else "No secret engine mount at"
        raise ValidationError(
            "mount_not_found", f"{what} {_path_in_message(name, quoted=tune)}"
        ) from None
    if not tune:
        return system_reply(request, _engine(row))
    settings = {
        "default_lease_ttl": default_lease(row),
        "description": row.description,
        "force_no_cache": False,
        "max_lease_ttl": (row.max_lease_ttl or 0) // SECOND or DEFAULT_LEASE_SECONDS,
    }
    options = _options(row)
    return system_reply(request, {**settings, "options": options} if options else settings)


@routes.add("POST", template="sys/mounts/{path}")
async def write(dialect: Dialect, request: Request, path: str) -> Reply:
    """Make a mount, or change the settings of one."""
    name, tune = _mount_path(path)
    return await (_tune if tune else _enable)(dialect, request, name)


@routes.add("DELETE", template="sys/mounts/{path}")
async def disable(dialect: Dialect, request: Request, path: str) -> Reply:
    """Take a mount away with everything in it."""
    name, _ = _mount_path(path)
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.DELETE_MOUNT, _resource(name), Nothing())
    return NO_CONTENT_REPLY


@routes.add("GET", template="sys/internal/ui/mounts", public=True)
async def visible(dialect: Dialect, request: Request) -> Reply:
    """The mounts in which the caller may do anything at all.

    Without a token the auth mounts that are listed before a login (`listing_visibility`).
    """
    if dialect.credential(request) is None:
        await dialect.catch_up(request)
        shown = listed_methods(dialect.service.auth.mounts.list_mounts())
        return data_reply(request, {"auth": shown, "secret": {}})
    path = ResourcePath.parse("sys/internal/ui/mounts")
    rows = await dialect.run_operation(request, operations.LIST_VISIBLE_MOUNTS, path, Nothing())
    auth = await dialect.run_operation(
        request, operations.LIST_VISIBLE_AUTH, path, Nothing(), part="-auth"
    )
    return data_reply(request, {"auth": auth_methods(auth), "secret": _engines(rows)})


@routes.add("GET", template="sys/internal/ui/mounts/{path}")
async def preflight(dialect: Dialect, request: Request, path: str) -> Reply:
    """The mount that a path lies in: how clients learn the KV version.

    Told to any token that may use the mount; 403 is "no such mount" and "not for you" alike.
    """
    name = ResourcePath.parse(path.removesuffix("/"))
    try:
        row = await dialect.run_operation(request, operations.RESOLVE_MOUNT, name, Nothing())
    except (AuthorizationError, NotFoundError):
        raise AuthorizationError(
            "preflight_denied",
            "preflight capability check returned 403, please ensure client's policies grant "
            f'access to path "{name}/"',
        ) from None
    return data_reply(request, {**_engine(row), "path": row.path})


async def _enable(dialect: Dialect, request: Request, name: ResourcePath) -> Reply:
    fields = Fields.from_body(request)
    kind, options = fields.text("type"), Fields(fields.mapping("options") or {})
    if not kind:
        raise ValidationError(
            "type_missing", "backend type must be specified as a string", field="type"
        )
    version = _VERSIONS.get(kind)
    if version is None and kind != DATABASE:
        raise ValidationError("type_unknown", f"plugin not found in the catalog: {kind}")
    config = Fields(fields.mapping("config") or {})
    payload = WriteMount(
        type="kv" if version else DATABASE,
        version=(version if kind in _OF_ONE_VERSION else _version(options) or version) or 2,
        description=fields.text("description"),
        default_lease_ttl=lease_ttl(config, "default_lease_ttl") or 0,
        max_lease_ttl=lease_ttl(config, "max_lease_ttl") or 0,
    )
    try:
        await dialect.run_operation(request, operations.WRITE_MOUNT, _resource(name), payload)
    except ValidationError as error:
        if error.code != "path_reserved":
            raise
        raise ValidationError(error.code, f'cannot mount "{name}/"', field="path") from None
    return NO_CONTENT_REPLY


async def _tune(dialect: Dialect, request: Request, name: ResourcePath) -> Reply:
    fields = Fields.from_body(request)
    version = _version(Fields(fields.mapping("options") or {}))
    description = fields.text("description") if "description" in fields else None
    payload = TuneMount(
        version=version,
        description=description,
        default_lease_ttl=lease_ttl(fields, "default_lease_ttl"),
        max_lease_ttl=lease_ttl(fields, "max_lease_ttl"),
    )
    await dialect.catch_up(request)
    old = dialect.service.mounts.get(f"{name}/")
    try:
        await dialect.run_operation(request, operations.TUNE_MOUNT, _resource(name), payload)
    except NotFoundError:
        raise ValidationError(
            "mount_not_found", f'tune of path "{name}/" failed: no mount entry found'
        ) from None
    upgraded = old is not None and version is not None and version > old.version
    return warnings_reply(request, [_UPGRADED] if upgraded else [])


_UPGRADED: Final = (
    "Upgrading mount from version 1 to version 2. This mount will be unavailable for a brief "
    "period and will resume service shortly."
)


_SYSTEM: Final = mount_entry(
    {
        "accessor": "system",
        "config": {**DEFAULT_LEASES, "passthrough_request_headers": ["Accept"]},
        "description": "system endpoints used for control, policy and debugging",
        "seal_wrap": True,
        "type": "system",
        "uuid": "system",
    }
)
_CUBBYHOLE: Final = mount_entry(
    {
        "accessor": "cubbyhole",
        "description": "per-token private secret storage",
        "local": True,
        "type": "cubbyhole",
        "uuid": "cubbyhole",
    }
)


def _engine(row: MountRow) -> dict[str, Any]:
    return mount_entry(
        {
            "accessor": row.accessor,
            "config": {
                **DEFAULT_LEASES,
                "default_lease_ttl": (row.default_lease_ttl or 0) // SECOND,
                "max_lease_ttl": (row.max_lease_ttl or 0) // SECOND,
            },
            **({} if row.type == DATABASE else {"deprecation_status": "supported"}),
            "description": row.description,
            "options": _options(row),
            "type": row.type,
            "uuid": row.id,
        }
    )


def _options(row: MountRow) -> dict[str, str]:
    return {} if row.type == DATABASE else {"version": str(row.version)}


def _engines(rows: list[MountRow]) -> dict[str, Any]:
    found = {row.path: _engine(row) for row in rows} | {"cubbyhole/": _CUBBYHOLE, "sys/": _SYSTEM}
    return dict(sorted(found.items()))


def _mount_path(path: str) -> tuple[ResourcePath, bool]:
    """The mount's path, without its closing slash, and whether `/tune` was asked for."""
    tune = path.endswith(TUNE)
    return ResourcePath.parse(path.removesuffix(TUNE if tune else "/")), tune


def _path_in_message(name: str, *, quoted: bool) -> str:
    return f'"{name}/"' if quoted else f"{name}/"


def _resource(name: ResourcePath) -> ResourcePath:
    return ResourcePath.parse(f"sys/mounts/{name}")


def _version(options: Fields) -> int | None:
    """The KV version asked for."""
    if options.value("version") == "":
        return None
    version = options.integer("version")
    if version not in {None, 1, 2}:
        raise ValidationError("version_unknown", "there are KV versions 1 and 2", field="version")
    return version
