"""Mounts: prefixes of the name space with key-value settings. They never nest."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import trio
from msgspec import UNSET
from msgspec.structs import replace

from actors.world import World
from protocols.instant import HOUR, SECOND
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.mount_snapshot import MountSnapshot
from vault.handlers.secret_settings import validate_max_versions
from vault.handlers.stores import MountStore, MountTx
from vault.model.dynamic import MOUNT_TYPE as DATABASE
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import RESERVED, ResourcePath
from vault.model.payloads import Nothing, TuneMount, WriteMount
from vault.model.records import MountRow

SYSTEM_LEASE: Final = 768 * HOUR  # where a mount says nothing
MAX_LEASE: Final = 10 * 365 * 24 * HOUR
PREFIX: Final = "sys/mounts/"  # where a mount lies in the path space of policies
MAX_MOUNTS: Final = 1_000  # held in memory, and read whole at unseal and at each change
ERASE_BATCH: Final = 100  # secrets a transaction, so that a large mount never holds the writer
MAX_ERASE_BATCHES: Final = (
    1_000  # transactions of one delete: nobody waits for the end of endless writes
)


@dataclass(frozen=True)
class MountHandlers:
    """The handlers of `mount.*`."""

    store: MountStore
    mounts: MountTable
    authorizer: Authorizer
    world: World

    @cached_property
    def snapshot(self) -> MountSnapshot[MountRow, MountTx]:
        """What keeps `mounts` current."""
        return MountSnapshot(self.store, self.mounts)

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(operations.LIST_MOUNTS, run=self.list_all, capability=Capability.LIST),
            Handler(
                operations.LIST_VISIBLE_MOUNTS,
                run=self.list_visible,
                capability=None,
                discloses=bool,
            ),
            Handler(operations.RESOLVE_MOUNT, run=self.resolve_path, capability=None),
            Handler(operations.READ_MOUNT, run=self.read, capability=Capability.READ),
            Handler(
                operations.WRITE_MOUNT, run=self.write, capability=Capability.CREATE, mutates=True
            ),
            Handler(
                operations.TUNE_MOUNT, run=self.tune, capability=Capability.UPDATE, mutates=True
            ),
            Handler(
                operations.DELETE_MOUNT,
                run=self.delete,
                capability=Capability.DESTROY,
                mutates=True,
            ),
        )

    async def list_all(self, _: Call[Nothing]) -> list[MountRow]:
        """Every mount in path order."""
        return self.mounts.list_mounts()

    async def list_visible(self, call: Call[Nothing]) -> list[MountRow]:
        """The mounts in which the caller may do anything at all."""
        found = []
        for row in self.mounts.list_mounts():
            await trio.lowlevel.checkpoint()  # it takes long where there are many rules
            if self.authorizer.can_reach(call.identity, row.path):
                found.append(row)
        return found

    async def resolve_path(self, call: Call[Nothing]) -> MountRow:
        """The mount that a path lies in, for whoever may do anything in it.

        Raises `AuthorizationError` for anybody else, and `NotFoundError` for no such mount.
        """
        path = f"{call.op.path}/"
        row = self.mounts.find_for_path(path)
        if not self.authorizer.can_reach(call.identity, path if row is None else row.path):
            raise AuthorizationError("permission_denied", "permission denied")
        if row is None:
            raise mount_not_found()
        return row

    async def read(self, call: Call[Nothing]) -> MountRow:
        """One mount."""
        row = self.mounts.get(_path(call))
        if row is None:
            raise mount_not_found()
        return row

    async def write(self, call: Call[WriteMount]) -> MountRow:
        """A new mount. Raises `ConflictError` where it would lie in, on or around another."""
        return await self.create(_path(call), call.payload)

    async def create(self, path: ResourcePath, payload: WriteMount) -> MountRow:
        """As `write`, for the agent itself."""
        version, kind = _checked_version(payload.version), _checked_type(payload.type)
        default, longest = payload.default_lease_ttl, payload.max_lease_ttl
        _check_leases(kind, default, longest)
        if default > (longest or SYSTEM_LEASE):
            system = f"system max lease TTL of {SYSTEM_LEASE // SECOND}"
            bound = "given max lease TTL" if longest else system
            raise ValidationError(
                "ttl_invalid",
                f"given default lease TTL greater than {bound}",
                field="default_lease_ttl",
            )
        require_unreserved(path)

        def change(tx: MountTx) -> MountRow:
            others = tx.list_mounts(MAX_MOUNTS)
            if len(others) == MAX_MOUNTS:
                raise ValidationError("mounts_full", f"there are {MAX_MOUNTS} mounts")
            require_free_path(others, path)
            new = self.world.new_id()
            row = MountRow(
                path=str(path), id=new, accessor=f"{kind}_{new[:8]}", type=kind, version=version,
                description=payload.description, created_at=self.world.now(),
                default_lease_ttl=payload.default_lease_ttl or UNSET,
                max_lease_ttl=payload.max_lease_ttl or UNSET,
            )  # fmt: skip
            tx.put_mount(row)
            return row

        return await self.snapshot.change(change)

    async def tune(self, call: Call[TuneMount]) -> MountRow:
        """Change what the payload names. Raises `ValidationError` for a downgrade."""
        payload = call.payload
        if payload.max_versions is not None:
            validate_max_versions(payload.max_versions)
        if payload.version is not None:
            _checked_version(payload.version)

        def change(tx: MountTx) -> MountRow:
            row = tx.get_mount(_path(call))
            if row is None:
                raise mount_not_found()
            if payload.version is not None and payload.version < row.version:
                raise ValidationError(
                    "version_downgrade", f"cannot downgrade mount from version {row.version}"
                )
            row = _tuned(row, payload)
            default, longest = row.default_lease_ttl or 0, row.max_lease_ttl or 0
            _check_leases(row.type, default, longest)
            if 0 < longest < default:
                raise ValidationError(
                    "ttl_invalid",
                    f"backend max lease TTL of {longest // SECOND} would be less than backend "
                    f"default lease TTL of {default // SECOND}",
                    field="max_lease_ttl",
                )
            tx.put_mount(row)
            return row

        return await self.snapshot.change(change)

    async def delete(self, call: Call[Nothing]) -> None:
        """Erase a mount with all secrets in it, some at a time; one cut short can be repeated.

        Raises `ConflictError` (`leases_active`) where users of it may be at their servers, and
        `UnavailableError` (`mount_not_empty`) after 100,000 secrets when there are more.
        """
        path = _path(call)
        mount = self.mounts.get(path)
        if mount is None:
            raise mount_not_found()

        def change(tx: MountTx) -> bool:
            now = tx.get_mount(path)
            if now is None or now.id != mount.id:  # another agent was quicker; another mount stays
                return True
            if now.type == DATABASE and tx.has_leases(path):
                raise ConflictError(
                    "leases_active",
                    "leases of this mount may have users at their servers: revoke them first with "
                    "'freehold lease revoke --prefix', and wait until they are over",
                )
            done = tx.erase_secrets(path, ERASE_BATCH) < ERASE_BATCH
            if now.type == DATABASE:
                done = tx.erase_database(path, ERASE_BATCH) == 0 and done
            if done:
                tx.delete_mount(path)
            return done

        async with self.snapshot.changing():
            for _ in range(MAX_ERASE_BATCHES):
                if await self.store.transact(change):
                    return
        raise UnavailableError(
            "mount_not_empty",
            f"{MAX_ERASE_BATCHES * ERASE_BATCH:,} secrets are erased, more are left: "
            "delete it again",
        )


def _path(call: Call[object]) -> ResourcePath:
    return ResourcePath.parse_folder(call.op.path.removeprefix(PREFIX))


def require_unreserved(path: ResourcePath) -> None:
    """Raise `ValidationError` for a path that is no secrets'."""
    if path.partition("/")[0].casefold() in RESERVED:
        raise ValidationError("path_reserved", "cannot mount at a reserved path", field="path")


