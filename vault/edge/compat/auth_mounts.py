"""`sys/auth`: which auth methods are enabled, where, with which settings."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from protocols.instant import SECOND
from vault import operations
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply, system_reply
from vault.edge.compat.fields import Fields
from vault.edge.compat.health import API_VERSION
from vault.edge.compat.kv import DEFAULT_LEASE_SECONDS
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import NotFoundError, ValidationError
from vault.model.auth_mounts import AUTH, LISTED, TOKEN_PATH
from vault.model.path import ResourcePath
from vault.model.payloads import EnableAuth, Nothing, SelectEntry, TuneAuth
from vault.model.records import AuthMountRow

routes: Final = Router()

TUNE: Final = "/tune"
PLUGIN: Final = f"v{API_VERSION}+builtin.freehold"
DEFAULT_LEASES: Final = {"default_lease_ttl": 0, "force_no_cache": False, "max_lease_ttl": 0}
_LISTS: Final = (
    "allowed_response_headers",
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
)
_LOCKOUT: Final = "user_lockout_config"
_LOCKOUT_TIMES: Final = ("lockout_counter_reset", "lockout_duration")


def mount_entry(row: dict[str, Any]) -> dict[str, Any]:
    """What every mount tells, in the sorted order of OpenBao's keys."""
    common = {
        "config": DEFAULT_LEASES,
        "external_entropy_access": False,
        "local": False,
        "options": None,
        "plugin_version": "",
        "running_plugin_version": PLUGIN,
        "running_sha256": "",
        "seal_wrap": False,
    }
    return dict(sorted({**common, **row}.items()))


_TOKENS: Final = mount_entry(
    {
        "accessor": "auth_token",
        "config": {**DEFAULT_LEASES, "token_type": "default-service"},
        "description": "token based credentials",
        "type": "token",
        "uuid": "token",
    }
)


@routes.add("GET", template="sys/auth")
async def list_(dialect: Dialect, request: Request) -> Reply:
    """Every auth mount, `token/` among them."""
    rows = await dialect.run_operation(
        request, operations.LIST_AUTH, ResourcePath.parse("sys/auth"), Nothing()
    )
    return system_reply(request, auth_methods(rows))


@routes.add("GET", template="sys/auth/{path}")
async def read(dialect: Dialect, request: Request, path: str) -> Reply:
    """One auth mount, or its tunable settings."""
    name, tune = _mount_path(path)
    if f"{name}/" == TOKEN_PATH:
        await dialect.run_operation(request, operations.LIST_AUTH, _resource(name), Nothing())
        return system_reply(request, _TOKEN_SETTINGS if tune else _TOKENS)
    try:
        row = await dialect.run_operation(request, operations.READ_AUTH, _resource(name), Nothing())
    except NotFoundError:
        what = (
            f'cannot fetch sysview for path "{AUTH}{name}/"'
            if tune
            else f"No auth engine at {name}/"
        )
        raise ValidationError("mount_not_found", what) from None
    return system_reply(request, _settings(row) if tune else _method(row))


@routes.add("POST", template="sys/auth/{path}")
async def write(dialect: Dialect, request: Request, path: str) -> Reply:
    """Enable an auth method, or change the settings of one."""
    name, tune = _mount_path(path)
    fields = Fields.from_body(request)
    if tune:
        return await _tune(dialect, request, name, fields)
    config = Fields(fields.mapping("config") or {})
    payload = EnableAuth(
        type=fields.text("type") or fields.text("plugin_name"),
        description=fields.text("description"),
        is_local=bool(fields.boolean("local")),
        options=fields.text_map("options") or {},
        tune=_tuned(config, with_description=False),
    )
    fields.boolean("seal_wrap")
    await dialect.run_operation(request, operations.ENABLE_AUTH, _resource(name), payload)
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="sys/auth/{path}")
async def disable(dialect: Dialect, request: Request, path: str) -> Reply:
    """Disable an auth method: its tokens end."""
    name, _ = _mount_path(path)
    if f"{name}/" == TOKEN_PATH:
        raise ValidationError("token_mount", "token credential backend cannot be disabled")
    with suppress(NotFoundError):
        await dialect.run_operation(request, operations.DISABLE_AUTH, _resource(name), Nothing())
    return NO_CONTENT_REPLY


@routes.add("GET", template="sys/locked-users")
async def locked_users(dialect: Dialect, request: Request) -> Reply:
    """The names that are locked, by mount."""
    found = await dialect.run_operation(
        request, operations.LIST_LOCKED_LOGINS, ResourcePath.parse("sys/locked-users"), Nothing()
    )
    mounts = [
        {"alias_identifiers": one.names, "counts": len(one.names), "mount_accessor": one.accessor}
        for one in found
    ]
    total = sum(len(one.names) for one in found)
    spaces = [
        {"counts": total, "mount_accessors": mounts, "namespace_id": "root", "namespace_path": ""}
    ]
    return data_reply(request, {"by_namespace": spaces if total else [], "total": total})


