"""Static roles of database mounts, and the administrator's own password: rotations on request.

A static role is the secret `MOUNT/static-creds/NAME` with a rotation policy, and nothing else. So
its password is rotated, undone, read and watched as that of any other secret.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.structs import replace

from actors.world import World
from protocols.instant import SECOND
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import NotFoundError, UnavailableError, ValidationError
from vault.handlers.database_roles import (
    connected_secret_missing,
    connection_of,
    database_mount,
    database_place,
    require_allowed,
    require_secret_access,
    target_failed,
)
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.lease_targets import LeaseTargets
from vault.handlers.rotation_schedule import effective_policy, parse_policy, schedule
from vault.handlers.rotations import start_rotation
from vault.handlers.secrets import append_version
from vault.handlers.stores import DatabaseTx, StaticRoleStore
from vault.model.dynamic import (
    CONNECTIONS,
    RESET,
    ROLES,
    ROTATE_ROLE,
    ROTATE_ROOT,
    ROTATION_STATEMENTS,
    STATIC_CREDENTIALS,
    STATIC_ROLES,
)
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, WriteStaticRole
from vault.model.records import ConnectionRow, MountRow, RotationRow, SecretRow
from vault.model.results import StaticRole
from vault.model.rotation import ENDED, LEAST_INTERVAL, RotationPolicy, RotationState
from vault.rotation.rotator import RotationError, Rotators

MAX_LISTED: Final = 1_000
WAIT_SECONDS: Final = 45.0  # for a rotation to come to something; a request may take 90 s
LOOK_SECONDS: Final = 0.1  # between two looks at it
_FAILED: Final = frozenset({RotationState.UNDOING, RotationState.UNDONE, RotationState.STUCK})


@dataclass(frozen=True)
class StaticRoleHandlers:
    """The handlers of `database.static_role.*`, and of rotate and check of connections."""

    store: StaticRoleStore
    mounts: MountTable
    rotators: Rotators
    targets: LeaseTargets
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.WRITE_STATIC_ROLE,
                run=self.write,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=msgspec.to_builtins,
            ),
            Handler(operations.READ_STATIC_ROLE, run=self.read, capability=Capability.READ),
            Handler(operations.LIST_STATIC_ROLES, run=self.list, capability=Capability.LIST),
            Handler(
                operations.DELETE_STATIC_ROLE,
                run=self.delete,
                capability=Capability.DELETE,
                mutates=True,
            ),
            Handler(
                operations.ROTATE_STATIC_ROLE,
                run=self.rotate,
                capability=Capability.UPDATE,
                mutates=True,
            ),
            Handler(
                operations.ROTATE_CONNECTION,
                run=self.rotate_connection,
                capability=Capability.UPDATE,
                mutates=True,
            ),
            Handler(
                operations.CHECK_CONNECTION,
                run=self.check_connection,
                capability=Capability.UPDATE,
                mutates=True,
            ),
        )

    async def write(self, call: Call[WriteStaticRole]) -> Nothing:
        """Make a static role and rotate its user's password, or change a role.

        A role whose first rotation fails is not made. Raises `ValidationError`,
        `AuthorizationError`, `UnavailableError` (`rotation_failed`).
        """
        payload, path = call.payload, call.op.path
        mount, name = database_place(self.mounts, path, STATIC_ROLES)
        secret_path = ResourcePath.parse_secret(f"{mount.path}{STATIC_CREDENTIALS}{name}")
        stored = await self.store.get_secret(secret_path)
        policy, connection = await self._policy(mount, name, payload, stored)
        await require_secret_access(self, call, connection)
        if stored is None:
            await self._require_no_administrator(connection, payload.username)
        now = self.world.now()

        def change(tx: DatabaseTx) -> RotationRow | None:
            secret = tx.get_secret(secret_path)
            if (secret is None) != (stored is None):
                raise _changed()
            if tx.get_role(f"{mount.path}{ROLES}{name}") is not None:
                raise ValidationError("role_exists", "Role and Static Role names must be unique")
            if secret is None and _has_role(tx, mount, connection, payload.username):
                raise ValidationError(
                    "static_user_taken",
                    "another static role has this user, and would not know of its new passwords",
                    field="username",
                )
            if not tx.connect(connection):
                raise connected_secret_missing()
            if secret is not None:
                with_policy = replace(secret, rotation_policy=msgspec.to_builtins(policy))
                tx.put_secret(schedule(tx, with_policy, now))
                return None
            value = msgspec.json.encode({"username": payload.username})
            head = SecretRow(
                name=str(secret_path), id=self.world.new_id(), created_at=0, updated_at=0,
                created_by=call.identity.name, rotation_policy=msgspec.to_builtins(policy),
            )  # fmt: skip
            written = append_version(
                tx, mount, head, value, expires_at=0, by=call.identity.name, now=now
            )
            return start_rotation(tx, written.secret, policy, by=call.identity.name, now=now)

        begun = await self.store.transact(change, max_encryptions=1)
        if begun is not None:
            try:
                await self._wait(begun)
            except (ValidationError, UnavailableError):
                await self.store.transact(
                    partial(_erase, path=secret_path, secret_id=begun.secret_id)
                )
                raise
        return Nothing()

    async def _require_no_administrator(self, connection: str, username: str) -> None:
        """Raise `ValidationError` for whom the connection itself logs in as.

        The connection would not know of the new password, and no rotation could come after it.
        """
        try:
            value = await self.targets.read(connection)
        except RotationError as error:
            raise target_failed(error) from None
        if username == _administrator_of(value):
            raise ValidationError(
                "static_user_administrator",
                "the connection logs in as this user: rotate its password by rotate-root",
                field="username",
            )

    async def _policy(
        self, mount: MountRow, name: str, payload: WriteStaticRole, stored: SecretRow | None
    ) -> tuple[RotationPolicy, str]:
        """The policy that a role comes to have, and the secret that it connects with."""
        old = None if stored is None else parse_policy(stored.rotation_policy or {})
        connection = payload.connection or (
            "" if old is None else old.connection.removeprefix(mount.path + CONNECTIONS)
        )
        if not connection:
            raise ValidationError(
                "static_role_invalid", "database name is a required field", field="db_name"
            )
        if not payload.username and old is None:
            raise ValidationError(
                "static_role_invalid",
                "username is a required field to create a static account",
                field="username",
            )
        if old is not None and payload.username != old.config.get("user"):
            raise ValidationError(
                "static_role_invalid", "cannot update static account username", field="username"
            )
        interval = payload.rotation_period or (0 if old is None else old.interval)
        if not interval:
            raise ValidationError(
                "static_role_invalid",
                "rotation_period is required to create static accounts",
                field="rotation_period",
            )
        if interval < LEAST_INTERVAL:
            raise ValidationError(
                "static_role_invalid",
                f"rotation_period must be {LEAST_INTERVAL // SECOND} seconds or more",
                field="rotation_period",
            )
        row = await self.store.get_connection(f"{mount.path}{CONNECTIONS}{connection}")
        if row is None:
            raise connection_missing(connection)
        require_allowed(row, name)
        statements = payload.statements
        if statements is None:
            statements = () if old is None else tuple(old.config.get("statements", ()))
        config = {"user": payload.username, "mode": "single"}
        return self._checked(row, config, statements, interval), row.secret

    def _checked(
        self,
        row: ConnectionRow,
        config: dict[str, Any],
        statements: tuple[str, ...],
        interval: int = 0,
    ) -> RotationPolicy:
        """A policy by which one user's password is replaced. Raises `ValidationError`."""
        if statements:
            config = {**config, "statements": list(statements)}
        self.rotators.get(row.kind).parse(config)
        return RotationPolicy(
            rotator=row.kind, config=config, connection=row.secret, interval=interval, grace=0
        )

    async def read(self, call: Call[Nothing]) -> StaticRole:
        """A static role. Raises `NotFoundError`."""
        mount, name = database_place(self.mounts, call.op.path, STATIC_ROLES)
        secret = await self.store.get_secret(f"{mount.path}{STATIC_CREDENTIALS}{name}")
        if secret is None or secret.rotation_policy is None:
            raise _role_missing()
        policy = parse_policy(secret.rotation_policy)
        version = await self.store.get_version(secret.id, secret.current_version)
        return StaticRole(
            connection=policy.connection.removeprefix(mount.path + CONNECTIONS),
            username=str(policy.config.get("user", "")),
            rotation_period=policy.interval,
            statements=tuple(policy.config.get("statements", ())),
            rotated_at=0 if version is None else version.created_at,
        )

    async def list(self, call: Call[Nothing]) -> list[str]:
        """The names of a mount's static roles, a thousand at most."""
        mount = database_mount(self.mounts, call.op.path, STATIC_ROLES)
        folder = mount.path + STATIC_CREDENTIALS
        found = await self.store.list_secrets(folder, "", MAX_LISTED)
        return [row.name.removeprefix(folder) for row in found]

    async def delete(self, call: Call[Nothing]) -> None:
        """Forget a static role. Its user keeps the password that it has. Raises `NotFoundError`."""
        mount, name = database_place(self.mounts, call.op.path, STATIC_ROLES)
        path = ResourcePath.parse_secret(f"{mount.path}{STATIC_CREDENTIALS}{name}")

        def change(tx: DatabaseTx) -> None:
            secret = tx.get_secret(path)
            if secret is None:
                raise _role_missing()
            tx.erase_secret(secret)

        await self.store.transact(change)

    async def rotate(self, call: Call[Nothing]) -> Nothing:
        """Rotate a static role's password now. Raises as `write`, and `NotFoundError`."""
        mount, name = database_place(self.mounts, call.op.path, ROTATE_ROLE)
        path = ResourcePath.parse_secret(f"{mount.path}{STATIC_CREDENTIALS}{name}")
        now = self.world.now()

        def begin(tx: DatabaseTx) -> RotationRow:
            secret = tx.get_secret(path)
            policy = None if secret is None else effective_policy(tx, secret).policy
            if secret is None or policy is None:
                raise _role_missing()
            return start_rotation(tx, secret, policy, by=call.identity.name, now=now)

        await self._rotate(path, begin)
        return Nothing()

    async def rotate_connection(self, call: Call[Nothing]) -> Nothing:
        """Replace the password of a connection's administrator by one that nobody is told.

        Raises as `write`, and `NotFoundError`.
        """
        mount, name = database_place(self.mounts, call.op.path, ROTATE_ROOT)
        row = connection_of(await self.store.get_connection(f"{mount.path}{CONNECTIONS}{name}"))
        if row.secret != row.path:  # not secret: paths
            raise ValidationError(
                "connection_shared",
                f"the connection uses the secret {row.secret}: give that one a rotation policy",
            )
        try:
            user = (await self.targets.read(row.secret)).get("username", "")
        except RotationError as error:
            raise target_failed(error) from None
        if not user:
            raise ValidationError(
                "username_missing",
                "unable to rotate root credentials: no username in configuration",
            )
        statements = tuple(row.options.get(ROTATION_STATEMENTS, ()))
        policy = self._checked(row, {"user": user, "mode": "self"}, statements)
        path, now = ResourcePath.parse_secret(row.path), self.world.now()

        def begin(tx: DatabaseTx) -> RotationRow:
            secret = tx.get_secret(path)
            if secret is None:
                raise _changed()
            return start_rotation(tx, secret, policy, by=call.identity.name, now=now)

        await self._rotate(path, begin)
        return Nothing()

    async def check_connection(self, call: Call[Nothing]) -> Nothing:
        """Log in at a connection's server. Raises `NotFoundError`, `UnavailableError`."""
        mount, name = database_place(self.mounts, call.op.path, RESET)
        row = connection_of(await self.store.get_connection(f"{mount.path}{CONNECTIONS}{name}"))
        try:
            await self.targets.run(row.path, row.secret, self.targets.kind(row.kind).check)
        except RotationError as error:
            raise target_failed(error) from None
        return Nothing()

    async def _rotate(self, path: ResourcePath, begin: Callable[[DatabaseTx], RotationRow]) -> None:
        """Begin a rotation and wait for it, behind one whose value is current already."""
        secret = await self.store.get_secret(path)
        latest = [] if secret is None else await self.store.list_of_secret(secret.id)
        if latest and latest[0].current_at:
            await self._look_until(latest[0], lambda row: row.state in ENDED)
        await self._wait(await self.store.transact(begin))

    async def _wait(self, begun: RotationRow) -> None:
        """Until the value is current, and proven. Raises `ValidationError`, `UnavailableError`."""
        row = await self._look_until(begun, self._has_result)
        if row.current_at and row.state != RotationState.STUCK:
            return
        if row.state in _FAILED:
            raise ValidationError("rotation_refused", f"error setting credentials: {row.error}")
        reason = row.error or "no agent has taken it up yet"
        raise UnavailableError(
            "rotation_failed", f"error setting credentials: {reason}", outcome="unknown"
        )

    def _has_result(self, row: RotationRow) -> bool:
        is_waiting = bool(row.current_at) and row.next_at > self.world.now()
        return row.state in ENDED or bool(row.error_code) or is_waiting

    async def _look_until(
        self, row: RotationRow, is_enough: Callable[[RotationRow], bool]
    ) -> RotationRow:
        """The rotation once that holds, or as it is when the time is over."""
        end = self.world.monotonic() + WAIT_SECONDS
        while not is_enough(row) and self.world.monotonic() < end:
            await self.world.sleep(LOOK_SECONDS)
            row = await self.store.get(row.secret_id, row.number) or _gone()
        return row