def require_free_path(others: list[MountRow], path: ResourcePath) -> None:
    """Raise `ConflictError` where a mount at `path` would lie in, on or around another."""
    other = MountTable(others).find_overlapping(path)
    if other is not None:
        raise ConflictError("mount_exists", f"path is already in use at {other.path}")


def mount_not_found() -> NotFoundError:
    """The error for a path without a mount."""
    return NotFoundError("mount_not_found", "there is no mount at this path")


def _checked_version(version: int) -> int:
    if version not in {1, 2}:
        raise ValidationError("version_invalid", "there are KV versions 1 and 2", field="version")
    return version


def _checked_type(kind: str) -> str:
    if kind not in {"kv", DATABASE}:
        raise ValidationError(
            "mount_type_invalid", f"there are mounts of the types kv and {DATABASE}", field="type"
        )
    return kind


def _check_leases(kind: str, default: int, longest: int) -> None:
    """Raise `ValidationError` for leases that no mount has."""
    if kind == DATABASE and (default or longest):
        raise ValidationError(
            "lease_unsupported",
            "default_lease_ttl and max_lease_ttl cannot be set for a database: its roles have "
            "default_ttl and max_ttl",
            field="default_lease_ttl",
        )
    for name, ttl in (("default_lease_ttl", default), ("max_lease_ttl", longest)):
        if not -SECOND <= ttl <= MAX_LEASE:
            raise ValidationError("ttl_invalid", f"{name} must be 0 to 10 years", field=name)


def _tuned(row: MountRow, payload: TuneMount) -> MountRow:
    fields = (
        "version", "description", "max_versions", "cas_required", "delete_version_after",
        "default_lease_ttl", "max_lease_ttl",
    )  # fmt: skip
    given = {name: getattr(payload, name) for name in fields}
    row = replace(row, **{name: value for name, value in given.items() if value is not None})
    return replace(
        row,
        default_lease_ttl=row.default_lease_ttl or UNSET,
        max_lease_ttl=row.max_lease_ttl or UNSET,
    )
