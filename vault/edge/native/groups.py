"""`/api/v1/groups`, `/api/v1/group-aliases`: policies that several entities share."""

from msgspec import Struct

from protocols.instant import rfc3339
from vault import operations
from vault.authn.groups import INTERNAL, GroupChange, GroupView
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.native.entities import IdentityPageQuery
from vault.edge.request import Request
from vault.model.payloads import ChangeMembers, ListIdentities, Nothing, WriteGroupAlias
from vault.model.records import GroupAliasRow, GroupRow

groups = Endpoints(
    "groups", "Sets of entities and of other groups that share policies; a source may fill them."
)


class GroupAliasBody(Struct, frozen=True, kw_only=True):
    """What an external group is called at an auth mount."""

    id: str
    group_id: str
    name: str
    mount_accessor: str
    mount_path: str
    mount_type: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, row: GroupAliasRow) -> "GroupAliasBody":
        """From the row."""
        return cls(
            id=row.id,
            group_id=row.group_id,
            name=row.name,
            mount_accessor=row.mount_accessor,
            mount_path=row.mount_path,
            mount_type=row.mount_type,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class GroupLine(Struct, frozen=True, kw_only=True):
    """A group in a list. `type` is internal, or external: then a source says who is in it."""

    id: str
    name: str
    type: str
    policies: list[str]
    metadata: dict[str, str]
    groups: list[str]
    parents: list[str]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, row: GroupRow) -> "GroupLine":
        """From the row."""
        return cls(
            id=row.id,
            name=row.name,
            type=row.kind,
            policies=row.policies,
            metadata=row.metadata,
            groups=row.children,
            parents=row.parents,
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class GroupBody(Struct, frozen=True, kw_only=True):
    """A group with its members: entities and groups, by id."""

    group: GroupLine
    members: list[str]
    alias: GroupAliasBody | None

    @classmethod
    def of(cls, view: GroupView) -> "GroupBody":
        """From the rows."""
        return cls(
            group=GroupLine.of(view.row),
            members=list(view.members),
            alias=None if view.alias is None else GroupAliasBody.of(view.alias),
        )


class GroupPage(Struct, frozen=True):
    """Some groups by id; an empty `cursor` marks the last page."""

    groups: list[GroupLine]
    cursor: str


class GroupAliasPage(Struct, frozen=True):
    """Some aliases by mount and name; an empty `cursor` marks the last page."""

    aliases: list[GroupAliasBody]
    cursor: str


class NewGroup(Struct, frozen=True, forbid_unknown_fields=True):
    """A new group. `members` are ids of entities, `groups` of other groups."""

    name: str
    type: str = INTERNAL
    policies: list[str] = []
    metadata: dict[str, str] = {}
    members: list[str] = []
    groups: list[str] = []


class GroupChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays; a list replaces all that was there."""

    name: str | None = None
    policies: list[str] | None = None
    metadata: dict[str, str] | None = None
    groups: list[str] | None = None


class MemberChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Entities that come in and such that leave, by id."""

    add: list[str] = []
    remove: list[str] = []


class GroupAliasWrite(Struct, frozen=True, forbid_unknown_fields=True):
    """The name of an external group at an auth mount."""

    name: str
    mount_accessor: str
    group_id: str


@groups.add("GET", "groups", "List groups", query=IdentityPageQuery, returns=GroupPage)
async def list_(dialect: Dialect, request: Request, *, query: IdentityPageQuery) -> GroupPage:
    payload = ListIdentities(after=query.cursor, limit=query.limit)
    found = await dialect.run_operation(
        request, operations.LIST_GROUPS, system_folder("groups"), payload
    )
    cursor = found[-1].row.id if len(found) == query.limit else ""
    return GroupPage(groups=[GroupLine.of(each.row) for each in found], cursor=cursor)


@groups.add(
    "POST",
    "groups",
    "Create a group",
    body=NewGroup,
    returns=GroupLine,
    status=201,
    errors=(409,),
)
async def create(dialect: Dialect, request: Request, *, body: NewGroup) -> GroupLine:
    change = GroupChange(
        name=body.name,
        kind=body.type,
        policies=tuple(body.policies),
        metadata=body.metadata,
        members=tuple(body.members),
        children=tuple(body.groups),
    )
    made = await dialect.run_operation(
        request, operations.CREATE_GROUP, system_folder("groups"), change
    )
    return GroupLine.of(made.row)


@groups.add("GET", "groups/{id}", "Read a group", returns=GroupBody)
async def read(dialect: Dialect, request: Request, group_id: str) -> GroupBody:
    place = system_path("groups", group_id)
    return GroupBody.of(
        await dialect.run_operation(request, operations.READ_GROUP, place, Nothing())
    )


@groups.add(
    "PATCH",
    "groups/{id}",
    "Change a group; it applies from its members' next request on",
    body=GroupChanges,
    returns=GroupLine,
    errors=(409,),
)
async def update(
    dialect: Dialect, request: Request, group_id: str, *, body: GroupChanges
) -> GroupLine:
    change = GroupChange(
        name=body.name,
        policies=None if body.policies is None else tuple(body.policies),
        metadata=body.metadata,
        children=None if body.groups is None else tuple(body.groups),
    )
    place = system_path("groups", group_id)
    written = await dialect.run_operation(request, operations.WRITE_GROUP, place, change)
    return GroupLine.of(written.row)


@groups.add(
    "POST",
    "groups/{id}/members",
    "Add entities to a group, and take others out",
    body=MemberChanges,
    returns=GroupLine,
)
async def change_members(
    dialect: Dialect, request: Request, group_id: str, *, body: MemberChanges
) -> GroupLine:
    payload = ChangeMembers(add=tuple(body.add), remove=tuple(body.remove))
    place = system_path("groups", group_id)
    return GroupLine.of(
        await dialect.run_operation(request, operations.CHANGE_MEMBERS, place, payload)
    )


@groups.add("DELETE", "groups/{id}", "Delete a group with its alias", status=204)
async def delete(dialect: Dialect, request: Request, group_id: str) -> None:
    place = system_path("groups", group_id)
    await dialect.run_operation(request, operations.DELETE_GROUP, place, Nothing())


@groups.add(
    "GET", "group-aliases", "List aliases of groups", query=IdentityPageQuery,
    returns=GroupAliasPage,
)  # fmt: skip
async def list_aliases(
    dialect: Dialect, request: Request, *, query: IdentityPageQuery
) -> GroupAliasPage:
    payload = ListIdentities(after=query.cursor, limit=query.limit)
    place = system_folder("group-aliases")
    rows = await dialect.run_operation(request, operations.LIST_GROUP_ALIASES, place, payload)
    cursor = rows[-1].alias_key if len(rows) == query.limit else ""
    return GroupAliasPage(aliases=[GroupAliasBody.of(row) for row in rows], cursor=cursor)


@groups.add(
    "POST",
    "group-aliases",
    "Name an external group as a source does",
    body=GroupAliasWrite,
    returns=GroupAliasBody,
    status=201,
)
async def write_alias(
    dialect: Dialect, request: Request, *, body: GroupAliasWrite
) -> GroupAliasBody:
    payload = WriteGroupAlias(name=body.name, accessor=body.mount_accessor, group_id=body.group_id)
    written = await dialect.run_operation(
        request, operations.WRITE_GROUP_ALIAS, system_folder("group-aliases"), payload
    )
    return GroupAliasBody.of(written.row)


@groups.add("DELETE", "group-aliases/{id}", "Delete the alias of a group", status=204)
async def delete_alias(dialect: Dialect, request: Request, alias_id: str) -> None:
    place = system_path("group-aliases", alias_id)
    await dialect.run_operation(request, operations.DELETE_GROUP_ALIAS, place, Nothing())
