"""`database-…`, `credentials`, `leases`: users at databases that live as long as a lease."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from protocols.instant import go_duration, parse_duration, rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints
from vault.edge.request import Request
from vault.errors import ValidationError
from vault.model.dynamic import CONNECTIONS, CREDENTIALS, LEASES_PATH, ROLES, LeaseState
from vault.model.path import ResourcePath
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    CreateCredentials,
    LeaseSelector,
    ListLeases,
    Nothing,
    RenewLease,
    RevokeLease,
    RevokeLeases,
    WriteConnection,
    WriteDatabaseRole,
)
from vault.model.records import ConnectionRow, DatabaseRoleRow, DynamicLeaseRow
from vault.model.results import OrphanedUsers

dynamic = Endpoints("dynamic", "Users at databases that live as long as a lease.")

Duration = str | Annotated[int, Meta(ge=0)]  # `30d`, or seconds


class NewConnection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection: `secret` names the secret that it logs in with, or `value` is that secret.

    With neither it keeps the one that it has. `verify`: log in before anything is stored.
    """

    kind: str
    secret: str = ""
    value: dict[str, str] | None = None
    allowed_roles: tuple[str, ...] = ("*",)
    verify: bool = True


class ConnectionBody(Struct, frozen=True, kw_only=True):
    """A connection, without what it logs in with."""

    path: str
    kind: str
    secret: str
    allowed_roles: list[str]
    created_at: str | None
    updated_at: str | None
    updated_by: str

    @classmethod
    def of(cls, row: ConnectionRow) -> "ConnectionBody":
        """From the row."""
        return cls(
            path=_short(row.path, CONNECTIONS),
            kind=row.kind,
            secret=row.secret,
            allowed_roles=row.allowed_roles,
            created_at=rfc3339_or_none(row.created_at),
            updated_at=rfc3339_or_none(row.updated_at),
            updated_by=row.updated_by,
        )


class ConnectionList(Struct, frozen=True):
    """The connections of a mount."""

    connections: list[ConnectionBody]


class NewDatabaseRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How users are created: `connection` is a name in the mount, `config` is of its kind."""

    connection: str
    config: dict[str, Any]
    default_ttl: Duration = "1h"
    max_ttl: Duration = "24h"


class DatabaseRoleBody(Struct, frozen=True, kw_only=True):
    """A role."""

    path: str
    connection: str
    config: dict[str, Any]
    default_ttl: str
    max_ttl: str
    created_at: str | None
    updated_at: str | None
    updated_by: str

    @classmethod
    def of(cls, row: DatabaseRoleRow) -> "DatabaseRoleBody":
        """From the row."""
        return cls(
            path=_short(row.path, ROLES),
            connection=row.connection.rpartition("/")[2],
            config=row.config,
            default_ttl=go_duration(row.default_ttl),
            max_ttl=go_duration(row.max_ttl),
            created_at=rfc3339_or_none(row.created_at),
            updated_at=rfc3339_or_none(row.updated_at),
            updated_by=row.updated_by,
        )


class DatabaseRoleList(Struct, frozen=True):
    """The roles of a mount."""

    roles: list[DatabaseRoleBody]


class OrphanBody(Struct, frozen=True):
    """Users that have a name of this vault's: those of no lease, and those that were dropped."""

    unknown: list[str]
    dropped: list[str]

    @classmethod
    def of(cls, found: OrphanedUsers) -> "OrphanBody":
        """From the result."""
        return cls(found.unknown, found.dropped)


class LeaseBody(Struct, frozen=True, kw_only=True):
    """A lease. `owner` is the credential that it belongs to, and `reason` why it has ended."""

    id: str
    state: str
    username: str
    connection: str
    owner: str
    owner_name: str
    issued_at: str | None
    renewed_at: str | None
    expires_at: str | None
    max_expires_at: str | None
    ended_at: str | None
    next_at: str | None
    attempt: int
    reason: str
    error_code: str
    error: str

    @classmethod
    def of(cls, row: DynamicLeaseRow) -> "LeaseBody":
        """From the row."""
        return cls(
            id=row.id,
            state=row.state,
            username=row.username,
            connection=_short(row.connection, CONNECTIONS),
            owner=row.owner,
            owner_name=row.owner_name,
            issued_at=rfc3339_or_none(row.issued_at),
            renewed_at=rfc3339_or_none(row.renewed_at),
            expires_at=rfc3339_or_none(row.expires_at),
            max_expires_at=rfc3339_or_none(row.max_expires_at),
            ended_at=rfc3339_or_none(row.ended_at),
            next_at=rfc3339_or_none(row.next_at),
            attempt=row.attempt,
            reason=row.reason,
            error_code=row.error_code,
            error=row.error,
        )


class LeaseList(Struct, frozen=True):
    """Leases; an empty `cursor` marks the last page."""

    leases: list[LeaseBody]
    cursor: str


class NewCredentials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long: the role's default, or less or more as far as it allows."""

    ttl: Duration | None = None


