"""A mount of the type `database`: connections, roles, credentials, static roles, rotation."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec

from protocols import json_text
from protocols.instant import SECOND, rfc3339
from vault import operations
from vault.edge.compat.connection_details import INLINE_PASSWORD, PLUGINS, REDIS, read_details
from vault.edge.compat.envelope import NO_CONTENT_REPLY, data_reply, warnings_reply
from vault.edge.compat.fields import Fields
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.errors import ConflictError, NotFoundError, UnavailableError, ValidationError
from vault.model.dynamic import (
    CONNECTIONS,
    CREDENTIALS,
    RESET,
    ROLES,
    ROTATE_ROLE,
    ROTATE_ROOT,
    ROTATION_STATEMENTS,
    STATIC_CREDENTIALS,
    STATIC_ROLES,
)
from vault.model.operation import OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import (
    CreateCredentials,
    Nothing,
    ReadSecret,
    WriteConnection,
    WriteDatabaseRole,
    WriteStaticRole,
)
from vault.model.records import ConnectionRow, DatabaseRoleRow, MountRow
from vault.model.server_address import MYSQL
from vault.rotation.targets import templates

routes: Final = Router()

_PLUGIN_NAMES: Final = {
    "postgresql": "postgresql-database-plugin",
    "mysql": "mysql-database-plugin",
}
"""Of connections that were made by another API."""
_SHOWN_STATEMENTS: Final = "root_credentials_rotate_statements"
_UNSERVED_STATEMENTS: Final = ("rollback_statements", "renew_statements")
_CREDENTIAL_TYPES: Final = frozenset({"rsa_private_key", "client_certificate"})
_ACCOUNT: Final = re.compile(r"\{\{\s*(?:user)?name\s*\}\}['\"`]?@['\"`]([^'\"`]+)['\"`]")
"""An account of MySQL in a statement, with its host."""


@routes.add("GET", template="config/{name}")
async def read_connection(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """A connection, without what is secret of it."""
    row = await dialect.run_operation(
        request, operations.READ_CONNECTION, _path(mount, CONNECTIONS, name), Nothing()
    )
    return data_reply(request, _connection_body(row))


@routes.add("POST", template="config/{name}")
async def write_connection(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """Make a connection, or change what is named of one."""
    fields, path = Fields.from_body(request), _path(mount, CONNECTIONS, name)
    plugin = fields.text("plugin_name")
    if plugin and plugin not in PLUGINS:
        error = f"plugin not found in the catalog: {plugin}"
        raise ValidationError(
            "plugin_unknown",
            "error creating database object: invalid database version: 2 errors occurred:\n\t* "
            f"{error}\n\t* {error}\n\n",
            field="plugin_name",
        )
    known, is_new = None, False
    if not (plugin and (fields.value("connection_url") or fields.value("host"))):
        with suppress(NotFoundError):
            known = await dialect.run_operation(
                request, operations.READ_CONNECTION, path, Nothing(), part="-read"
            )
        is_new = known is None
    kind = PLUGINS[plugin] if plugin else "" if known is None else known.kind
    if not kind:
        raise ValidationError("plugin_missing", "empty plugin name", field="plugin_name")
    details = read_details(fields, kind, is_new=is_new)
    options: dict[str, Any] = {"connection_details": details.shown}
    if plugin:
        options["plugin_name"] = plugin
    if "root_rotation_statements" in fields:
        given = fields.statements("root_rotation_statements")
        options[_SHOWN_STATEMENTS] = given
        options[ROTATION_STATEMENTS] = _split(given, kind)
    payload = WriteConnection(
        kind=kind,
        value=details.value,
        allowed_roles=fields.texts("allowed_roles") if "allowed_roles" in fields else None,
        options=options,
        verify=fields.boolean("verify_connection") is not False,
        merge=True,
    )
    with _as_verification():
        await dialect.run_operation(request, operations.WRITE_CONNECTION, path, payload)
    return warnings_reply(request, [INLINE_PASSWORD] if details.is_inline else [])


@routes.add("DELETE", template="config/{name}")
async def delete_connection(
    dialect: Dialect, request: Request, mount: MountRow, name: str
) -> Reply:
    """Forget a connection that no role and no lease needs."""
    return await _delete(
        dialect, request, operations.DELETE_CONNECTION, _path(mount, CONNECTIONS, name)
    )


@routes.add("LIST", template="config")
@routes.add("LIST", template="config/")
async def list_connections(dialect: Dialect, request: Request, mount: MountRow) -> Reply:
    """The names of the connections."""
    rows = await dialect.run_operation(
        request, operations.LIST_CONNECTIONS, _folder(mount, CONNECTIONS), Nothing()
    )
    return _keys_reply(request, [row.path.rpartition("/")[2] for row in rows])


@routes.add("POST", template="reset/{name}")
async def reset_connection(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """Log in anew. There is nothing to close: each operation has a connection of its own."""
    with _missing_connection(name), _as_verification():
        await dialect.run_operation(
            request, operations.CHECK_CONNECTION, _path(mount, RESET, name), Nothing()
        )
    return NO_CONTENT_REPLY


@routes.add("POST", template="rotate-root/{name}")
async def rotate_root(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """Replace the administrator's password by one that nobody is told."""
    with _missing_connection(name):
        await dialect.run_operation(
            request, operations.ROTATE_CONNECTION, _path(mount, ROTATE_ROOT, name), Nothing()
        )
    return NO_CONTENT_REPLY