@routes.add("POST", template="sys/locked-users/{accessor}/unlock/{alias}")
async def unlock(dialect: Dialect, request: Request, accessor: str, alias: str) -> Reply:
    """End the lockout of a name."""
    place = ResourcePath.parse(f"sys/locked-users/{accessor}/unlock/{alias}")
    payload = SelectEntry(mount=accessor, kind="", name=alias)
    await dialect.run_operation(request, operations.UNLOCK_LOGIN, place, payload)
    return NO_CONTENT_REPLY


def auth_methods(rows: list[AuthMountRow]) -> dict[str, Any]:
    """The auth mounts by path, as `sys/auth` lists them."""
    return {row.path: _method(row) for row in rows} | {TOKEN_PATH: _TOKENS}


async def _tune(dialect: Dialect, request: Request, name: ResourcePath, fields: Fields) -> Reply:
    try:
        await dialect.run_operation(
            request, operations.TUNE_AUTH, _resource(name), _tuned(fields, with_description=True)
        )
    except NotFoundError:
        raise ValidationError(
            "mount_not_found", f'tune of path "{AUTH}{name}/" failed: no mount entry found'
        ) from None
    return NO_CONTENT_REPLY


def _tuned(fields: Fields, *, with_description: bool) -> TuneAuth:
    tuning: dict[str, Any] = {key: list(fields.texts(key)) for key in _LISTS if key in fields}
    lockout = fields.mapping(_LOCKOUT)
    if lockout is not None:
        given = Fields(lockout)
        tuning[_LOCKOUT] = {
            "lockout_threshold": given.integer("lockout_threshold") or 0,
            "lockout_disable": bool(given.boolean("lockout_disable")),
            **{key: given.duration(key) or 0 for key in _LOCKOUT_TIMES},
        }
    return TuneAuth(
        description=fields.text("description")
        if with_description and "description" in fields
        else None,
        default_lease_ttl=lease_ttl(fields, "default_lease_ttl"),
        max_lease_ttl=lease_ttl(fields, "max_lease_ttl"),
        token_type=fields.text("token_type") or None,
        listing_visibility=fields.text("listing_visibility")
        if "listing_visibility" in fields
        else None,
        options=fields.text_map("options"),
        tuning=tuning,
    )


def lease_ttl(fields: Fields, name: str) -> int | None:
    """A duration in ns; `system` is the default. None: it is not given."""
    if fields.value(name) == "system":
        return 0
    return fields.duration(name)


def _settings(row: AuthMountRow) -> dict[str, Any]:
    """What `tune` reads."""
    shown = {
        "default_lease_ttl": row.default_lease_ttl // SECOND or DEFAULT_LEASE_SECONDS,
        "description": row.description,
        "force_no_cache": False,
        "max_lease_ttl": row.max_lease_ttl // SECOND or DEFAULT_LEASE_SECONDS,
        "token_type": row.token_type,
        **_own_settings(row),
    }
    return shown | ({"options": row.options} if row.options else {})


def _own_settings(row: AuthMountRow) -> dict[str, Any]:
    """Those that are shown only where they are set."""
    shown: dict[str, Any] = {key: row.tuning[key] for key in _LISTS if key in row.tuning}
    if row.listing_visibility:
        shown["listing_visibility"] = row.listing_visibility
    if _LOCKOUT in row.tuning:
        held = row.tuning[_LOCKOUT]
        shown |= {f"user_{key}": held[key] // SECOND for key in _LOCKOUT_TIMES}
        shown["user_lockout_threshold"] = held["lockout_threshold"]
        shown["user_lockout_disable"] = held["lockout_disable"]
    return shown


_TOKEN_SETTINGS: Final = {
    "default_lease_ttl": DEFAULT_LEASE_SECONDS,
    "description": "token based credentials",
    "force_no_cache": False,
    "max_lease_ttl": DEFAULT_LEASE_SECONDS,
    "token_type": "default-service",
}


def _method(row: AuthMountRow) -> dict[str, Any]:
    own: dict[str, Any] = {key: row.tuning[key] for key in _LISTS if key in row.tuning}
    if row.listing_visibility:
        own["listing_visibility"] = row.listing_visibility
    return mount_entry(
        {
            "accessor": row.accessor,
            "config": {
                "default_lease_ttl": row.default_lease_ttl // SECOND,
                "force_no_cache": False,
                "max_lease_ttl": row.max_lease_ttl // SECOND,
                "token_type": row.token_type,
                **own,
            },
            "deprecation_status": "supported",
            "description": row.description,
            "local": row.is_local,
            "options": row.options,
            "type": row.type,
            "uuid": row.id,
        }
    )


def listed_methods(rows: Iterable[AuthMountRow]) -> dict[str, Any]:
    """The auth mounts that a sign-in page may offer to anybody, without what is internal."""
    return {
        row.path: {
            "description": row.description,
            "options": row.options,
            "type": row.type,
        }
        for row in rows
        if row.listing_visibility == LISTED
    }


def _mount_path(path: str) -> tuple[ResourcePath, bool]:
    """The mount's path, without its closing slash, and whether `/tune` was asked for."""
    tune = path.endswith(TUNE)
    return ResourcePath.parse(path.removesuffix(TUNE if tune else "/")), tune


def _resource(name: ResourcePath) -> ResourcePath:
    return ResourcePath.parse(f"sys/auth/{name}")