class CredentialsBody(Struct, frozen=True, kw_only=True):
    """What a client logs in with, which is shown once, and the lease."""

    value: dict[str, str]
    lease: LeaseBody


class RenewBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long from now: its own time to live, or another as far as its role allows."""

    increment: Duration | None = None


class RenewedBody(Struct, frozen=True, kw_only=True):
    """The lease as it is now."""

    lease: LeaseBody
    warnings: list[str]


class RevokeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sync`: wait for the user to be dropped; `force`: it is over if the user stays, too."""

    sync: bool = False
    force: bool = False


class RevokeManyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All leases below a folder, or one by its id. `after`: go on where the answer before ended."""

    prefix: str
    after: str = ""
    force: bool = False


class RevokedBody(Struct, frozen=True):
    """How many were ended. While `after` is not empty there may be more: ask again with it."""

    count: int
    after: str


class MountQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which mount."""

    mount: str


class LeaseQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which: whose ids begin so, in a state."""

    prefix: str = ""
    state: LeaseState | None = None
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


@dynamic.add(
    "GET",
    "database-connections",
    "List the connections of a mount",
    query=MountQuery,
    returns=ConnectionList,
    errors=(404,),
)
async def list_connections(
    dialect: Dialect, request: Request, *, query: MountQuery
) -> ConnectionList:
    path = _folder(query.mount, CONNECTIONS)
    rows = await dialect.run_operation(request, operations.LIST_CONNECTIONS, path, Nothing())
    return ConnectionList([ConnectionBody.of(row) for row in rows])


@dynamic.add("GET", "database-connections/{path}", "Read a connection", returns=ConnectionBody)
async def read_connection(dialect: Dialect, request: Request, path: str) -> ConnectionBody:
    place = _place(path, CONNECTIONS)
    return ConnectionBody.of(
        await dialect.run_operation(request, operations.READ_CONNECTION, place, Nothing())
    )


@dynamic.add(
    "PUT",
    "database-connections/{path}",
    "Make or replace a connection",
    body=NewConnection,
    returns=ConnectionBody,
    errors=(409,),
)
async def write_connection(
    dialect: Dialect, request: Request, path: str, *, body: NewConnection
) -> ConnectionBody:
    payload = WriteConnection(
        kind=body.kind,
        secret=body.secret,
        value=body.value,
        allowed_roles=body.allowed_roles,
        verify=body.verify,
    )
    place = _place(path, CONNECTIONS)
    return ConnectionBody.of(
        await dialect.run_operation(request, operations.WRITE_CONNECTION, place, payload)
    )


@dynamic.add(
    "DELETE", "database-connections/{path}", "Delete a connection", status=204, errors=(409,)
)
async def delete_connection(dialect: Dialect, request: Request, path: str) -> None:
    place = _place(path, CONNECTIONS)
    await dialect.run_operation(request, operations.DELETE_CONNECTION, place, Nothing())


@dynamic.add(
    "GET",
    "database-roles",
    "List the roles of a mount",
    query=MountQuery,
    returns=DatabaseRoleList,
    errors=(404,),
)
async def list_roles(dialect: Dialect, request: Request, *, query: MountQuery) -> DatabaseRoleList:
    path = _folder(query.mount, ROLES)
    rows = await dialect.run_operation(request, operations.LIST_DATABASE_ROLES, path, Nothing())
    return DatabaseRoleList([DatabaseRoleBody.of(row) for row in rows])


@dynamic.add("GET", "database-roles/{path}", "Read a role", returns=DatabaseRoleBody)
async def read_role(dialect: Dialect, request: Request, path: str) -> DatabaseRoleBody:
    place = _place(path, ROLES)
    return DatabaseRoleBody.of(
        await dialect.run_operation(request, operations.READ_DATABASE_ROLE, place, Nothing())
    )


@dynamic.add(
    "PUT",
    "database-roles/{path}",
    "Make or replace a role",
    body=NewDatabaseRole,
    returns=DatabaseRoleBody,
    errors=(409,),
)
async def write_role(
    dialect: Dialect, request: Request, path: str, *, body: NewDatabaseRole
) -> DatabaseRoleBody:
    payload = WriteDatabaseRole(
        connection=body.connection,
        config=body.config,
        default_ttl=parse_duration(body.default_ttl, "default_ttl"),
        max_ttl=parse_duration(body.max_ttl, "max_ttl"),
    )
    place = _place(path, ROLES)
    return DatabaseRoleBody.of(
        await dialect.run_operation(request, operations.WRITE_DATABASE_ROLE, place, payload)
    )


@dynamic.add("DELETE", "database-roles/{path}", "Delete a role; its leases go on", status=204)
async def delete_role(dialect: Dialect, request: Request, path: str) -> None:
    place = _place(path, ROLES)
    await dialect.run_operation(request, operations.DELETE_DATABASE_ROLE, place, Nothing())


@dynamic.add(
    "GET",
    "database-orphans/{path}",
    "List users of this vault at a connection's server that belong to no lease",
    returns=OrphanBody,
)
async def list_orphans(dialect: Dialect, request: Request, path: str) -> OrphanBody:
    place = _place(path, CONNECTIONS)
    return OrphanBody.of(
        await dialect.run_operation(request, operations.LIST_ORPHANS, place, Nothing())
    )


@dynamic.add(
    "DELETE",
    "database-orphans/{path}",
    "Drop users of this vault at a connection's server that belong to no lease",
    returns=OrphanBody,
)
async def drop_orphans(dialect: Dialect, request: Request, path: str) -> OrphanBody:
    place = _place(path, CONNECTIONS)
    return OrphanBody.of(
        await dialect.run_operation(request, operations.DROP_ORPHANS, place, Nothing())
    )


@dynamic.add(
    "POST",
    "credentials/{path}",
    "Create a user by a role",
    body=NewCredentials,
    returns=CredentialsBody,
    status=201,
)
async def create_credentials(
    dialect: Dialect, request: Request, path: str, *, body: NewCredentials
) -> CredentialsBody:
    payload = CreateCredentials(ttl=0 if body.ttl is None else parse_duration(body.ttl, "ttl"))
    place = _place(path, CREDENTIALS)
    issued = await dialect.run_operation(request, operations.CREATE_CREDENTIALS, place, payload)
    return CredentialsBody(value=issued.value, lease=LeaseBody.of(issued.lease))


@dynamic.add(
    "GET", "leases", "List the leases that you may see", query=LeaseQuery, returns=LeaseList
)
async def list_leases(dialect: Dialect, request: Request, *, query: LeaseQuery) -> LeaseList:
    payload = ListLeases(
        prefix=query.prefix,
        state="" if query.state is None else query.state.value,
        cursor=query.cursor,
        limit=query.limit,
    )
    path = ResourcePath.parse(f"{LEASES_PATH}lookup")
    page = await dialect.run_operation(request, operations.LIST_LEASES, path, payload)
    return LeaseList([LeaseBody.of(row) for row in page.leases], page.cursor)


@dynamic.add("GET", "leases/{path}", "Read a lease", returns=LeaseBody)
async def read_lease(dialect: Dialect, request: Request, lease: str) -> LeaseBody:
    payload = LeaseSelector(lease=lease)
    return LeaseBody.of(
        await dialect.run_operation(request, operations.READ_LEASE, _of("lookup", lease), payload)
    )


@dynamic.add(
    "POST", "lease-renew/{path}", "Have a lease last longer", body=RenewBody, returns=RenewedBody
)
async def renew_lease(
    dialect: Dialect, request: Request, lease: str, *, body: RenewBody
) -> RenewedBody:
    increment = 0 if body.increment is None else parse_duration(body.increment, "increment")
    renewed = await dialect.run_operation(
        request,
        operations.RENEW_LEASE,
        _of("renew", lease),
        RenewLease(lease=lease, increment=increment),
    )
    return RenewedBody(lease=LeaseBody.of(renewed.lease), warnings=list(renewed.warnings))


@dynamic.add(
    "POST",
    "lease-revoke/{path}",
    "End a lease, and drop its user",
    body=RevokeBody,
    status=204,
)
async def revoke_lease(dialect: Dialect, request: Request, lease: str, *, body: RevokeBody) -> None:
    payload = RevokeLease(lease=lease, sync=body.sync, force=body.force)
    await dialect.run_operation(request, operations.REVOKE_LEASE, _of("revoke", lease), payload)


@dynamic.add(
    "POST",
    "leases-revoke",
    "End all leases below a prefix, and drop their users",
    body=RevokeManyBody,
    returns=RevokedBody,
)
async def revoke_leases(dialect: Dialect, request: Request, *, body: RevokeManyBody) -> RevokedBody:
    verb = "revoke-force" if body.force else "revoke-prefix"
    payload = RevokeLeases(prefix=body.prefix, after=body.after, force=body.force)
    revoked = await dialect.run_operation(
        request, operations.REVOKE_LEASES, _of(verb, body.prefix.removesuffix("/")), payload
    )
    return RevokedBody(revoked.count, revoked.after)


def _of(verb: str, lease: str) -> ResourcePath:
    return ResourcePath.parse(f"{LEASES_PATH}{verb}/{lease}")


def _folder(mount: str, folder: str) -> ResourcePath:
    return ResourcePath.parse_folder(f"{mount.removesuffix('/')}/{folder}")


def _place(path: str, folder: str) -> ResourcePath:
    """`MOUNT/NAME` as the path of the thing of that name. Raises `ValidationError`."""
    mount, _, name = path.rpartition("/")
    if not mount or not name:
        raise ValidationError("path_invalid", "give MOUNT/NAME, as database/app", field="path")
    return ResourcePath.parse(f"{mount}/{folder}{name}")


def _short(path: str, folder: str) -> str:
    mount, _, name = path.rpartition("/")
    return mount.removesuffix(folder.removesuffix("/")) + name
