"""What each group of handlers may read and write: narrow views of the barrier, in rows.

Handlers know no table, no query and no key; these classes are their only way to the barrier.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from actors.world import World
from protocols import json_text
from vault.authn.credential_validity import (
    RowLookup,
    entity_values,
    resolve_identity,
    user_policies,
)
from vault.authn.groups import forget_mount
from vault.authn.lease_owners import (
    ALL_CLIENTS,
    LeaseOwner,
    owner_of_api_key,
    owner_of_token,
)
from vault.authn.methods.method import Entry, EntryTx, LoginMethod, LoginTx, is_alive
from vault.authn.mfa.entries import SEALED
from vault.barrier import Barrier, VaultTx
from vault.errors import NotFoundError
from vault.model.auth_mounts import BUILT_IN_MOUNTS, MFA_MOUNT
from vault.model.dynamic import CONNECTIONS as CONNECTIONS_FOLDER
from vault.model.dynamic import COUNTED, CREDENTIALS, ROLES
from vault.model.health import CacheState, KeyringState
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, Identity, Method
from vault.model.path import ResourcePath
from vault.model.records import (
    AccessGrantRow,
    AccessRow,
    AuthEntryRow,
    AuthMountRow,
    ConnectionRow,
    ConsumerRow,
    DatabaseRoleRow,
    DynamicLeaseRow,
    FolderPolicyRow,
    LeaseClientRow,
    MountMoveRow,
    MountRow,
    RecorderRow,
    RecordStatus,
    RotationRow,
    SecretRow,
    SystemRow,
    UserRow,
    VersionRow,
)
from vault.model.rotation import RotationState
from vault.store.bounded_cache import MISSING
from vault.store.store import Store
from vault.store.table import INTEGER_MAX, MAX_LIMIT, Key, StoreQuery, Table
from vault.store.tables import (
    ACCESS,
    ACCESS_GRANTS,
    AUTH_ENTRIES,
    AUTH_MOUNTS,
    CONNECTIONS,
    CONSUMERS,
    DATABASE_ROLES,
    DYNAMIC_LEASES,
    FOLDER_POLICIES,
    LEASE_CLIENTS,
    MOUNT_MOVES,
    MOUNTS,
    RECORDERS,
    ROTATIONS,
    SECRETS,
    SYSTEM,
    TOKENS,
    USERS,
    VERSIONS,
)
from vault.store.timed_lock import TimedLock

T = TypeVar("T")
MountR = TypeVar("MountR", bound=msgspec.Struct)
MountT = TypeVar("MountT")

MAX_CONSUMERS: Final = 999  # of one secret; with one more row, a query finds them all
PAUSED_ROW: Final = "rotations-paused"
"""While it is there no rotation begins or goes on."""
CONNECTED_ROW: Final = "connections-made"
"""How often something was given a secret to connect with: a move asks whether it was meanwhile."""
REWRAPPED_ROW: Final = "kek-rewrapped"
"""The generation that the last whole pass has left all under. It saves one and proves nothing."""


class SecretTx:
    """One transaction over secrets and their versions."""

    __slots__ = ("_tx",)

    def __init__(self, tx: VaultTx) -> None:
        self._tx = tx

    def get_secret(self, path: ResourcePath) -> SecretRow | None:
        """The secret as it is now."""
        return self._tx.get(SECRETS, path)

    def put_secret(self, secret: SecretRow) -> None:
        """Insert or replace it."""
        self._tx.put(SECRETS, secret)

    def connect(self, path: str) -> bool:
        """Count that a policy or database is given this secret to connect with; False: it is gone.

        So neither of this and a move of the secret's mount misses the other.
        """
        count = _connected(self._tx.get(SYSTEM, CONNECTED_ROW)) + 1
        self._tx.put(SYSTEM, SystemRow(name=CONNECTED_ROW, value=count.to_bytes(8)))
        return self._tx.get(SECRETS, path) is not None

    def get_mount(self, path: str) -> MountRow | None:
        """The mount at this path as it is now."""
        return self._tx.get(MOUNTS, path)

    def get_version(self, secret_id: str, number: int) -> VersionRow | None:
        """A version with its sealed value."""
        return self._tx.get(VERSIONS, secret_id, number)

    def put_version(self, version: VersionRow) -> None:
        """Insert or replace it."""
        self._tx.put(VERSIONS, version)

    def insert_version(self, version: VersionRow) -> None:
        """Insert one that is not there yet."""
        self._tx.insert_new(VERSIONS, [version])

    def delete_version(self, secret_id: str, number: int) -> None:
        """Delete a version, if it is there."""
        self._tx.delete(VERSIONS, secret_id, number)

    def erase_secret(self, secret: SecretRow) -> None:
        """Remove a secret with all that belongs to it."""
        for number in range(max(secret.oldest_version, 1), secret.current_version + 1):
            self._tx.delete(VERSIONS, secret.id, number)
        for rotation in self._tx.select(ROTATIONS, StoreQuery(equals={"secret_id": secret.id})):
            self._tx.delete(ROTATIONS, secret.id, rotation.number)
        for consumer in self._tx.select(CONSUMERS, StoreQuery(equals={"secret_id": secret.id})):
            self._tx.delete(CONSUMERS, secret.id, consumer.consumer)
        self._tx.delete(ACCESS, secret.id)
        self._tx.delete(SECRETS, secret.name)

    def get_latest_rotation(self, secret_id: str) -> RotationRow | None:
        """The rotation of the highest number."""
        query = StoreQuery(equals={"secret_id": secret_id}, descending=True, limit=1)
        return next(iter(self._tx.select(ROTATIONS, query)), None)

    def get_folder_policy(self, path: str) -> FolderPolicyRow | None:
        """The rotation policy of a folder."""
        return self._tx.get(FOLDER_POLICIES, path)

    def get_reads(self, secret_id: str) -> int:
        """How often the secret's value was read, as far as the counts are flushed."""
        row = self._tx.get(ACCESS, secret_id)
        return 0 if row is None else row.value_reads

    def seal(self, secret_id: str, version: int, plaintext: bytes) -> tuple[bytes, bytes, int]:
        """As `VaultTx.seal`."""
        return self._tx.seal(secret_id, version, plaintext)

    def open_value(self, version: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return self._tx.open_value(version)


class SecretStore:
    """Secrets, their versions and the cursors of their lists. Reads raise as `Store.get`."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    def get(self, path: str) -> Awaitable[SecretRow | None]:
        """The secret, from the cache or the database."""
        return self._barrier.get(SECRETS, path)

    def exists(self, path: str) -> bool | None:
        """Whether there is such a secret, without a query; None: only a query can say."""
        return self._barrier.has_row(SECRETS, path)

    async def get_from_database(self, path: ResourcePath) -> SecretRow | None:
        """The secret as the database has it, past the cache."""
        query = StoreQuery(equals={"name": path}, limit=1)
        return next(iter(await self._barrier.select(SECRETS, query)), None)

    def get_version(self, secret_id: str, number: int) -> Awaitable[VersionRow | None]:
        """As `Barrier.get_version`."""
        return self._barrier.get_version(secret_id, number)

    def open_value(self, version: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return self._barrier.open_value(version)

    def get_cached_version(self, secret_id: str, number: int) -> VersionRow | None:
        """The version if it is cached."""
        row = self._barrier.get_cached(VERSIONS, secret_id, number)
        return None if row is MISSING else row

    def get_cached_versions(
        self, secret: SecretRow, numbers: Sequence[int], max_bytes: int
    ) -> tuple[SecretRow | None, Sequence[VersionRow]] | None:
        """The secret and these versions as of one moment, if all are cached and not larger."""
        slots = [(VERSIONS, (secret.id, number)) for number in numbers]
        rows = self._barrier.get_cached_snapshot([(SECRETS, (secret.name,)), *slots], max_bytes)
        return None if rows is None else (rows[0], rows[1:])

    async def load_versions(
        self, secret_id: str, numbers: Sequence[int]
    ) -> Sequence[VersionRow] | None:
        """Load these versions into the cache; None unless all of them were there."""
        keys = [(secret_id, number) for number in numbers]
        found = await self._barrier.load_into_cache(VERSIONS, keys)
        return found if len(found) == len(keys) else None

    def list_versions(
        self, secret_id: str, after: int | None, limit: int
    ) -> Awaitable[list[VersionRow]]:
        """Versions of a secret beyond the number `after`, in ascending order."""
        query = StoreQuery(
            equals={"secret_id": secret_id},
            after=None if after is None else (secret_id, after),
            limit=limit,
        )
        return self._barrier.select(VERSIONS, query)

    async def get_newest_version(self, secret_id: str) -> VersionRow | None:
        """The version of the highest number, from the database."""
        newest = StoreQuery(equals={"secret_id": secret_id}, descending=True, limit=1)
        return next(iter(await self._barrier.select(VERSIONS, newest)), None)

    def list_page(self, folder: str, after: str, limit: int) -> Awaitable[list[SecretRow]]:
        """Secrets below `folder` whose names come after `after`, in byte order."""
        return self._barrier.select(SECRETS, _below(folder, after, limit))

    async def list_names(self, folder: str, after: str, limit: int) -> list[str]:
        """The names of what `list_page` returns."""
        keys = await self._barrier.select_checked_keys(SECRETS, _below(folder, after, limit))
        return [str(name) for (name,) in keys]

    def select_all(self, take: Callable[[SecretRow], T]) -> Awaitable[list[T]]:
        """What `take` makes of each secret, in one view; it is called in a thread."""
        return self._barrier.select_all(SECRETS, take)

    def seal_cursor(self, position: str) -> str:
        """As `Barrier.seal_cursor`."""
        return self._barrier.seal_cursor(position)

    def open_cursor(self, cursor: str) -> str:
        """As `Barrier.open_cursor`."""
        return self._barrier.open_cursor(cursor)

    def transact(
        self, change: Callable[[SecretTx], T], *, max_encryptions: int = 0
    ) -> Awaitable[T]:
        """Run `change` in a transaction. As `Barrier.transact`."""
        return self._barrier.transact(
            lambda tx: change(SecretTx(tx)), max_encryptions=max_encryptions
        )


class RotationTx(SecretTx):
    """One transaction over secrets and their rotations."""

    __slots__ = ()

    def get_rotation(self, secret_id: str, number: int) -> RotationRow | None:
        """A rotation of a secret."""
        return self._tx.get(ROTATIONS, secret_id, number)

    def put_rotation(self, rotation: RotationRow) -> None:
        """Insert or replace it."""
        self._tx.put(ROTATIONS, rotation)

    def delete_rotation(self, secret_id: str, number: int) -> None:
        """Delete it, if it is there."""
        if self._tx.get(ROTATIONS, secret_id, number) is not None:
            self._tx.delete(ROTATIONS, secret_id, number)

    def seal_pending(self, rotation: RotationRow, value: bytes) -> RotationRow:
        """The rotation with its new value. As `VaultTx.seal`."""
        wrapped_dek, box, generation = self._tx.seal(_pending_id(rotation), rotation.number, value)
        return replace(rotation, wrapped_dek=wrapped_dek, box=box, kek_generation=generation)

    def list_consumers(self, secret_id: str) -> list[ConsumerRow]:
        """Who fetched a secret."""
        return self._tx.select(CONSUMERS, StoreQuery(equals={"secret_id": secret_id}))

    def list_recorders(self) -> list[RecorderRow]:
        """The processes that record who fetches what."""
        return self._tx.select(RECORDERS, StoreQuery())

    def has_mount(self, folder: str) -> bool:
        """Whether there is a mount at a folder, above or below it: it may have moved away."""
        ends = [at + 1 for at, character in enumerate(folder) if character == "/"]
        if any(self._tx.get(MOUNTS, folder[:end]) is not None for end in ends):
            return True
        return bool(self._tx.select(MOUNTS, StoreQuery(prefix=("path", folder), limit=1)))

    def put_folder_policy(self, policy: FolderPolicyRow) -> None:
        """Insert or replace it."""
        self._tx.put(FOLDER_POLICIES, policy)

    def list_secrets(self, folder: str, after: str, limit: int) -> list[SecretRow]:
        """As `SecretStore.list_page`."""
        return self._tx.select(SECRETS, _below(folder, after, limit))

    def load_versions(self, keys: Sequence[tuple[str, int]]) -> None:
        """Have `get_version` find these without a query each."""
        self._tx.get_many(VERSIONS, keys)

    def delete_folder_policy(self, path: str) -> None:
        """Delete it."""
        self._tx.delete(FOLDER_POLICIES, path)


class RotationStore:
    """Rotations, and the secrets that are due. Reads raise as `Store.get`."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    def get(self, secret_id: str, number: int) -> Awaitable[RotationRow | None]:
        """A rotation."""
        return self._barrier.get(ROTATIONS, secret_id, number)

    def list_of_secret(self, secret_id: str) -> Awaitable[list[RotationRow]]:
        """All that are kept, the latest first."""
        return self._barrier.select(
            ROTATIONS, StoreQuery(equals={"secret_id": secret_id}, descending=True)
        )

    async def list_connections(self) -> list[tuple[str, str]]:
        """Each secret and folder whose policy has a connection, and that; reads all secrets."""
        rows = await self._barrier.select_all(SECRETS, _connection_of)
        folders = await self._barrier.select_all(FOLDER_POLICIES)
        found = [row for row in rows if row is not None]
        return found + [(row.path, str(row.policy.get("connection", ""))) for row in folders]

    def list_page(
        self, state: str, after: tuple[str, int] | None, limit: int, *, running: bool = False
    ) -> Awaitable[list[RotationRow]]:
        """Rotations of all secrets beyond this id and number.

        With a `state` those in it; `running`: those that have a next step.
        """
        equals: dict[str, str | int | bool] = {"state": state} if state else {}
        query = StoreQuery(
            equals=equals,
            at_most=("next_at", INTEGER_MAX) if running else None,
            after=after,
            limit=limit,
        )
        return self._barrier.select(ROTATIONS, query)

    async def get_latest(self, secret_id: str) -> RotationRow | None:
        """The rotation of the highest number."""
        query = StoreQuery(equals={"secret_id": secret_id}, descending=True, limit=1)
        return next(iter(await self._barrier.select(ROTATIONS, query)), None)

    def list_due(
        self, now: int, after: tuple[int, str, int] | None, limit: int
    ) -> Awaitable[list[RotationRow]]:
        """Those whose next step is due, the longest due first, beyond this time, id and number."""
        query = StoreQuery(at_most=("next_at", now), smallest_first=True, after=after, limit=limit)
        return self._barrier.select(ROTATIONS, query)

    def list_due_secrets(
        self, now: int, after: tuple[int, str] | None, limit: int
    ) -> Awaitable[list[SecretRow]]:
        """Those that a policy wants rotated by then, the longest due first, beyond this place."""
        query = StoreQuery(
            at_most=("rotation_due", now), smallest_first=True, after=after, limit=limit
        )
        return self._barrier.select(SECRETS, query)

    def count_folder_policy_transactions(self) -> int:
        """How many transactions of folder policies have ended."""
        return self._barrier.count_transactions(FOLDER_POLICIES)

    async def list_unscheduled_folders(self) -> list[FolderPolicyRow]:
        """Those whose policy has changed, and not all secrets below are scheduled by it."""
        rows = await self.list_folder_policies()
        return [row for row in rows if row.scheduled_to is not UNSET]

    async def is_paused(self) -> bool:
        """Whether no rotation begins or goes on."""
        return await self._barrier.get(SYSTEM, PAUSED_ROW) is not None

    def set_paused(self, paused: bool, by: str) -> Awaitable[None]:
        """Pause all rotations, or have them go on."""

        def change(tx: VaultTx) -> None:
            if paused:
                tx.put(SYSTEM, SystemRow(name=PAUSED_ROW, value=by.encode()))
            elif tx.get(SYSTEM, PAUSED_ROW) is not None:
                tx.delete(SYSTEM, PAUSED_ROW)

        return self._barrier.transact(change)

    def seal_cursor(self, position: str) -> str:
        """As `Barrier.seal_cursor`."""
        return self._barrier.seal_cursor(position)

    def open_cursor(self, cursor: str) -> str:
        """As `Barrier.open_cursor`."""
        return self._barrier.open_cursor(cursor)

    def list_secrets(self, folder: str, after: str, limit: int) -> Awaitable[list[SecretRow]]:
        """As `SecretStore.list_page`."""
        return self._barrier.select(SECRETS, _below(folder, after, limit))

    def get_folder_policy(self, path: str) -> Awaitable[FolderPolicyRow | None]:
        """The policy of a folder."""
        return self._barrier.get(FOLDER_POLICIES, path)

    def list_folder_policies(self) -> Awaitable[list[FolderPolicyRow]]:
        """All of them, by path. Raises as `Store.select`."""
        return self._barrier.select_all(FOLDER_POLICIES)

    def get_secret(self, path: str) -> Awaitable[SecretRow | None]:
        """The secret."""
        return self._barrier.get(SECRETS, path)

    def get_version(self, secret_id: str, number: int) -> Awaitable[VersionRow | None]:
        """As `Barrier.get_version`."""
        return self._barrier.get_version(secret_id, number)

    def open_value(self, version: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return self._barrier.open_value(version)

    def open_pending(self, rotation: RotationRow) -> bytes:
        """The value that is not current yet. Raises `TamperedError`."""
        return self._barrier.open_value(_pending_version(rotation))

    def transact(
        self, change: Callable[[RotationTx], T], *, max_encryptions: int = 0
    ) -> Awaitable[T]:
        """Run `change` in a transaction. As `Barrier.transact`."""
        return self._barrier.transact(
            lambda tx: change(RotationTx(tx)), max_encryptions=max_encryptions
        )


def _connected(row: SystemRow | None) -> int:
    return 0 if row is None else int.from_bytes(row.value)


def _connection_of(row: SecretRow) -> tuple[str, str] | None:
    connection = (row.rotation_policy or {}).get("connection", "")
    return (row.name, connection) if connection else None


def _pending_id(rotation: RotationRow) -> str:
    """What stands for the secret's id where a pending value is sealed: no secret has it."""
    return f"{rotation.secret_id}/rotation"


def _pending_version(rotation: RotationRow) -> VersionRow:
    """The pending value as the barrier takes it."""
    return VersionRow(
        secret_id=_pending_id(rotation),
        version=rotation.number,
        wrapped_dek=rotation.wrapped_dek,
        box=rotation.box,
        kek_generation=rotation.kek_generation,
        created_at=rotation.began_at,
        created_by="",
    )


PURGE_BATCH: Final = 4  # leases that are over, and go with each one that comes to be over


class LeaseTx(SecretTx):
    """One transaction over connections, roles and leases."""

    __slots__ = ()

    def get_connection(self, path: str) -> ConnectionRow | None:
        """A connection."""
        return self._tx.get(CONNECTIONS, path)

    def put_connection(self, row: ConnectionRow) -> None:
        """Insert or replace it."""
        self._tx.put(CONNECTIONS, row)

    def delete_connection(self, path: str) -> None:
        """Delete it."""
        self._tx.delete(CONNECTIONS, path)

    def list_connections(self, mount: str, limit: int) -> list[ConnectionRow]:
        """The first ones of a mount."""
        return self._tx.select(
            CONNECTIONS, StoreQuery(prefix=("path", mount + CONNECTIONS_FOLDER), limit=limit)
        )

    def get_role(self, path: str) -> DatabaseRoleRow | None:
        """A role."""
        return self._tx.get(DATABASE_ROLES, path)

    def put_role(self, row: DatabaseRoleRow) -> None:
        """Insert or replace it."""
        self._tx.put(DATABASE_ROLES, row)

    def delete_role(self, path: str) -> None:
        """Delete it."""
        self._tx.delete(DATABASE_ROLES, path)

    def list_roles(self, mount: str, limit: int) -> list[DatabaseRoleRow]:
        """The first ones of a mount."""
        return self._tx.select(
            DATABASE_ROLES, StoreQuery(prefix=("path", mount + ROLES), limit=limit)
        )

    def has_users(self, connection: str) -> bool:
        """Whether there may be a leased user at this connection's target."""
        return _has_users(self._tx, equals={"connection": connection})

    def get_lease(self, lease_id: str) -> DynamicLeaseRow | None:
        """A lease."""
        return self._tx.get(DYNAMIC_LEASES, lease_id)

    def put_lease(self, row: DynamicLeaseRow) -> None:
        """Insert or replace it."""
        self._tx.put(DYNAMIC_LEASES, row)

    def insert_lease(self, row: DynamicLeaseRow) -> None:
        """Insert a new one, whose id is a new one."""
        self._tx.insert_new(DYNAMIC_LEASES, [row])

    def find_by_username(self, username: str) -> DynamicLeaseRow | None:
        """The lease of a user."""
        query = StoreQuery(equals={"username": username}, limit=1)
        return next(iter(self._tx.select(DYNAMIC_LEASES, query)), None)

    def list_leases(self, prefix: str, after: str, limit: int) -> list[DynamicLeaseRow]:
        """Leases whose ids begin so, beyond the id `after`."""
        return self._tx.select(DYNAMIC_LEASES, _leases(prefix, "", after, limit))

    def purge_leases(self, before: int, limit: int = PURGE_BATCH) -> int:
        """Delete some that were over by then; returns how many."""
        query = StoreQuery(at_most=("ended_at", before), limit=limit)
        rows = self._tx.select(DYNAMIC_LEASES, query)
        for row in rows:
            self._tx.delete(DYNAMIC_LEASES, row.id)
        return len(rows)

    def get_client(self, client: str = ALL_CLIENTS) -> LeaseClientRow:
        """What a client has, or all have together."""
        return self._tx.get(LEASE_CLIENTS, client) or LeaseClientRow(client=client)

    def put_client(self, row: LeaseClientRow) -> None:
        """Insert or replace it; one that has no lease is not kept."""
        if row.leases:
            self._tx.put(LEASE_CLIENTS, row)
        elif self._tx.get(LEASE_CLIENTS, row.client) is not None:
            self._tx.delete(LEASE_CLIENTS, row.client)

    def find_owner(self, caller: Identity, now: int) -> LeaseOwner:
        """What a lease of the caller ends with. Raises `AuthorizationError`."""
        if caller.method is Method.API_KEY:
            return owner_of_api_key(self._tx.get, caller, now)
        query = StoreQuery(equals={"accessor": caller.credential}, limit=1)
        token = next(iter(self._tx.select(TOKENS, query)), None)
        return owner_of_token(self._tx.get, token, now)


class LeaseStore:
    """Connections, roles and leases of dynamic credentials. Reads raise as `Store.get`."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    def get_connection(self, path: str) -> Awaitable[ConnectionRow | None]:
        """A connection."""
        return self._barrier.get(CONNECTIONS, path)

    def list_connections(self, mount: str = "") -> Awaitable[list[ConnectionRow]]:
        """The first thousand of a mount, or of all mounts."""
        prefix = ("path", mount + CONNECTIONS_FOLDER) if mount else None
        return self._barrier.select(CONNECTIONS, StoreQuery(prefix=prefix))

    def get_role(self, path: str) -> Awaitable[DatabaseRoleRow | None]:
        """A role."""
        return self._barrier.get(DATABASE_ROLES, path)

    def list_roles(self, mount: str) -> Awaitable[list[DatabaseRoleRow]]:
        """The first thousand of a mount."""
        return self._barrier.select(DATABASE_ROLES, StoreQuery(prefix=("path", mount + ROLES)))

    def get_lease(self, lease_id: str) -> Awaitable[DynamicLeaseRow | None]:
        """A lease."""
        return self._barrier.get(DYNAMIC_LEASES, lease_id)

    def list_leases(
        self, prefix: str, state: str, after: str, limit: int
    ) -> Awaitable[list[DynamicLeaseRow]]:
        """Leases whose ids begin so, with a `state` those in it, beyond the id `after`."""
        return self._barrier.select(DYNAMIC_LEASES, _leases(prefix, state, after, limit))

    def list_due(
        self, now: int, limit: int, connection: str = ""
    ) -> Awaitable[list[DynamicLeaseRow]]:
        """Those whose next step is due: of all connections, or of one."""
        equals: dict[str, str | int | bool] = {"connection": connection} if connection else {}
        query = StoreQuery(equals=equals, at_most=("next_at", now), limit=limit)
        return self._barrier.select(DYNAMIC_LEASES, query)

    async def count_leases(self) -> int:
        """How many may have a user at a target."""
        row = await self._barrier.get(LEASE_CLIENTS, ALL_CLIENTS)
        return 0 if row is None else row.leases

    def list_clients(self, after: str | None, limit: int) -> Awaitable[list[LeaseClientRow]]:
        """Clients beyond this one; the first is all together."""
        query = StoreQuery(after=None if after is None else (after,), limit=limit)
        return self._barrier.select(LEASE_CLIENTS, query)

    def get_secret(self, path: str) -> Awaitable[SecretRow | None]:
        """The secret."""
        return self._barrier.get(SECRETS, path)

    def get_version(self, secret_id: str, number: int) -> Awaitable[VersionRow | None]:
        """As `Barrier.get_version`."""
        return self._barrier.get_version(secret_id, number)

    def open_value(self, version: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return self._barrier.open_value(version)

    def seal_cursor(self, position: str) -> str:
        """As `Barrier.seal_cursor`."""
        return self._barrier.seal_cursor(position)

    def open_cursor(self, cursor: str) -> str:
        """As `Barrier.open_cursor`."""
        return self._barrier.open_cursor(cursor)

    def transact(self, change: Callable[[LeaseTx], T], *, max_encryptions: int = 0) -> Awaitable[T]:
        """Run `change` in a transaction. As `Barrier.transact`."""
        return self._barrier.transact(
            lambda tx: change(LeaseTx(tx)), max_encryptions=max_encryptions
        )


class DatabaseTx(RotationTx, LeaseTx):
    """One transaction over static roles, whose passwords are rotated."""

    __slots__ = ()


class StaticRoleStore(RotationStore):
    """Connections, and the rotations of what is reached by them."""

    def get_connection(self, path: str) -> Awaitable[ConnectionRow | None]:
        """A connection."""
        return self._barrier.get(CONNECTIONS, path)

    def transact(
        self, change: Callable[[DatabaseTx], T], *, max_encryptions: int = 0
    ) -> Awaitable[T]:
        """Run `change` in a transaction. As `Barrier.transact`."""
        return self._barrier.transact(
            lambda tx: change(DatabaseTx(tx)), max_encryptions=max_encryptions
        )


def _leases(prefix: str, state: str, after: str, limit: int) -> StoreQuery:
    equals: dict[str, str | int | bool] = {"state": state} if state else {}
    return StoreQuery(
        equals=equals,
        prefix=("id", prefix) if prefix else None,
        after=(after,) if after else None,
        limit=limit,
    )


def _has_users(
    tx: VaultTx,
    equals: dict[str, str | int | bool] | None = None,
    prefix: tuple[str, str] | None = None,
) -> bool:
    """Whether any of these leases may have a user at a target."""
    return any(
        tx.select(
            DYNAMIC_LEASES,
            StoreQuery(equals={**(equals or {}), "state": state}, prefix=prefix, limit=1),
        )
        for state in COUNTED
    )


class AccessStore:
    """How often secrets were read."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    def get(self, secret_id: str) -> Awaitable[AccessRow | None]:
        """What is stored of one secret."""
        return self._barrier.get(ACCESS, secret_id)

    def list_page(self, after: str | None, limit: int) -> Awaitable[list[AccessRow]]:
        """Counts beyond the secret id `after`, in the order of the ids."""
        query = StoreQuery(after=None if after is None else (after,), limit=limit)
        return self._barrier.select(ACCESS, query)

    def add_counts(self, counts: list[AccessRow]) -> Awaitable[None]:
        """Add these to what is stored; of secrets that are gone nothing is kept."""
        return self._barrier.transact(lambda tx: tx.add_counts(ACCESS, counts))

    @staticmethod
    def merge(one: AccessRow, other: AccessRow) -> AccessRow:
        """Both counts of one secret together."""
        return ACCESS.add_counts(one, other)


class ConsumerStore:
    """Who fetched which version of a secret. Reads raise as `Store.get`."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    def list_of_secret(self, secret_id: str) -> Awaitable[list[ConsumerRow]]:
        """Of one secret: `MAX_CONSUMERS`, and one more row for those who found no place."""
        return self._barrier.select(CONSUMERS, StoreQuery(equals={"secret_id": secret_id}))

    def list_of_identity(
        self, identity: str, after: tuple[str, str] | None, limit: int
    ) -> Awaitable[list[ConsumerRow]]:
        """What one identity has fetched, beyond this secret id and consumer."""
        query = StoreQuery(equals={"identity": identity}, after=after, limit=limit)
        return self._barrier.select(CONSUMERS, query)

    def merge(self, rows: Sequence[ConsumerRow]) -> Awaitable[None]:
        """Add these to what is stored; of several versions the highest counts."""
        return self._barrier.transact(partial(_merge_consumers, rows=rows))

    def mark_compromised(self, keys: Sequence[Key], now: int) -> Awaitable[None]:
        """Nobody waits for these consumers any more."""

        def change(tx: VaultTx) -> None:
            for row in tx.get_many(CONSUMERS, keys).values():
                if not row.compromised_at:
                    tx.put(CONSUMERS, replace(row, compromised_at=now))

        return self._barrier.transact(change)

    async def forget(self, before: int) -> int:
        """Remove some whose last fetch was before an instant; returns how many."""
        old = await self._barrier.select(CONSUMERS, StoreQuery(at_most=("fetched_at", before)))

        def change(tx: VaultTx) -> None:
            for row in tx.get_many(CONSUMERS, list(map(CONSUMERS.key_of, old))).values():
                if row.fetched_at <= before:
                    tx.delete(CONSUMERS, row.secret_id, row.consumer)

        if old:
            await self._barrier.transact(change)
        return len(old)

    async def has_waiting_rotation(self) -> bool:
        """Whether a rotation waits for consumers."""
        query = StoreQuery(equals={"state": RotationState.CURRENT.value}, limit=1)
        return bool(await self._barrier.select(ROTATIONS, query))

    async def has_secrets(self) -> bool:
        """Whether there is any secret that somebody may have fetched."""
        return bool(await self._barrier.select(SECRETS, StoreQuery(limit=1)))

    def list_recorders(self) -> Awaitable[list[RecorderRow]]:
        """The processes that record."""
        return self._barrier.select_all(RECORDERS)

    def change_recorders(
        self, change: Callable[[list[RecorderRow]], list[RecorderRow]]
    ) -> Awaitable[None]:
        """Replace all rows by what `change` makes of them."""

        def apply(tx: VaultTx) -> None:
            before = tx.select(RECORDERS, StoreQuery())
            after = change(before)
            for row in before:
                if row.id not in {one.id for one in after}:
                    tx.delete(RECORDERS, row.id)
            for row in after:
                if row not in before:
                    tx.put(RECORDERS, row)

        return self._barrier.transact(apply)


def _merge_consumers(tx: VaultTx, *, rows: Sequence[ConsumerRow]) -> None:
    known = tx.get_many(CONSUMERS, list(map(CONSUMERS.key_of, rows)))
    for row in rows:
        before = known.get((row.secret_id, row.consumer))
        tx.put(CONSUMERS, _with_place(tx, row) if before is None else merge_fetches(before, row))


def merge_fetches(before: ConsumerRow, row: ConsumerRow) -> ConsumerRow:
    """Both fetches of one consumer. One that fetches again after a compromise is waited for."""
    return replace(
        row,
        version=max(row.version, before.version),
        fetched_at=max(row.fetched_at, before.fetched_at),
        compromised_at=0 if row.fetched_at > before.compromised_at else before.compromised_at,
    )


def _with_place(tx: VaultTx, row: ConsumerRow) -> ConsumerRow:
    """A new consumer, or where the secret has too many, one without a name for all of those."""
    query = StoreQuery(equals={"secret_id": row.secret_id}, limit=MAX_CONSUMERS)
    if len(tx.select(CONSUMERS, query)) < MAX_CONSUMERS:
        return row
    return replace(row, consumer="", identity="", name="", version=0)


class MoveTx:
    """What transactions over mounts of both kinds can do: keep what was moved."""

    __slots__ = ("_tx",)

    def __init__(self, tx: VaultTx) -> None:
        self._tx = tx

    def put_move(self, move: MountMoveRow) -> None:
        """Record a move; of more than `MAX_MOVES` the oldest is deleted."""
        kept = self._tx.select(MOUNT_MOVES, StoreQuery(limit=MAX_MOVES))
        surplus = max(0, len(kept) + 1 - MAX_MOVES)
        for old in sorted(kept, key=lambda row: row.moved_at)[:surplus]:
            self._tx.delete(MOUNT_MOVES, old.id)
        self._tx.put(MOUNT_MOVES, move)


class MountTx(MoveTx):
    """One transaction over mounts; secrets can only be erased, or moved with their mount."""

    __slots__ = ()

    def list_mounts(self, limit: int) -> list[MountRow]:
        """The first mounts in path order."""
        return self._tx.select(MOUNTS, StoreQuery(limit=limit))

    def get_mount(self, path: ResourcePath) -> MountRow | None:
        """The mount as it is now."""
        return self._tx.get(MOUNTS, path)

    def put_mount(self, mount: MountRow) -> None:
        """Insert or replace it."""
        self._tx.put(MOUNTS, mount)

    def delete_mount(self, path: ResourcePath) -> None:
        """Delete it, if it is there."""
        if self._tx.get(MOUNTS, path) is not None:
            self._tx.delete(MOUNTS, path)

    def has_leases(self, mount: str) -> bool:
        """Whether a lease of a database mount may have a user at a target."""
        return _has_users(self._tx, prefix=("id", mount + CREDENTIALS))

    def erase_database(self, mount: str, limit: int) -> int:
        """Delete some connections, roles and leases that are over; returns how many."""
        count = 0
        for table, key in ((DYNAMIC_LEASES, "id"), (DATABASE_ROLES, "path"), (CONNECTIONS, "path")):
            rows: list[Any] = self._tx.select(table, StoreQuery(prefix=(key, mount), limit=limit))
            for row in rows:
                self._tx.delete(table, getattr(row, key))
            count += len(rows)
        return count

    def erase_secrets(self, folder: ResourcePath, limit: int) -> int:
        """Erase some secrets below `folder` with all that belongs to them; returns how many."""
        secrets = self._tx.select(SECRETS, StoreQuery(prefix=("name", folder), limit=limit))
        erasing = SecretTx(self._tx)
        for secret in secrets:
            erasing.erase_secret(secret)
        return len(secrets)

    def is_empty(self, folder: ResourcePath) -> bool:
        """Whether there is no secret and no rotation policy below `folder`."""
        policies = self._tx.select(FOLDER_POLICIES, StoreQuery(prefix=("path", folder), limit=1))
        return not policies and not self._tx.select(SECRETS, _below(folder, "", 1))

    def list_secrets(self, folder: ResourcePath, limit: int) -> list[SecretRow]:
        """The secrets below `folder`; of more than `limit` that many, and some more."""
        rows = self._tx.select(SECRETS, _below(folder, "", MAX_LIMIT))
        last = len(rows)
        while last == MAX_LIMIT and len(rows) <= limit:
            page = self._tx.select(SECRETS, _below(folder, rows[-1].name, MAX_LIMIT))
            rows += page
            last = len(page)
        return rows

    def count_connections(self) -> int:
        """How often something was given a secret to connect with."""
        return _connected(self._tx.get(SYSTEM, CONNECTED_ROW))

    def find_running_rotation(self, secrets: Sequence[SecretRow]) -> str:
        """The name of a secret that is being rotated; empty: none is."""
        names = {row.id: row.name for row in secrets}
        query = StoreQuery(at_most=("next_at", INTEGER_MAX), smallest_first=True)
        while page := self._tx.select(ROTATIONS, query):
            for row in page:
                if row.secret_id in names:
                    return names[row.secret_id]
            last = page[-1]
            query = replace(query, after=(last.next_at, last.secret_id, last.number))
        return ""

    def move_secrets(
        self, secrets: Sequence[SecretRow], source: ResourcePath, target: ResourcePath
    ) -> None:
        """Give secrets below `source` their names below `target`, and all that names them by path.

        Raises `ValidationError` for a name that would be too long.
        """
        moved = partial(_moved, source=source, target=target)
        self._tx.get_many(SECRETS, [(row.name,) for row in secrets])
        for row in secrets:
            new = ResourcePath.parse_secret(moved(row.name))
            self._tx.delete(SECRETS, row.name)
            policy = _moved_policy(row.rotation_policy, moved)
            self._tx.put(SECRETS, replace(row, name=str(new), rotation_policy=policy))
            for rotation in self._tx.select(ROTATIONS, StoreQuery(equals={"secret_id": row.id})):
                self._tx.put(
                    ROTATIONS,
                    replace(
                        rotation,
                        path=moved(rotation.path),
                        policy=_moved_policy(rotation.policy, moved) or {},
                    ),
                )
        while folders := self._tx.select(FOLDER_POLICIES, StoreQuery(prefix=("path", source))):
            for folder in folders:
                scheduled = folder.scheduled_to
                self._tx.delete(FOLDER_POLICIES, folder.path)
                self._tx.put(
                    FOLDER_POLICIES,
                    replace(
                        folder,
                        path=moved(folder.path),
                        policy=_moved_policy(folder.policy, moved) or {},
                        scheduled_to=scheduled if scheduled is UNSET else moved(scheduled),
                    ),
                )


def _moved(path: str, *, source: str, target: str) -> str:
    """The path below `target` of what is below `source`; another path stays."""
    return target + path[len(source) :] if path.startswith(source) else path


def _moved_policy(
    policy: dict[str, Any] | None, moved: Callable[[str], str]
) -> dict[str, Any] | None:
    """A rotation policy with the secret that it connects with, wherever that is now."""
    connection = (policy or {}).get("connection", "")
    return {**policy, "connection": moved(connection)} if policy and connection else policy


MAX_MOVES: Final = 500
"""Moves of mounts that are kept."""


class RowsOfMounts(Generic[MountR, MountT]):
    """The mounts of one kind. `changing` is held for a change with its reload, `reading` for one.

    `begin`: what a change gets of a transaction.
    """

    def __init__(
        self, barrier: Barrier, table: Table[MountR], begin: Callable[[VaultTx], MountT]
    ) -> None:
        self._barrier = barrier
        self._table = table
        self._begin = begin
        self.changing = TimedLock()
        self.reading = TimedLock()

    def list_all(self) -> Awaitable[list[MountR]]:
        """Every mount. Raises as `Store.select`."""
        return self._barrier.select_all(self._table)

    def count_transactions(self) -> int:
        """How many transactions of these mounts have ended."""
        return self._barrier.count_transactions(self._table)

    def transact(self, change: Callable[[MountT], T]) -> Awaitable[T]:
        """Run `change` in a transaction. As `Barrier.transact`."""
        return self._barrier.transact(lambda tx: change(self._begin(tx)))


class MoveStore:
    """The moves that are kept. Reads raise as `Store.get`."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier

    async def list_all(self) -> list[MountMoveRow]:
        """The latest first."""
        rows = await self._barrier.select_all(MOUNT_MOVES)
        return sorted(rows, key=lambda row: row.moved_at, reverse=True)

    def get(self, move_id: str) -> Awaitable[MountMoveRow | None]:
        """One of them."""
        return self._barrier.get(MOUNT_MOVES, move_id)


class MountStore(RowsOfMounts[MountRow, MountTx]):
    """Mounts of secret engines."""

    def __init__(self, barrier: Barrier) -> None:
        super().__init__(barrier, MOUNTS, MountTx)

    async def find_connection_users(self, folder: str) -> tuple[str, int]:
        """What outside of `folder` connects with a secret in it; empty: nothing.

        A secret or folder that is rotated by it, or a connection to a database server. It reads all
        secrets, so not in a transaction: there it holds if `MountTx.count_connections` is the
        number that comes with it.
        """
        # In a transaction, so that no replica answers what follows from before this count.
        count = await self.transact(MountTx.count_connections)
        found = await RotationStore(self._barrier).list_connections()
        databases = await self._barrier.select_all(CONNECTIONS)
        found += [(row.path, row.secret) for row in databases]
        user = next(
            (
                user
                for user, connection in found
                if connection.startswith(folder) and not user.startswith(folder)
            ),
            "",
        )
        return user, count


class GrantTx:
    """One transaction over grants of access."""

    __slots__ = ("_tx",)

    def __init__(self, tx: VaultTx) -> None:
        self._tx = tx

    def list_all(self) -> list[AccessGrantRow]:
        """All of them."""
        return self._tx.select(ACCESS_GRANTS, StoreQuery())

    def get(self, grant_id: str) -> AccessGrantRow | None:
        """A grant as it is now."""
        return self._tx.get(ACCESS_GRANTS, grant_id)

    def put(self, grant: AccessGrantRow) -> None:
        """Insert or replace it."""
        self._tx.put(ACCESS_GRANTS, grant)

    def delete(self, grant_id: str) -> None:
        """Delete it."""
        self._tx.delete(ACCESS_GRANTS, grant_id)

    def policies_of(self, user_id: str) -> set[str]:
        """The policies of an entity as it is now; none of one that is gone."""
        user = self._tx.get(USERS, user_id)
        return set() if user is None else user_policies(self._tx.get, user)


class GrantStore:
    """Grants of access. `changing` is held for a change with its reload, `reading` for a reload."""

    def __init__(self, barrier: Barrier, store: Store) -> None:
        self._barrier = barrier
        self._store = store
        self.changing = TimedLock()
        self.reading = TimedLock()

    def list_all(self) -> Awaitable[list[AccessGrantRow]]:
        """Every grant. Raises as `Store.select`."""
        return self._barrier.select_all(ACCESS_GRANTS)

    def count_transactions(self) -> int:
        """How many transactions of grants have ended."""
        return self._barrier.count_transactions(ACCESS_GRANTS)

    def transact(self, change: Callable[[GrantTx], T]) -> Awaitable[T]:
        """Run `change` in a transaction. As `Barrier.transact`."""
        return self._barrier.transact(lambda tx: change(GrantTx(tx)))

    async def resolve_granter(self, grant: AccessGrantRow, now: int) -> Identity | None:
        """Who granted it, with what of what allowed it then they still have.

        None: they are no active user any more. What denies an entity something by now binds it.
        """
        return await resolve_identity(self._store, _granter_identity, grant, now)

    async def is_active_user(self, user_id: str) -> bool:
        """Whether there is such an entity, and it is not disabled."""
        user = await self._barrier.get(USERS, user_id)
        return user is not None and user.status == RecordStatus.ACTIVE


def _granter_identity(get: RowLookup, grant: AccessGrantRow, now: int) -> Identity | None:
    authority = grant.authority
    policies, denied_by = set(authority.policies), set(authority.denied_by)
    user: UserRow | None = None
    if not authority.credential:
        user = get(USERS, grant.granter)
        if user is None or user.status != RecordStatus.ACTIVE:
            return None
        held = user_policies(get, user)
        if ROOT_POLICY not in held:  # who has it could use each policy
            policies &= held.union(authority.from_login or (), (DEFAULT_POLICY,))
        denied_by |= held | set(authority.policies)
    return Identity(
        id=grant.granter,
        name=grant.granter_name,
        method=Method(authority.method),
        policies=tuple(sorted(policies)),
        denied_by=tuple(sorted(denied_by - policies - {ROOT_POLICY})),
        ceiling=tuple(authority.ceiling),
        credential=authority.credential,
        # As old as it was then: a condition on its age was met by the grant.
        mfa_at=authority.mfa_at and now - (grant.granted_at - authority.mfa_at),
        entity=() if user is None else entity_values(get, user),
    )


class AuthMountTx(MoveTx):
    """One transaction over auth mounts."""

    __slots__ = ()

    def list_mounts(self) -> list[AuthMountRow]:
        """All of them."""
        return self._tx.select(AUTH_MOUNTS, StoreQuery())

    def find(self, path: str) -> AuthMountRow | None:
        """The mount at this path as it is now."""
        query = StoreQuery(equals={"path": path}, limit=1)
        return next(iter(self._tx.select(AUTH_MOUNTS, query)), None)

    def put(self, mount: AuthMountRow) -> None:
        """Insert or replace it."""
        self._tx.put(AUTH_MOUNTS, mount)

    def delete(self, mount: AuthMountRow) -> None:
        """Delete it, if it is there."""
        if self._tx.get(AUTH_MOUNTS, mount.id) is not None:
            self._tx.delete(AUTH_MOUNTS, mount.id)
        forget_mount(self._tx, mount.accessor)


class AuthMountStore(RowsOfMounts[AuthMountRow, AuthMountTx]):
    """Auth mounts, and what goes with one."""

    def __init__(self, barrier: Barrier) -> None:
        super().__init__(barrier, AUTH_MOUNTS, AuthMountTx)

    def erase_entries(self, mount_id: str, limit: int) -> Awaitable[int]:
        """Delete some entries of a mount that is gone; returns how many."""

        def change(tx: VaultTx) -> int:
            rows = tx.select(AUTH_ENTRIES, StoreQuery(equals={"mount_id": mount_id}, limit=limit))
            for row in rows:
                tx.delete(AUTH_ENTRIES, row.mount_id, row.kind, row.name)
            return len(rows)

        return self._barrier.transact(change)

    async def list_tokens(self, mount_id: str) -> list[str]:
        """The ids of tokens that were made at a mount."""
        found = await self._barrier.select_all(
            TOKENS, lambda row: row.id if row.mount_id == mount_id else ""
        )
        return [token_id for token_id in found if token_id]


class AuthEntryTx:
    """The entries of one auth mount within a transaction: `EntryTx`."""

    __slots__ = ("_mount", "_sealed", "_tx", "_world", "now")

    def __init__(
        self,
        tx: VaultTx,
        mount_id: str,
        world: World,
        sealed: Callable[[str, str], Collection[str]],
    ) -> None:
        """`sealed`: the fields of a method's kind that are stored sealed."""
        self._tx = tx
        self._world = world
        self.now = world.now()
        self._sealed = sealed
        mount = BUILT_IN_MOUNTS.get(mount_id) or tx.get(AUTH_MOUNTS, mount_id)
        if mount is None:
            raise NotFoundError("mount_not_found", "there is no auth mount at this path")
        self._mount = mount

    def get(self, kind: str, name: str) -> Entry | None:
        """The entry as it is now, expired or not."""
        row = self._tx.get(AUTH_ENTRIES, self._mount.id, kind, name)
        return None if row is None else _entry(row, self._tx.open_value)

    def put(
        self,
        kind: str,
        name: str,
        document: Mapping[str, Any],
        *,
        expires_at: int = 0,
        uses_left: int = 0,
    ) -> None:
        """Insert or replace it."""
        old = self._tx.get(AUTH_ENTRIES, self._mount.id, kind, name)
        secret_fields = self._sealed(self._mount.type, kind)
        secret = {key: value for key, value in document.items() if key in secret_fields and value}
        row = AuthEntryRow(
            mount_id=self._mount.id,
            kind=kind,
            name=name,
            id=f"auth-entry:{self._world.new_id()}" if old is None else old.id,
            document={key: value for key, value in document.items() if key not in secret_fields},
            revision=1 if old is None else old.revision + 1,
            expires_at=expires_at,
            uses_left=uses_left,
            created_at=self.now if old is None else old.created_at,
            updated_at=self.now,
        )
        if secret:
            plaintext = msgspec.json.encode(secret)
            wrapped_dek, box, generation = self._tx.seal(row.id, row.revision, plaintext)
            row = replace(row, wrapped_dek=wrapped_dek, box=box, kek_generation=generation)
        self._tx.put(AUTH_ENTRIES, row)

    def spend(self, kind: str, name: str) -> bool:
        """Use one of the uses that are left of an entry; False: there is none left, or no entry.

        The last use removes it.
        """
        row = self._tx.get(AUTH_ENTRIES, self._mount.id, kind, name)
        if row is None or row.uses_left <= 0 or (row.expires_at and self.now >= row.expires_at):
            return False
        if row.uses_left == 1:
            self._tx.delete(AUTH_ENTRIES, self._mount.id, kind, name)
        else:
            self._tx.put(
                AUTH_ENTRIES, replace(row, uses_left=row.uses_left - 1, updated_at=self.now)
            )
        return True

    def delete(self, kind: str, name: str) -> None:
        """Remove it, if it is there."""
        if self._tx.get(AUTH_ENTRIES, self._mount.id, kind, name) is not None:
            self._tx.delete(AUTH_ENTRIES, self._mount.id, kind, name)

    def list_names(
        self, kind: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[str]:
        """Names that begin with `prefix`, beyond `after`, in byte order."""
        query = _entries_query(self._mount.id, kind, prefix, after, limit)
        return [row.name for row in self._tx.select(AUTH_ENTRIES, query)]

    def of_mount(self, mount_id: str) -> "AuthEntryTx":
        """The entries of another mount, in the same transaction."""
        return AuthEntryTx(self._tx, mount_id, self._world, self._sealed)


class AuthEntryStore:
    """What auth methods keep: `EntryReader`. Reads raise as `Store.get`."""

    def __init__(self, barrier: Barrier, world: World) -> None:
        self._barrier = barrier
        self._world = world
        self.methods: Mapping[str, LoginMethod] = {}
        """By type. They are made with this, so they come later."""

    async def get(self, mount_id: str, kind: str, name: str) -> Entry | None:
        """The entry, or None; also None once it has expired."""
        row = await self._barrier.get(AUTH_ENTRIES, mount_id, kind, name)
        if row is None or not is_alive(row, self._world.now()):
            return None
        return _entry(row, self._barrier.open_value)

    async def list_names(
        self, mount_id: str, kind: str, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[str]:
        """As `EntryTx.list_names`; those that have expired are left out."""
        query = _entries_query(mount_id, kind, prefix, after, limit)
        now = self._world.now()
        rows = await self._barrier.select(AUTH_ENTRIES, query)
        return [row.name for row in rows if is_alive(row, now)]

    def transact(self, mount_id: str, change: Callable[[EntryTx], T]) -> Awaitable[T]:
        """Run `change` in a transaction over the mount's entries. Raises what it raises."""
        return self.transact_rows(mount_id, lambda entries, _: change(entries))

    def transact_rows(
        self, mount_id: str, change: Callable[[EntryTx, LoginTx], T], *, max_encryptions: int = 4
    ) -> Awaitable[T]:
        """As `transact`, with other tables."""

        def run(tx: VaultTx) -> T:
            return change(AuthEntryTx(tx, mount_id, self._world, self._sealed), tx)

        return self._barrier.transact(run, max_encryptions=max_encryptions)

    async def erase_expired(self, now: int, limit: int = 500) -> int:
        """Delete some entries whose time is over; returns how many."""
        query = StoreQuery(at_most=("expires_at", now), limit=limit)
        rows = await self._barrier.select(AUTH_ENTRIES, query)

        def change(tx: VaultTx) -> None:
            for found in rows:
                row = tx.get(AUTH_ENTRIES, found.mount_id, found.kind, found.name)
                if row is not None and not is_alive(row, now):
                    tx.delete(AUTH_ENTRIES, row.mount_id, row.kind, row.name)

        if rows:
            await self._barrier.transact(change)
        return len(rows)

    def _sealed(self, method: str, kind: str) -> Collection[str]:
        if method == MFA_MOUNT.type:
            return SEALED.get(kind, ())
        found = self.methods.get(method)
        entry_kind = None if found is None else found.kinds.get(kind)
        return () if entry_kind is None else entry_kind.sealed


def _entry(row: AuthEntryRow, open_value: Callable[[VersionRow], bytes]) -> Entry:
    document = row.document
    if row.box:
        document = {**document, **json_text.decode(open_value(_entry_version(row)))}
    return Entry(
        name=row.name,
        id=row.id,
        document=document,
        expires_at=row.expires_at,
        uses_left=row.uses_left,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _entry_version(row: AuthEntryRow) -> VersionRow:
    """The sealed part of an entry, as the barrier takes it."""
    return VersionRow(
        secret_id=row.id,
        version=row.revision,
        wrapped_dek=row.wrapped_dek,
        box=row.box,
        kek_generation=row.kek_generation,
        created_at=row.updated_at,
        created_by="",
    )


def _entries_query(mount_id: str, kind: str, prefix: str, after: str, limit: int) -> StoreQuery:
    return StoreQuery(
        equals={"mount_id": mount_id, "kind": kind},
        prefix=("name", prefix) if prefix else None,
        after=(mount_id, kind, after) if after else None,
        limit=limit,
    )


class KeyStore:
    """The key-encryption keys, and the data keys that are under them."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self.rotate = barrier.rotate
        self.retire_older_generations = barrier.retire_older_generations

    @property
    def state(self) -> KeyringState:
        """What may be shown of the keyring."""
        return self._barrier.keyring_state

    @property
    def cache_state(self) -> CacheState:
        """What may be shown of the cache of sealed rows."""
        return self._barrier.cache_state

    @property
    def active_generation(self) -> int:
        """The generation that seals now."""
        return self._barrier.active_generation

    @property
    def oldest_generation(self) -> int:
        """The oldest generation that is not retired."""
        return self._barrier.oldest_generation

    def list_versions(
        self, after: tuple[str, int] | None, limit: int
    ) -> Awaitable[list[VersionRow]]:
        """Versions of all secrets beyond this id and number, with their sealed values."""
        return self._barrier.select(VERSIONS, StoreQuery(after=after, limit=limit))

    def rewrap(self, keys: Sequence[tuple[str, int]], active: int) -> Awaitable[int]:
        """Put those of these versions that are still old under the active key; returns how many."""

        def change(tx: VaultTx) -> int:
            moved = 0
            for key in keys:
                row = tx.get(VERSIONS, *key)
                if row is not None and is_under_older_key(row, active):
                    tx.put(VERSIONS, tx.rewrap(row))
                    moved += 1
            return moved

        return self._barrier.transact(change, max_encryptions=len(keys))

    async def rewrap_pending(self, active: int) -> int:
        """Put the pending values of rotations under the active key, too; returns how many."""
        moved, after = 0, None
        while page := await self._barrier.select(ROTATIONS, StoreQuery(after=after)):
            keys = [
                ROTATIONS.key_of(row) for row in page if row.box and row.kek_generation != active
            ]
            if keys:
                moved += await self._barrier.transact(
                    partial(_rewrap_pending, keys=keys, active=active), max_encryptions=len(keys)
                )
            after = ROTATIONS.key_of(page[-1])
        return moved

    async def rewrap_entries(self, active: int) -> int:
        """Put what is sealed of auth entries under the active key, too; returns how many."""
        moved, after = 0, None
        while page := await self._barrier.select(AUTH_ENTRIES, StoreQuery(after=after)):
            keys = [
                AUTH_ENTRIES.key_of(row) for row in page if row.box and row.kek_generation != active
            ]
            if keys:
                moved += await self._barrier.transact(
                    partial(_rewrap_entries, keys=keys, active=active), max_encryptions=len(keys)
                )
            after = AUTH_ENTRIES.key_of(page[-1])
        return moved

    async def get_rewrapped_generation(self) -> int:
        """The generation that the last whole pass has left all under; 0 for none."""
        row = await self._barrier.get(SYSTEM, REWRAPPED_ROW)
        return 0 if row is None else int.from_bytes(row.value)

    def put_rewrapped_generation(self, generation: int) -> Awaitable[None]:
        """Store it."""
        row = SystemRow(name=REWRAPPED_ROW, value=generation.to_bytes(4))
        return self._barrier.transact(lambda tx: tx.put(SYSTEM, row))


def _rewrap_pending(tx: VaultTx, *, keys: Sequence[Key], active: int) -> int:
    moved = 0
    for key in keys:
        row = tx.get(ROTATIONS, *key)
        if row is not None and row.box and row.kek_generation != active:
            new = tx.rewrap(_pending_version(row))
            tx.put(
                ROTATIONS,
                replace(row, wrapped_dek=new.wrapped_dek, kek_generation=new.kek_generation),
            )
            moved += 1
    return moved


def _rewrap_entries(tx: VaultTx, *, keys: Sequence[Key], active: int) -> int:
    moved = 0
    for key in keys:
        row = tx.get(AUTH_ENTRIES, *key)
        if row is not None and row.box and row.kek_generation != active:
            new = tx.rewrap(_entry_version(row))
            tx.put(
                AUTH_ENTRIES,
                replace(row, wrapped_dek=new.wrapped_dek, kek_generation=new.kek_generation),
            )
            moved += 1
    return moved


def is_under_older_key(row: VersionRow, generation: int) -> bool:
    """Whether the data key of a version is not under the key of this generation."""
    return not row.destroyed and row.kek_generation != generation


def _over(change: Callable[[SecretTx], T]) -> Callable[[VaultTx], T]:
    return lambda tx: change(SecretTx(tx))


def _below(folder: str, after: str, limit: int) -> StoreQuery:
    return StoreQuery(
        prefix=("name", folder) if folder else None,
        after=(after,) if after else None,
        limit=limit,
    )
