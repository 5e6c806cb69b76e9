"""Connections and roles of database mounts."""

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from actors.world import World
from vault import operations
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    ValidationError,
)
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.lease_targets import LeaseTargets
from vault.handlers.secrets import append_version, changed_meanwhile
from vault.handlers.stores import LeaseStore, LeaseTx
from vault.handlers.visibility import secret_facts
from vault.model.dynamic import (
    ANY_ROLE,
    CONNECTIONS,
    DEFAULT_MAX_TTL,
    DEFAULT_TTL,
    MOST_TTL,
    MOUNT_TYPE,
    ROLES,
    STATIC_CREDENTIALS,
)
from vault.model.mounts import MountTable
from vault.model.operation import NO_FACTS, Capability
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, WriteConnection, WriteDatabaseRole
from vault.model.records import ConnectionRow, DatabaseRoleRow, MountRow, SecretRow
from vault.rotation.rotator import RotationError

MAX_ROWS: Final = 1_000  # connections, and roles, of one mount: lists show no more
MAX_JSON: Final = 1 << 16  # bytes of settings or options
MAX_ALLOWED: Final = 200
_ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True)
class DatabaseRoleHandlers:
    """The handlers of `database.connection.*` and `database.role.*`."""

    store: LeaseStore
    mounts: MountTable
    targets: LeaseTargets
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.WRITE_CONNECTION,
                run=self.write_connection,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=_connection_request,
            ),
            Handler(
                operations.READ_CONNECTION, run=self.read_connection, capability=Capability.READ
            ),
            Handler(
                operations.LIST_CONNECTIONS, run=self.list_connections, capability=Capability.LIST
            ),
            Handler(
                operations.DELETE_CONNECTION,
                run=self.delete_connection,
                capability=Capability.DELETE,
                mutates=True,
            ),
            Handler(
                operations.WRITE_DATABASE_ROLE,
                run=self.write_role,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=_role_request,
            ),
            Handler(operations.READ_DATABASE_ROLE, run=self.read_role, capability=Capability.READ),
            Handler(
                operations.LIST_DATABASE_ROLES, run=self.list_roles, capability=Capability.LIST
            ),
            Handler(
                operations.DELETE_DATABASE_ROLE,
                run=self.delete_role,
                capability=Capability.DELETE,
                mutates=True,
            ),
        )

    async def write_connection(self, call: Call[WriteConnection]) -> ConnectionRow:
        """Make or replace a connection, after a login at its server.

        Raises `ValidationError`, `AuthorizationError` (`connection_denied`), `UnavailableError`
        (`target_failed`).
        """
        path, payload, base = call.op.path, call.payload, 0
        mount, _ = database_place(self.mounts, path, CONNECTIONS)
        kind = self.targets.kind(payload.kind)
        if payload.merge:
            payload, base = await self._merged(call)
        _check_allowed(payload.allowed_roles or ())
        _check_json(payload.options, "options")
        if payload.value is not None:
            if payload.secret:
                raise ValidationError(
                    "connection_invalid", "give secret or value, not both", field="secret"
                )
            _check_json(payload.value, "value")
        secret = await self._secret_of(call, payload)
        if payload.verify:
            try:
                await self.targets.run(path, secret, kind.check, value=payload.value)
            except RotationError as error:
                raise target_failed(error) from None

        def change(tx: LeaseTx) -> ConnectionRow:
            now = self.world.now()
            stored = tx.get_connection(path)
            if secret != path and not tx.connect(secret):  # not secret: a path
                raise connected_secret_missing()
            if stored is None and len(tx.list_connections(mount.path, MAX_ROWS)) == MAX_ROWS:
                raise ValidationError("connections_full", f"a mount has {MAX_ROWS} connections")
            if stored is not None and stored.kind != payload.kind and tx.has_users(path):
                raise ConflictError(
                    "connection_in_use",
                    "the connection has leases, whose users are of its kind: revoke them first",
                )
            if payload.merge:
                require_version(tx.get_secret(path), base)
            if payload.value is not None:
                self._write_value(tx, call, mount, payload.value, now)
            row = ConnectionRow(
                path=str(path),
                kind=payload.kind,
                secret=secret,
                allowed_roles=list(payload.allowed_roles or ()),
                options=payload.options,
                created_at=now if stored is None else stored.created_at,
                updated_at=now,
                updated_by=call.identity.name,
            )
            tx.put_connection(row)
            return row

        return await self.store.transact(change, max_encryptions=1)

    async def _secret_of(self, call: Call[WriteConnection], payload: WriteConnection) -> str:
        """The secret that the connection will have; the caller may read what it does not bring.

        Who names a server for a password that is kept is sent that password there, and statements
        that rotate it run as the administrator. Raises `ValidationError`, `AuthorizationError`.
        """
        path = call.op.path
        known = await self.store.get_connection(path)
        secret = payload.secret or (str(path) if payload.value is not None else "")
        if not secret and known is None:
            raise ValidationError(
                "connection_invalid",
                "a new connection needs a secret, or the value of one",
                field="secret",
            )
        if not secret and known is not None:
            secret = known.secret
        keeps = known is not None and (payload.merge or payload.value is None)
        if keeps or secret != path:  # not secret: a path
            await require_secret_access(self, call, secret)
        return secret

    async def _merged(self, call: Call[WriteConnection]) -> tuple[WriteConnection, int]:
        """The payload over what is there, and the version of the secret that it is laid over."""
        path, payload = call.op.path, call.payload
        known, secret = await self.store.get_connection(path), await self.store.get_secret(path)
        base = 0 if secret is None else secret.current_version
        if known is None:
            return payload, base
        value = payload.value or None
        if value is not None and known.secret == path:  # not secret: paths
            try:
                value = {**await self.targets.read(known.secret), **value}
            except RotationError as error:
                raise target_failed(error) from None
        allowed = payload.allowed_roles
        merged = msgspec.structs.replace(
            payload,
            value=value,
            allowed_roles=tuple(known.allowed_roles) if allowed is None else allowed,
            options=_laid_over(known.options, payload.options),
        )
        return merged, base

    def _write_value(
        self, tx: LeaseTx, call: Call[Any], mount: MountRow, value: dict[str, str], now: int
    ) -> None:
        """A version of the secret at the connection's own path."""
        head = tx.get_secret(call.op.path) or SecretRow(
            name=str(call.op.path),
            id=self.world.new_id(),
            created_at=0,
            updated_at=0,
            created_by=call.identity.name,
        )
        append_version(
            tx,
            mount,
            head,
            msgspec.json.encode(value),
            expires_at=0,
            by=call.identity.name,
            now=now,
        )

    async def read_connection(self, call: Call[Nothing]) -> ConnectionRow:
        """A connection, without what it logs in with."""
        return connection_of(await self.store.get_connection(call.op.path))

    async def list_connections(self, call: Call[Nothing]) -> list[ConnectionRow]:
        """The connections of a mount, by name."""
        return await self.store.list_connections(
            database_mount(self.mounts, call.op.path, CONNECTIONS).path
        )

    async def delete_connection(self, call: Call[Nothing]) -> None:
        """Delete a connection, and the secret at its path.

        Raises `ConflictError` (`connection_in_use`) while a role or a lease needs it.
        """
        path = call.op.path
        mount, _ = database_place(self.mounts, path, CONNECTIONS)

        def change(tx: LeaseTx) -> None:
            connection_of(tx.get_connection(path))
            roles = tx.list_roles(mount.path, MAX_ROWS)
            if any(role.connection == path for role in roles) or tx.has_users(path):
                raise ConflictError(
                    "connection_in_use",
                    "roles or leases need the connection: delete its roles, and revoke its leases",
                )
            secret = tx.get_secret(path)
            if secret is not None:
                tx.erase_secret(secret)
            tx.delete_connection(path)

        await self.store.transact(change)

    async def write_role(self, call: Call[WriteDatabaseRole]) -> DatabaseRoleRow:
        """Make or replace a role. Leases that it has made keep the settings that it had.

        Its statements run as the connection's administrator, so the caller must be allowed to read
        the connection's secret. Raises `ValidationError`, `AuthorizationError`.
        """
        path, payload = call.op.path, call.payload
        mount, name = database_place(self.mounts, path, ROLES)
        default = payload.default_ttl or min(DEFAULT_TTL, payload.max_ttl or DEFAULT_TTL)
        longest = payload.max_ttl or max(DEFAULT_MAX_TTL, default)
        if not 0 < default <= longest <= MOST_TTL:
            raise ValidationError(
                "ttl_invalid",
                "default_ttl is above 0 and at most max_ttl, which is at most 366 days",
                field="default_ttl",
            )
        _check_json(payload.options, "options")
        _check_json(payload.config, "config")
        where = f"{mount.path}{CONNECTIONS}{payload.connection}"
        connection = await self.store.get_connection(where)
        if connection is None:
            raise ValidationError(
                "connection_unknown",
                "there is no such connection: write it first",
                field="connection",
            )
        require_allowed(connection, name)
        await require_secret_access(self, call, connection.secret)
        self.targets.kind(connection.kind).parse(payload.config)
        static = ResourcePath.parse_secret(f"{mount.path}{STATIC_CREDENTIALS}{name}")

        def change(tx: LeaseTx) -> DatabaseRoleRow:
            now = self.world.now()
            current, stored = tx.get_connection(where), tx.get_role(path)
            if current is None or (current.secret, current.kind) != (
                connection.secret,
                connection.kind,
            ):
                raise ConflictError(
                    "connection_changed", "the connection was changed meanwhile: try again"
                )
            if tx.get_secret(static) is not None:
                raise ValidationError("role_exists", "Role and Static Role names must be unique")
            if stored is None and len(tx.list_roles(mount.path, MAX_ROWS)) == MAX_ROWS:
                raise ValidationError("roles_full", f"a mount has {MAX_ROWS} roles")
            row = DatabaseRoleRow(
                path=str(path),
                connection=where,
                config=payload.config,
                default_ttl=default,
                max_ttl=longest,
                options=payload.options,
                created_at=now if stored is None else stored.created_at,
                updated_at=now,
                updated_by=call.identity.name,
            )
            tx.put_role(row)
            return row

        return await self.store.transact(change)

    async def read_role(self, call: Call[Nothing]) -> DatabaseRoleRow:
        """A role."""
        return role_of(await self.store.get_role(call.op.path))

    async def list_roles(self, call: Call[Nothing]) -> list[DatabaseRoleRow]:
        """The roles of a mount, by name."""
        return await self.store.list_roles(database_mount(self.mounts, call.op.path, ROLES).path)

    async def delete_role(self, call: Call[Nothing]) -> None:
        """Delete a role. Its leases go on until they end."""
        path = call.op.path

        def change(tx: LeaseTx) -> None:
            role_of(tx.get_role(path))
            tx.delete_role(path)

        await self.store.transact(change)


