"""`/api/v1/users`: the people and machines that keys and tokens belong to."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from protocols.instant import rfc3339, rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.path import ResourcePath
from vault.model.payloads import MAX_PAGE_SIZE, CreateUser, ListUsers, Nothing, UpdateUser
from vault.model.records import UserRow
from vault.model.results import UserWritten

users = Endpoints("users", "People and machines, with the policies and roles they have.")


class UserBody(Struct, frozen=True, kw_only=True):
    """A user. `policies` are his own; those of his roles come on top."""

    id: str
    username: str
    email: str
    roles: list[str]
    policies: list[str]
    status: str
    created_at: str
    updated_at: str
    last_login: str | None
    warnings: list[str] | UnsetType = UNSET

    @classmethod
    def written(cls, written: UserWritten) -> "UserBody":
        """The answer to a change, with its warnings."""
        return replace(cls.of(written.user), warnings=list(written.warnings))

    @classmethod
    def of(cls, row: UserRow) -> "UserBody":
        """From the row."""
        return cls(
            id=row.id,
            username=row.username,
            email=row.email,
            roles=row.roles,
            policies=row.policies,
            status=row.status,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
            last_login=rfc3339_or_none(row.last_login),
        )


class UserPage(Struct, frozen=True):
    """Some users by id; an empty `cursor` marks the last page."""

    users: list[UserBody]
    cursor: str


class UserQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page, or the one user of a name in any spelling."""

    username: str = ""
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class NewUser(Struct, frozen=True, forbid_unknown_fields=True):
    """A new user."""

    username: str
    email: str = ""
    roles: list[str] = []
    policies: list[str] = []


class UserChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. `status` is active or disabled."""

    email: str | None = None
    roles: list[str] | None = None
    policies: list[str] | None = None
    status: str | None = None


@users.add("GET", "users", "List users, or find one by name", query=UserQuery, returns=UserPage)
async def list_(dialect: Dialect, request: Request, *, query: UserQuery) -> UserPage:
    payload = ListUsers(username=query.username, after=query.cursor, limit=query.limit)
    found = await dialect.run_operation(
        request, operations.LIST_USERS, system_folder("users"), payload
    )
    full = len(found) == query.limit and not query.username
    return UserPage(users=[UserBody.of(row) for row in found], cursor=found[-1].id if full else "")


@users.add(
    "POST", "users", "Create a user", body=NewUser, returns=UserBody, status=201, errors=(409,)
)
async def create(dialect: Dialect, request: Request, *, body: NewUser) -> UserBody:
    payload = CreateUser(
        username=body.username,
        email=body.email,
        roles=tuple(body.roles),
        policies=tuple(body.policies),
    )
    made = await dialect.run_operation(
        request, operations.CREATE_USER, system_folder("users"), payload
    )
    return UserBody.written(made)


@users.add("GET", "users/{id}", "Read a user", returns=UserBody)
async def read(dialect: Dialect, request: Request, user_id: str) -> UserBody:
    return UserBody.of(
        await dialect.run_operation(request, operations.READ_USER, _at(user_id), Nothing())
    )


@users.add(
    "PATCH",
    "users/{id}",
    "Change a user; one who is disabled is refused from his next request on",
    body=UserChanges,
    returns=UserBody,
)
async def update(
    dialect: Dialect, request: Request, user_id: str, *, body: UserChanges
) -> UserBody:
    payload = UpdateUser(
        email=body.email,
        roles=None if body.roles is None else tuple(body.roles),
        policies=None if body.policies is None else tuple(body.policies),
        status=body.status,
    )
    return UserBody.written(
        await dialect.run_operation(request, operations.UPDATE_USER, _at(user_id), payload)
    )


@users.add("DELETE", "users/{id}", "Delete a user with his keys and tokens", status=204)
async def delete(dialect: Dialect, request: Request, user_id: str) -> None:
    await dialect.run_operation(request, operations.DELETE_USER, _at(user_id), Nothing())


def _at(user_id: str) -> ResourcePath:
    return system_path("users", user_id)