def connection_missing(name: str) -> ValidationError:
    """For whoever names a connection that is not there."""
    return ValidationError(
        "connection_unknown", f'failed to find entry for connection with name: "{name}"'
    )


def _administrator_of(value: Mapping[str, str]) -> str:
    """Whom a connection with this secret logs in as; empty: nobody can say."""
    try:
        in_url = urlsplit(value.get("url", "")).username
    except ValueError:
        in_url = None
    return value.get("username") or unquote(in_url or "")


def _has_role(tx: DatabaseTx, mount: MountRow, connection: str, username: str) -> bool:
    """Whether a static role of the mount has this user at this connection."""
    policies = (
        parse_policy(row.rotation_policy)
        for row in tx.list_secrets(mount.path + STATIC_CREDENTIALS, "", MAX_LISTED)
        if row.rotation_policy is not None
    )
    return any(
        policy.connection == connection and policy.config.get("user") == username
        for policy in policies
    )


def _erase(tx: DatabaseTx, *, path: ResourcePath, secret_id: str) -> None:
    secret = tx.get_secret(path)
    if secret is not None and secret.id == secret_id:
        tx.erase_secret(secret)


def _gone() -> RotationRow:
    raise _changed()


def _role_missing() -> NotFoundError:
    return NotFoundError("static_role_missing", "there is no such static role")


def _changed() -> UnavailableError:
    return UnavailableError(
        "static_role_changed", "somebody has changed this meanwhile: try again", outcome="none"
    )
