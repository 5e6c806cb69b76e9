"""`/api/v1/entities`, `/api/v1/aliases`: who somebody is, whichever way the login was."""

from typing import Annotated

from msgspec import Meta, Struct

from protocols.instant import rfc3339, rfc3339_or_none
from vault import operations
from vault.authn.entities import AliasChange, EntityChange, EntityView
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    FindIdentity,
    ListIdentities,
    MergeEntities,
    Nothing,
)
from vault.model.records import EntityAliasRow, RecordStatus, UserRow

entities = Endpoints(
    "entities", "Users with their names at auth mounts (aliases), metadata and groups."
)


class AliasBody(Struct, frozen=True, kw_only=True):
    """A name of an entity at an auth mount. `metadata` and `roles` are what the source says."""

    id: str
    entity_id: str
    name: str
    mount_accessor: str
    mount_path: str
    mount_type: str
    metadata: dict[str, str]
    custom_metadata: dict[str, str]
    roles: list[str]
    verified_at: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, row: EntityAliasRow) -> "AliasBody":
        """From the row."""
        return cls(
            id=row.id,
            entity_id=row.entity_id,
            name=row.name,
            mount_accessor=row.mount_accessor,
            mount_path=row.mount_path,
            mount_type=row.mount_type,
            metadata=row.metadata,
            custom_metadata=row.custom_metadata,
            roles=row.roles,
            verified_at=rfc3339_or_none(row.verified_at),
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
        )


class EntityBody(Struct, frozen=True, kw_only=True):
    """An entity. `groups` are those that it is itself in, `inherited_groups` those above them."""

    id: str
    name: str
    policies: list[str]
    roles: list[str]
    metadata: dict[str, str]
    disabled: bool
    aliases: list[AliasBody]
    groups: list[str]
    inherited_groups: list[str]
    merged_from: list[str]
    created_at: str
    updated_at: str
    last_login: str | None

    @classmethod
    def of(cls, view: EntityView) -> "EntityBody":
        """From the rows."""
        row = view.row
        return cls(
            id=row.id,
            name=row.username,
            policies=row.policies,
            roles=row.roles,
            metadata=row.metadata or {},
            disabled=row.status != RecordStatus.ACTIVE,
            aliases=[AliasBody.of(alias) for alias in view.aliases],
            groups=[group.name for group in view.groups],
            inherited_groups=[group.name for group in view.inherited],
            merged_from=row.merged_from or [],
            created_at=rfc3339(row.created_at),
            updated_at=rfc3339(row.updated_at),
            last_login=rfc3339_or_none(row.last_login),
        )


class EntityLine(Struct, frozen=True, kw_only=True):
    """An entity in a list."""

    id: str
    name: str
    policies: list[str]
    disabled: bool
    aliases: list[AliasBody]

    @classmethod
    def of(cls, view: EntityView) -> "EntityLine":
        """From the rows."""
        return cls(
            id=view.row.id,
            name=view.row.username,
            policies=view.row.policies,
            disabled=view.row.status != RecordStatus.ACTIVE,
            aliases=[AliasBody.of(alias) for alias in view.aliases],
        )


class EntityPage(Struct, frozen=True):
    """Some entities by id; an empty `cursor` marks the last page."""

    entities: list[EntityLine]
    cursor: str


class AliasPage(Struct, frozen=True):
    """Some aliases by mount and name; an empty `cursor` marks the last page."""

    aliases: list[AliasBody]
    cursor: str


class EntityQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page, or the one entity of a name in any spelling."""

    name: str = ""
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class IdentityPageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page."""

    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class NewEntity(Struct, frozen=True, forbid_unknown_fields=True):
    """A new entity."""

    name: str
    policies: list[str] = []
    metadata: dict[str, str] = {}
    disabled: bool = False


class EntityChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays; `metadata` replaces all of it."""

    name: str | None = None
    policies: list[str] | None = None
    metadata: dict[str, str] | None = None
    disabled: bool | None = None


class EntityMerge(Struct, frozen=True, forbid_unknown_fields=True):
    """Entities that become one with `id`; of two aliases of one mount those of `keep` stay."""

    id: str
    merge: list[str]
    keep: list[str] = []


class AliasWrite(Struct, frozen=True, forbid_unknown_fields=True):
    """An alias. Without an entity a new one is made."""

    name: str
    mount_accessor: str
    entity_id: str = ""
    custom_metadata: dict[str, str] | None = None


@entities.add(
    "GET", "entities", "List entities, or find one by name", query=EntityQuery, returns=EntityPage
)
async def list_(dialect: Dialect, request: Request, *, query: EntityQuery) -> EntityPage:
    place = system_folder("entities")
    if query.name:
        one = await dialect.run_operation(
            request, operations.FIND_ENTITY, place, FindIdentity(name=query.name)
        )
        return EntityPage(entities=[] if one is None else [EntityLine.of(one)], cursor="")
    payload = ListIdentities(after=query.cursor, limit=query.limit)
    found = await dialect.run_operation(request, operations.LIST_ENTITIES, place, payload)
    cursor = found[-1].row.id if len(found) == query.limit else ""
    return EntityPage(entities=[EntityLine.of(view) for view in found], cursor=cursor)


@entities.add(
    "POST",
    "entities",
    "Create an entity",
    body=NewEntity,
    returns=EntityBody,
    status=201,
    errors=(409,),
)
async def create(dialect: Dialect, request: Request, *, body: NewEntity) -> EntityBody:
    change = EntityChange(
        name=body.name,
        policies=tuple(body.policies),
        metadata=body.metadata,
        disabled=body.disabled,
    )
    made = await dialect.run_operation(
        request, operations.CREATE_ENTITY, system_folder("entities"), change
    )
    return EntityBody.of(EntityView(row=made.row))


@entities.add(
    "POST",
    "entities-merge",
    "Make entities one with another; tokens and keys of those that go end",
    body=EntityMerge,
    returns=EntityLine,
    errors=(404,),
)
async def merge(dialect: Dialect, request: Request, *, body: EntityMerge) -> EntityLine:
    payload = MergeEntities(into=body.id, taken=tuple(body.merge), keep=tuple(body.keep))
    place = system_path("entities", "merge")
    row: UserRow = await dialect.run_operation(request, operations.MERGE_ENTITIES, place, payload)
    return EntityLine.of(EntityView(row=row))


@entities.add("GET", "entities/{id}", "Read an entity", returns=EntityBody)
async def read(dialect: Dialect, request: Request, entity_id: str) -> EntityBody:
    place = system_path("entities", entity_id)
    return EntityBody.of(
        await dialect.run_operation(request, operations.READ_ENTITY, place, Nothing())
    )


@entities.add(
    "PATCH",
    "entities/{id}",
    "Change an entity; one that is disabled is refused from its next request on",
    body=EntityChanges,
    returns=EntityLine,
    errors=(409,),
)
async def update(
    dialect: Dialect, request: Request, entity_id: str, *, body: EntityChanges
) -> EntityLine:
    change = EntityChange(
        name=body.name,
        policies=None if body.policies is None else tuple(body.policies),
        metadata=body.metadata,
        disabled=body.disabled,
    )
    place = system_path("entities", entity_id)
    written = await dialect.run_operation(request, operations.WRITE_ENTITY, place, change)
    return EntityLine.of(EntityView(row=written.row))


@entities.add(
    "DELETE", "entities/{id}", "Delete an entity with its aliases, keys and tokens", status=204
)
async def delete(dialect: Dialect, request: Request, entity_id: str) -> None:
    place = system_path("entities", entity_id)
    await dialect.run_operation(request, operations.DELETE_ENTITY, place, Nothing())


@entities.add("GET", "aliases", "List aliases", query=IdentityPageQuery, returns=AliasPage)
async def list_aliases(
    dialect: Dialect, request: Request, *, query: IdentityPageQuery
) -> AliasPage:
    payload = ListIdentities(after=query.cursor, limit=query.limit)
    rows = await dialect.run_operation(
        request, operations.LIST_ALIASES, system_folder("aliases"), payload
    )
    cursor = rows[-1].alias_key if len(rows) == query.limit else ""
    return AliasPage(aliases=[AliasBody.of(row) for row in rows], cursor=cursor)


@entities.add(
    "POST",
    "aliases",
    "Create an alias, or change the one of this mount and name",
    body=AliasWrite,
    returns=AliasBody,
)
async def write_alias(dialect: Dialect, request: Request, *, body: AliasWrite) -> AliasBody:
    change = AliasChange(
        name=body.name,
        accessor=body.mount_accessor,
        entity_id=body.entity_id,
        custom_metadata=body.custom_metadata,
    )
    written = await dialect.run_operation(
        request, operations.WRITE_ALIAS, system_folder("aliases"), change
    )
    return AliasBody.of(written.row)


@entities.add("GET", "aliases/{id}", "Read an alias", returns=AliasBody)
async def read_alias(dialect: Dialect, request: Request, alias_id: str) -> AliasBody:
    place = system_path("aliases", alias_id)
    return AliasBody.of(
        await dialect.run_operation(request, operations.READ_ALIAS, place, Nothing())
    )


@entities.add("DELETE", "aliases/{id}", "Delete an alias", status=204)
async def delete_alias(dialect: Dialect, request: Request, alias_id: str) -> None:
    place = system_path("aliases", alias_id)
    await dialect.run_operation(request, operations.DELETE_ALIAS, place, Nothing())
