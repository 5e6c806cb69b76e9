"""Auth mounts: which login methods are enabled, at which paths, with which settings."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import trio
from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.authn.methods.method import TokenType
from vault.authz.authorizer import Authorizer
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.mount_snapshot import MountSnapshot
from vault.handlers.stores import AuthMountStore, AuthMountTx
from vault.model.auth_mounts import AUTH, TOKEN_MOUNT, TOKEN_PATH, AuthMountTable
from vault.model.name import echoed
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import EnableAuth, Nothing, TuneAuth
from vault.model.records import AuthMountRow

PREFIX: Final = "sys/auth/"  # where an auth mount lies in the path space of policies
MAX_AUTH_MOUNTS: Final = 500  # held in memory, and read whole at unseal and at each change
ERASE_BATCH: Final = 200  # entries a transaction
MAX_TUNING: Final = 64  # settings of a mount that are kept as they are written
MAX_LEASE: Final = 10 * 365 * 24 * 3600 * 10**9  # ns
_VISIBILITIES: Final = frozenset({"", "hidden", "unauth"})
_MOUNT_TYPES: Final = frozenset(
    {TokenType.SERVICE, TokenType.BATCH, TokenType.DEFAULT_SERVICE, TokenType.DEFAULT_BATCH}
)


@dataclass(frozen=True)
class AuthMountHandlers:
    """The handlers of `auth.mount.*`."""

    store: AuthMountStore
    mounts: AuthMountTable
    types: Collection[str]
    known: Collection[str]  # those that settings leave out, too
    authorizer: Authorizer
    world: World
    end_tokens: Callable[[list[str]], Awaitable[object]]

    @cached_property
    def snapshot(self) -> MountSnapshot[AuthMountRow, AuthMountTx]:
        """What keeps `mounts` current."""
        return MountSnapshot(self.store, self.mounts)

    def handlers(self) -> Handlers:
        """The operations this file serves. What changes who may come in takes sudo."""
        sudo = Capability.SUDO
        return handler_table(
            Handler(operations.LIST_AUTH, run=self.list_all, capability=Capability.LIST),
            Handler(
                operations.LIST_VISIBLE_AUTH,
                run=self.list_visible,
                capability=None,
                is_audited=False,  # the list of the mounts of secrets, with which it is asked, is
            ),
            Handler(operations.READ_AUTH, run=self.read, capability=Capability.READ),
            Handler(operations.ENABLE_AUTH, run=self.enable, capability=sudo, mutates=True),
            Handler(operations.TUNE_AUTH, run=self.tune, capability=sudo, mutates=True),
            Handler(operations.DISABLE_AUTH, run=self.disable, capability=sudo, mutates=True),
        )

    async def list_all(self, _: Call[Nothing]) -> list[AuthMountRow]:
        """Every auth mount in path order."""
        return self.mounts.list_mounts()

    async def list_visible(self, call: Call[Nothing]) -> list[AuthMountRow]:
        """The auth mounts in which the caller may do anything at all."""
        found = []
        for row in self.mounts.list_mounts():
            await trio.lowlevel.checkpoint()  # it takes long where there are many rules
            if self.authorizer.can_reach(call.identity, AUTH + row.path):
                found.append(row)
        return found

    async def read(self, call: Call[Nothing]) -> AuthMountRow:
        """One auth mount."""
        row = self.mounts.get(_path(call))
        if row is None:
            raise auth_mount_not_found()
        return row

    async def enable(self, call: Call[EnableAuth]) -> AuthMountRow:
        """Enable a method. Raises `ConflictError` where it would lie in, on or around another."""
        payload, path = call.payload, _path(call)
        if payload.type in self.known and payload.type not in self.types:
            raise ValidationError(
                "auth_type_disabled",
                f"{payload.type} is not one of authentication.methods: add it there, and start the "
                "agent anew",
                field="type",
            )
        if payload.type not in self.types or payload.type == TOKEN_MOUNT.type:
            raise ValidationError(
                "auth_type_unknown",
                f"plugin not found in the catalog: {echoed(payload.type)}",
                field="type",
            )

        def change(tx: AuthMountTx) -> AuthMountRow:
            others = tx.list_mounts()
            if len(others) >= MAX_AUTH_MOUNTS:
                raise ValidationError(
                    "auth_mounts_full", f"there are {MAX_AUTH_MOUNTS} auth mounts: disable one"
                )
            require_free_auth_path(others, path)
            new, now = self.world.new_id(), self.world.now()
            row = AuthMountRow(
                path=str(path),
                id=new,
                accessor=f"auth_{payload.type}_{new[:8]}",
                type=payload.type,
                description=payload.description,
                is_local=payload.is_local,
                options=payload.options,
                created_at=now,
                updated_at=now,
            )
            row = _tuned(row, payload.tune, now)
            tx.put(row)
            return row

        return await self.snapshot.change(change)

    async def tune(self, call: Call[TuneAuth]) -> AuthMountRow:
        """Change what the payload names."""
        path = _path(call)

        def change(tx: AuthMountTx) -> AuthMountRow:
            row = tx.find(path)
            if row is None:
                raise auth_mount_not_found()
            row = _tuned(row, call.payload, self.world.now())
            tx.put(row)
            return row

        return await self.snapshot.change(change)

    async def disable(self, call: Call[Nothing]) -> None:
        """Disable a mount: its tokens end at once; then its entries and their rows are removed.

        One that is cut short has ended them; the rest goes when it is done again at that path, or
        as it expires.
        """
        path = _path(call)

        def change(tx: AuthMountTx) -> AuthMountRow:
            row = tx.find(path)
            if row is None:
                raise auth_mount_not_found()
            tx.delete(row)
            return row

        row = await self.snapshot.change(change)
        await self.end_tokens(await self.store.list_tokens(row.id))
        while await self.store.erase_entries(row.id, ERASE_BATCH) == ERASE_BATCH:
            pass


def _path(call: Call[object]) -> ResourcePath:
    return ResourcePath.parse_folder(call.op.path.removeprefix(PREFIX))


def require_free_auth_path(others: list[AuthMountRow], path: ResourcePath) -> None:
    """Raise `ConflictError` where a mount at `path` would lie in, on or around another."""
    if path == TOKEN_PATH or path.startswith(TOKEN_PATH):
        raise ConflictError("mount_exists", f"path is already in use at {TOKEN_PATH}")
    taken = AuthMountTable(others).find_overlapping(path)
    if taken:
        raise ConflictError("mount_exists", f"path is already in use at {taken}")


def auth_mount_not_found() -> NotFoundError:
    """The error for a path without an auth mount."""
    return NotFoundError("mount_not_found", "there is no auth mount at this path")


def _tuned(row: AuthMountRow, tune: TuneAuth, now: int) -> AuthMountRow:
    """The mount with what is named. Raises `ValidationError`."""
    names = ("description", "default_lease_ttl", "max_lease_ttl", "token_type",
             "listing_visibility", "options")  # fmt: skip
    given = {name: getattr(tune, name) for name in names}
    row = replace(row, **{name: value for name, value in given.items() if value is not None})
    row = replace(row, tuning={**row.tuning, **tune.tuning}, updated_at=now)
    if row.token_type not in _MOUNT_TYPES:
        raise ValidationError(
            "token_type_invalid", "invalid token type for an auth mount", field="token_type"
        )
    if row.listing_visibility not in _VISIBILITIES:
        raise ValidationError(
            "listing_visibility_invalid",
            f"invalid listing visibility type; expected one of {sorted(_VISIBILITIES)}",
            field="listing_visibility",
        )
    for name in ("default_lease_ttl", "max_lease_ttl"):
        if not 0 <= getattr(row, name) <= MAX_LEASE:
            raise ValidationError("ttl_invalid", f"{name} must be 0 to 10 years", field=name)
    if row.max_lease_ttl and row.default_lease_ttl > row.max_lease_ttl:
        raise ValidationError(
            "ttl_invalid",
            "backend max lease TTL is less than the default lease TTL",
            field="default_lease_ttl",
        )
    if len(row.tuning) > MAX_TUNING:
        raise ValidationError("tuning_full", f"a mount keeps at most {MAX_TUNING} settings")
    return row