def database_mount(mounts: MountTable, path: ResourcePath, folder: str) -> MountRow:
    """The database mount whose folder a path lies in. Raises `NotFoundError` (`no_database`)."""
    mount = mounts.find_for_path(path)
    if mount is None or mount.type != MOUNT_TYPE or not path.startswith(mount.path + folder):
        raise NotFoundError(
            "no_database",
            "there is no database mount here: create one with 'freehold mount create database/ "
            "--type database'",
        )
    return mount


def database_place(mounts: MountTable, path: ResourcePath, folder: str) -> tuple[MountRow, str]:
    """The mount of a path, and the one segment behind the folder in it."""
    mount = database_mount(mounts, path, folder)
    name = path.removeprefix(mount.path + folder)
    if not name or "/" in name:
        raise ValidationError("name_invalid", "a name is one segment of a path", field="name")
    return mount, name


def require_allowed(connection: ConnectionRow, role: str) -> None:
    """Raise `AuthorizationError` (`role_not_allowed`)."""
    if ANY_ROLE not in connection.allowed_roles and role not in connection.allowed_roles:
        raise AuthorizationError(
            "role_not_allowed",
            "the connection does not allow this role: add it to its allowed_roles",
        )


class SecretHeads(Protocol):
    """Documented at `vault.handlers.stores.LeaseStore`."""

    def get_secret(self, path: str) -> Awaitable[SecretRow | None]:
        """The secret."""
        ...


