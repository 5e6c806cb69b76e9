"""Moves of mounts: secret engines with their secrets, auth mounts with their entries and tokens.

A move is one transaction: whoever asks finds everything at the one place or at the other, and a
crash leaves nothing half moved. So a mount has a bound beyond which it is not moved.
"""

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.handlers.auth_mounts import PREFIX as AUTH_MOUNTS
from vault.handlers.auth_mounts import auth_mount_not_found, require_free_auth_path
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.mount_snapshot import MountSnapshot
from vault.handlers.mounts import (
    MAX_MOUNTS,
    mount_not_found,
    require_free_path,
    require_unreserved,
)
from vault.handlers.mounts import PREFIX as MOUNTS
from vault.handlers.stores import AuthMountTx, MountStore, MountTx, MoveStore
from vault.model.auth_mounts import AUTH
from vault.model.dynamic import MOUNT_TYPE as DATABASE
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import MoveMount, Nothing
from vault.model.records import AuthMountRow, MountMoveRow, MountRow, SecretRow

MAX_MOVED: Final = 10_000  # secrets of a mount that is moved; the writer is held meanwhile
MAX_MOVED_BYTES: Final = 3 << 20
"""Of a move in the change feed, at most: an entry of it has 4 MiB, with rotations and the rest."""
MAX_TRIES: Final = 5
"""How often a move looks for who connects with a secret of the mount: each time something is given
a secret to connect with meanwhile, which may be another's work, or another's hindrance."""
_CHANGE_BYTES: Final = 48  # of a change there, without the name