@routes.add("GET", template="roles/{name}")
async def read_role(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """A role."""
    row = await dialect.run_operation(
        request, operations.READ_DATABASE_ROLE, _path(mount, ROLES, name), Nothing()
    )
    return data_reply(request, _role_body(row))


@routes.add("POST", template="roles/{name}")
async def write_role(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """Make a role, or change what is named of one."""
    fields, path = Fields.from_body(request), _path(mount, ROLES, name)
    _refuse_in_role(fields)
    given = _role_fields(fields)
    if len(given) < len(_NEW_ROLE):
        with suppress(NotFoundError):
            row = await dialect.run_operation(
                request, operations.READ_DATABASE_ROLE, path, Nothing(), part="-read"
            )
            given = {**_role_body(row), **given}
    role = {**_NEW_ROLE, **given}
    if not role["db_name"]:
        raise ValidationError("database_missing", "database name is required", field="db_name")
    if not role["creation_statements"]:
        raise ValidationError(
            "statements_missing", "empty creation statements", field="creation_statements"
        )
    with _missing_connection(role["db_name"]):
        connection = await dialect.run_operation(
            request,
            operations.READ_CONNECTION,
            _path(mount, CONNECTIONS, role["db_name"]),
            Nothing(),
            part="-connection",
        )
    payload = WriteDatabaseRole(
        connection=role["db_name"],
        config=_role_config(role, connection.kind),
        default_ttl=role["default_ttl"] * SECOND,
        max_ttl=role["max_ttl"] * SECOND,
        options={name: role[name] for name in _NEW_ROLE if name != "db_name"},
    )
    await dialect.run_operation(request, operations.WRITE_DATABASE_ROLE, path, payload)
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="roles/{name}")
async def delete_role(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """Forget a role. Its leases go on."""
    return await _delete(
        dialect, request, operations.DELETE_DATABASE_ROLE, _path(mount, ROLES, name)
    )


@routes.add("LIST", template="roles")
@routes.add("LIST", template="roles/")
async def list_roles(dialect: Dialect, request: Request, mount: MountRow) -> Reply:
    """The names of the roles."""
    rows = await dialect.run_operation(
        request, operations.LIST_DATABASE_ROLES, _folder(mount, ROLES), Nothing()
    )
    return _keys_reply(request, [row.path.rpartition("/")[2] for row in rows])


@routes.add("GET", template="creds/{name}")
async def create_credentials(
    dialect: Dialect, request: Request, mount: MountRow, name: str
) -> Reply:
    """A new user, with its lease."""
    with _unknown_role(name):
        issued = await dialect.run_operation(
            request,
            operations.CREATE_CREDENTIALS,
            _path(mount, CREDENTIALS, name),
            CreateCredentials(),
        )
    return data_reply(
        request,
        issued.value,
        lease_id=issued.lease.id,
        renewable=True,
        lease_duration=(issued.lease.expires_at - issued.lease.issued_at) // SECOND,
    )


@routes.add("GET", template="static-roles/{name}")
async def read_static_role(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """A static role."""
    role = await dialect.run_operation(
        request, operations.READ_STATIC_ROLE, _path(mount, STATIC_ROLES, name), Nothing()
    )
    body = {
        "credential_type": "password",
        "db_name": role.connection,
        "last_vault_rotation": rfc3339(role.rotated_at),
        "rotation_period": role.rotation_period // SECOND,
        "rotation_statements": list(role.statements),
        "username": role.username,
    }
    return data_reply(request, body)


@routes.add("POST", template="static-roles/{name}")
async def write_static_role(
    dialect: Dialect, request: Request, mount: MountRow, name: str
) -> Reply:
    """Make a static role, whose password is rotated at once, or change one."""
    fields = Fields.from_body(request)
    _refuse_in_role(fields)
    payload = WriteStaticRole(
        connection=fields.text("db_name"),
        username=fields.text("username"),
        rotation_period=_not_negative(fields, "rotation_period") * SECOND,
        statements=(
            fields.statements("rotation_statements") if "rotation_statements" in fields else None
        ),
    )
    await dialect.run_operation(
        request, operations.WRITE_STATIC_ROLE, _path(mount, STATIC_ROLES, name), payload
    )
    return NO_CONTENT_REPLY


@routes.add("DELETE", template="static-roles/{name}")
async def delete_static_role(
    dialect: Dialect, request: Request, mount: MountRow, name: str
) -> Reply:
    """Forget a static role. Its user keeps its password."""
    return await _delete(
        dialect, request, operations.DELETE_STATIC_ROLE, _path(mount, STATIC_ROLES, name)
    )


@routes.add("LIST", template="static-roles")
@routes.add("LIST", template="static-roles/")
async def list_static_roles(dialect: Dialect, request: Request, mount: MountRow) -> Reply:
    """The names of the static roles."""
    names = await dialect.run_operation(
        request, operations.LIST_STATIC_ROLES, _folder(mount, STATIC_ROLES), Nothing()
    )
    return _keys_reply(request, names)


@routes.add("GET", template="static-creds/{name}")
async def read_static_credentials(
    dialect: Dialect, request: Request, mount: MountRow, name: str
) -> Reply:
    """The password of a static role as it is now, and for how long."""
    with _unknown_role(name):
        found = await dialect.run_operation(
            request,
            operations.READ_SECRET,
            _path(mount, STATIC_CREDENTIALS, name),
            ReadSecret(),
        )
    value = json_text.decode(found.value or b"{}", type=dict[str, Any])
    if "password" not in value:  # its first rotation has just begun
        raise ValidationError("role_unknown", f"unknown role: {name}")
    period = (found.secret.rotation_policy or {}).get("interval", 0)
    rotated_at, now = found.version.created_at, dialect.world.now()
    due = found.secret.rotation_due or rotated_at + period
    body = {
        "last_vault_rotation": rfc3339(rotated_at),
        "password": value["password"],
        "rotation_period": period // SECOND,
        "ttl": max(due - now, 0) // SECOND,
        "username": value.get("username", ""),
    }
    return data_reply(request, body)


@routes.add("POST", template="rotate-role/{name}")
async def rotate_role(dialect: Dialect, request: Request, mount: MountRow, name: str) -> Reply:
    """Rotate a static role's password now."""
    try:
        await dialect.run_operation(
            request, operations.ROTATE_STATIC_ROLE, _path(mount, ROTATE_ROLE, name), Nothing()
        )
    except NotFoundError:
        raise ValidationError("role_unknown", "no static role found for role name") from None
    return NO_CONTENT_REPLY


def _path(mount: MountRow, folder: str, name: str) -> ResourcePath:
    return ResourcePath.parse(f"{mount.path}{folder}{name}")


def _folder(mount: MountRow, folder: str) -> ResourcePath:
    return ResourcePath.parse_folder(mount.path + folder)


async def _delete(
    dialect: Dialect,
    request: Request,
    operation: OperationType[Nothing, None],
    path: ResourcePath,
) -> Reply:
    """Delete something; what is not there is no error."""
    with suppress(NotFoundError):
        await dialect.run_operation(request, operation, path, Nothing())
    return NO_CONTENT_REPLY


def _keys_reply(request: Request, keys: list[str]) -> Reply:
    if not keys:
        raise NotFoundError("folder_empty", "nothing lies in this folder")
    return data_reply(request, {"keys": keys})


def _connection_body(row: ConnectionRow) -> dict[str, Any]:
    options = row.options
    return {
        "allowed_roles": row.allowed_roles,
        "connection_details": options.get("connection_details", {}),
        "password_policy": "",
        "plugin_name": options.get("plugin_name") or _PLUGIN_NAMES.get(row.kind, row.kind),
        "plugin_version": "",
        _SHOWN_STATEMENTS: options.get(_SHOWN_STATEMENTS, []),
    }


_NEW_ROLE: Final[dict[str, Any]] = {
    "creation_statements": [],
    "db_name": "",
    "default_ttl": 0,
    "max_ttl": 0,
    "revocation_statements": [],
}


def _role_body(row: DatabaseRoleRow) -> dict[str, Any]:
    """A role as it is shown; one of another API with what there is of it."""
    shown = {
        "creation_statements": list(row.config.get("creation_statements", ())),
        "db_name": row.connection.rpartition("/")[2],
        "default_ttl": row.default_ttl // SECOND,
        "max_ttl": row.max_ttl // SECOND,
        "revocation_statements": list(row.config.get("revocation_statements", ())),
    }
    known = {name: row.options[name] for name in _NEW_ROLE if name in row.options}
    return {
        **shown,
        **known,
        "credential_type": "password",
        "renew_statements": [],
        "rollback_statements": [],
    }


def _role_fields(fields: Fields) -> dict[str, Any]:
    """What a request names of a role."""
    given: dict[str, Any] = {}
    if "db_name" in fields:
        given["db_name"] = fields.text("db_name")
    for name in ("creation_statements", "revocation_statements"):
        if name in fields:
            given[name] = list(fields.statements(name))
    for name in ("default_ttl", "max_ttl"):
        if name in fields:
            given[name] = _not_negative(fields, name)
    return given


def _not_negative(fields: Fields, name: str) -> int:
    """Seconds."""
    seconds = (fields.duration(name) or 0) // SECOND
    if seconds < 0:
        raise ValidationError(
            "field_invalid",
            f'error converting input for field "{name}": cannot provide negative value '
            f"'{seconds}'",
            field=name,
        )
    return seconds


def _refuse_in_role(fields: Fields) -> None:
    """What would be dangerous to ignore."""
    for name in _UNSERVED_STATEMENTS:
        if fields.statements(name):
            raise _unserved(name, "the server's own way is used")
    kind = fields.text("credential_type")
    if kind in _CREDENTIAL_TYPES:
        raise _unserved(f"credential_type {kind}", "there are passwords only")
    if kind not in {"", "password"}:
        raise ValidationError(
            "credential_type_invalid",
            f'invalid credential_type "{kind}"',
            field="credential_type",
        )
    if any((fields.mapping("credential_config") or {}).values()):
        raise _unserved("credential_config", "a password has 32 letters and digits")
    for name in ("rotation_schedule", "rotation_window"):
        if fields.value(name):
            raise _unserved(name, "give rotation_period")


def _unserved(name: str, why: str) -> ValidationError:
    return ValidationError("setting_unsupported", f"{name} is not served: {why}")


def _role_config(role: dict[str, Any], kind: str) -> dict[str, Any]:
    """The settings of leased users of this kind."""
    created = role["creation_statements"]
    if kind == REDIS:
        return {"rules": _rules(created)}
    config: dict[str, Any] = {
        "creation_statements": _split(created, kind),
        "revocation_statements": _split(role["revocation_statements"], kind),
    }
    if kind == MYSQL and (account := _ACCOUNT.search("\n".join(created))):
        config["host"] = account[1]
    return config


def _rules(statements: list[str]) -> list[str]:
    """The rules of a user of Redis: each statement is a JSON list of them."""
    try:
        return [
            rule for text in statements for rule in json_text.decode(text.encode(), type=list[str])
        ]
    except msgspec.MsgspecError:
        raise ValidationError(
            "statements_invalid",
            'a creation statement is a JSON list of rules, as ["~*", "+@read"]',
            field="creation_statements",
        ) from None


def _split(statements: tuple[str, ...] | list[str], kind: str) -> list[str]:
    """Single statements: a text may hold several, with semicolons between."""
    try:
        return [statement for text in statements for statement in templates.split(text, kind)]
    except ValueError as error:
        raise ValidationError("statements_invalid", f"a statement is invalid: {error}") from None


@contextmanager
def _missing_connection(name: str) -> Iterator[None]:
    """A connection that is not there is the caller's fault."""
    try:
        yield
    except NotFoundError:
        raise ValidationError(
            "connection_unknown", f'failed to find entry for connection with name: "{name}"'
        ) from None


@contextmanager
def _unknown_role(name: str) -> Iterator[None]:
    try:
        yield
    except NotFoundError:
        raise ValidationError("role_unknown", f"unknown role: {name}") from None


@contextmanager
def _as_verification() -> Iterator[None]:
    """A server that does not let the agent in makes the connection wrong."""
    try:
        yield
    except UnavailableError as error:
        if error.code != "target_failed":
            raise
        raise ConflictError(
            error.code,
            f"error creating database object: error verifying connection: {error.message}",
        ) from None