class SecretAccess(Protocol):
    """What says whether a caller may read a secret."""

    @property
    def store(self) -> SecretHeads:
        """Where its tags and metadata are."""
        ...

    @property
    def authorizer(self) -> Authorizer:
        """The policies."""
        ...

    @property
    def world(self) -> World:
        """The time, which policies may ask for."""
        ...


async def require_secret_access(handlers: SecretAccess, call: Call[object], path: str) -> None:
    """Raise `AuthorizationError` unless the caller may read the secret that is connected with."""
    secret = await handlers.store.get_secret(path)
    access = AccessRequest(
        capability=Capability.READ,
        path=ResourcePath.parse_secret(path),
        identity=call.identity,
        origin=call.op.origin,
        facts=NO_FACTS if secret is None else secret_facts(secret),
        now=handlers.world.now(),
    )
    if not handlers.authorizer.decide(access).allowed:
        raise AuthorizationError(
            "connection_denied",
            "this would connect with a secret that you may not read: ask somebody who may",
        )
    if secret is None:  # its tags and metadata decide, too, and nobody knows them yet
        raise connected_secret_missing()


def connected_secret_missing() -> ValidationError:
    """Of a connection whose secret is not there."""
    return ValidationError(
        "connection_invalid",
        "the secret that it connects with is not there: write it first",
        field="secret",
    )