@dataclass(frozen=True)
class MountMoveHandlers:
    """The handlers of `mount.move`, `auth.mount.move` and of what is kept of moves."""

    mounts: MountSnapshot[MountRow, MountTx]
    auth_mounts: MountSnapshot[AuthMountRow, AuthMountTx]
    store: MountStore
    moves: MoveStore
    authorizer: Authorizer
    world: World
    max_moved: int = MAX_MOVED

    def handlers(self) -> Handlers:
        """The operations this file serves. A move takes sudo at both paths."""
        sudo, read = Capability.SUDO, Capability.READ
        return handler_table(
            Handler(operations.MOVE_MOUNT, run=self.move, capability=sudo, mutates=True),
            Handler(operations.MOVE_AUTH, run=self.move_auth, capability=sudo, mutates=True),
            Handler(operations.LIST_MOUNT_MOVES, run=self.list_all, capability=read),
            Handler(operations.READ_MOUNT_MOVE, run=self.read, capability=read),
        )

    async def list_all(self, _: Call[Nothing]) -> list[MountMoveRow]:
        """The moves that are kept, the latest first."""
        return await self.moves.list_all()

    async def read(self, call: Call[Nothing]) -> MountMoveRow:
        """A move, by its id at the end of the path."""
        row = await self.moves.get(call.name)
        if row is None:
            raise NotFoundError("migration_not_found", "there is no such move")
        return row

    async def move(self, call: Call[MoveMount]) -> MountMoveRow:
        """Move a key-value mount with its secrets, their history and their rotation.

        What is denied to the caller in the mount must stay denied to them. Raises `ConflictError`
        where the target is in use, or a secret is being rotated, and `ValidationError`.
        """
        for _ in range(MAX_TRIES):
            moved = await self._move_unless_connected(call)
            if moved is not None:
                return moved
        raise ConflictError(
            "connections_changed",
            "a rotation or database was given a secret to connect with each time that this looked, "
            "perhaps one in this mount: move the mount again",
        )

    async def _move_unless_connected(self, call: Call[MoveMount]) -> MountMoveRow | None:
        """The move; None: something was given a secret to connect with meanwhile."""
        source, target = self._places(call, MOUNTS)
        require_unreserved(target)
        self._require_access_kept(call, (source, target), MOUNTS)
        user, connections = await self.store.find_connection_users(source)
        if user:
            raise ConflictError(
                "connections_used",
                f"{user} connects with a secret in this mount, for its rotation or to a database: "
                "give it another one first",
            )

        def change(tx: MountTx) -> MountMoveRow | None:
            row = tx.get_mount(source)
            if row is None:
                raise mount_not_found()
            if row.type == DATABASE:
                raise ValidationError(
                    "remount_unsupported",
                    "a database mount cannot be moved: its users are named by its path; make "
                    "another one",
                )
            require_free_path(tx.list_mounts(MAX_MOUNTS), target)
            if not tx.is_empty(target):
                raise ConflictError(
                    "mount_target_not_empty",
                    f"there are secrets or rotation policies below {target} already: move the "
                    "mount to another path",
                )
            secrets = tx.list_secrets(source, self.max_moved)
            told = sum(_fed_bytes(row, source, target) for row in secrets)
            if len(secrets) > self.max_moved or told > MAX_MOVED_BYTES:
                raise ValidationError(
                    "mount_too_large",
                    f"a mount of more than {self.max_moved:,} secrets, or with names of more than "
                    "1 MiB together, is not moved, since all others would wait: make another one "
                    "and write its secrets there",
                )
            rotated = tx.find_running_rotation(secrets)
            if rotated:
                raise ConflictError(
                    "rotation_running",
                    f"{rotated} is being rotated: wait for its end, which 'freehold rotation "
                    "history' shows",
                )
            if tx.count_connections() != connections:
                return None
            tx.move_secrets(secrets, source, target)
            tx.delete_mount(source)
            tx.put_mount(replace(row, path=str(target)))
            move = self._new_move(call, row.id, source, target, len(secrets))
            tx.put_move(move)
            return move

        return await self.mounts.change(change)

    async def move_auth(self, call: Call[MoveMount]) -> MountMoveRow:
        """Move an auth mount; its entries and tokens stay with it. So do denials, as of `move`."""
        source, target = self._places(call, AUTH_MOUNTS)
        self._require_access_kept(call, (AUTH + source, AUTH + target), AUTH_MOUNTS, AUTH)

        def change(tx: AuthMountTx) -> MountMoveRow:
            row = tx.find(source)
            if row is None:
                raise auth_mount_not_found()
            require_free_auth_path(tx.list_mounts(), target)
            move = self._new_move(call, row.id, AUTH + source, AUTH + target)
            tx.put(replace(row, path=str(target), updated_at=move.moved_at))
            tx.put_move(move)
            return move

        return await self.auth_mounts.change(change)

    def _places(self, call: Call[MoveMount], prefix: str) -> tuple[ResourcePath, ResourcePath]:
        """From where to where. Raises as the check of the target, and `ValidationError`."""
        source = ResourcePath.parse_folder(call.op.path.removeprefix(prefix))
        if not call.payload.to:
            raise ValidationError("target_missing", "a move needs a path to move to", field="to")
        target = ResourcePath.parse_folder(call.payload.to)
        self._require_sudo(call, ResourcePath.parse(f"{prefix}{target}".removesuffix("/")))
        return source, target

    def _new_move(
        self, call: Call[MoveMount], mount_id: str, source: str, target: str, secrets: int = 0
    ) -> MountMoveRow:
        return MountMoveRow(
            id=self.world.new_id(),
            mount_id=mount_id,
            source=str(source),
            target=str(target),
            secrets=secrets,
            moved_at=self.world.now(),
            moved_by=call.identity.name,
        )

    def _require_access_kept(
        self, call: Call[MoveMount], moved: tuple[str, str], settings: str, prefix: str = ""
    ) -> None:
        """Raise `AuthorizationError` where the caller would be denied less, or allowed more.

        `moved`: the mount's folder before and after, which begins with `prefix`. What is denied of
        its settings, below `settings`, counts as well.
        """
        source, target = moved
        old, new = source.removeprefix(prefix), target.removeprefix(prefix)
        for before, after in ((source, target), (f"{settings}{old}", f"{settings}{new}")):
            lifted = self.authorizer.find_lifted_denial(call.identity, before, after)
            if lifted:
                raise AuthorizationError(
                    "denial_lifted",
                    f'the move would lift the denial of "{lifted}", which binds you: only somebody '
                    "who is not bound by it can move this mount",
                )
        gained = self.authorizer.find_gained_access(
            call.identity, call.op.origin, self.world.now(), source, target
        )
        if gained:
            raise AuthorizationError(
                "more_privileged",
                f'the move would allow you more at "{gained}" than you are allowed where it lies '
                "now: only somebody who is allowed the same there can move this mount",
            )

    def _require_sudo(self, call: Call[MoveMount], place: ResourcePath) -> None:
        """Raise `AuthorizationError` unless the caller may make a mount there.

        Whoever may manage what lies in one folder cannot bring it into another.
        """
        api = call.op.api
        decision = self.authorizer.decide(
            AccessRequest(
                capability=Capability.SUDO,
                path=place,
                identity=call.identity,
                origin=call.op.origin,
                now=self.world.now(),
                api=None if api is None else replace(api, needs_sudo=True),
            )
        )
        if not decision.allowed:
            raise AuthorizationError(
                "permission_denied",
                "permission denied: sudo at the path that the mount would have is not allowed; ask "
                "for a policy that allows it",
            )


def _fed_bytes(row: SecretRow, source: str, target: str) -> int:
    """About how much a secret's move takes of an entry of the change feed."""
    name = len(row.name.encode())
    return 2 * (name + _CHANGE_BYTES) + len(target.encode()) - len(source.encode())