def connection_of(row: ConnectionRow | None) -> ConnectionRow:
    """Raises `NotFoundError` where there is none."""
    if row is None:
        raise NotFoundError("connection_not_found", "there is no such connection")
    return row


def role_of(row: DatabaseRoleRow | None) -> DatabaseRoleRow:
    """Raises `NotFoundError` where there is none."""
    if row is None:
        raise NotFoundError("role_not_found", "there is no such role")
    return row


def target_failed(error: RotationError) -> UnavailableError:
    """What a caller is told of a failure at a server."""
    return UnavailableError(
        "target_failed", f"{error.code}: {error.text}", cause=error.code, outcome="none"
    )


def require_version(secret: SecretRow | None, base: int) -> None:
    """Raise `ConflictError` if the secret has another version than the one that was read."""
    if (0 if secret is None else secret.current_version) != base:
        raise changed_meanwhile()


def _laid_over(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new fields over the old ones; objects in both of them one level deep as well."""
    merged = {**old, **new}
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict) and isinstance(new[name], dict):
            merged[name] = {**old[name], **new[name]}
    return merged


def _check_allowed(roles: tuple[str, ...]) -> None:
    if len(roles) > MAX_ALLOWED or not all(
        name == ANY_ROLE or _ROLE_NAME.fullmatch(name) for name in roles
    ):
        raise ValidationError(
            "allowed_roles_invalid",
            f"allowed_roles are at most {MAX_ALLOWED} names of letters, digits, - _ and dots, or *",
            field="allowed_roles",
        )


def _check_json(value: object, field: str) -> None:
    if len(msgspec.json.encode(value)) > MAX_JSON:
        raise TooLargeError("value_too_large", f"{field} may have at most {MAX_JSON} bytes")


def _connection_request(payload: WriteConnection) -> object:
    return {
        "kind": payload.kind,
        "secret": payload.secret,
        "has_value": payload.value is not None,
        "allowed_roles": payload.allowed_roles,
        "options": payload.options,
    }


def _role_request(payload: WriteDatabaseRole) -> object:
    return {
        "connection": payload.connection,
        "config": payload.config,
        "default_ttl": payload.default_ttl,
        "max_ttl": payload.max_ttl,
    }
