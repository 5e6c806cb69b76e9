"""Entities and their aliases: one person, whichever way it comes in."""

from dataclasses import dataclass

from vault import operations
from vault.authn.entities import AliasChange, Entities, EntityChange, EntityView
from vault.errors import NotFoundError, ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    DeleteEntities,
    FindIdentity,
    ListIdentities,
    MergeEntities,
    Nothing,
)
from vault.model.records import EntityAliasRow, UserRow
from vault.model.results import AliasWritten, EntityWritten

MAX_LISTED = 10_000  # of one answer
BY_NAME = "name"  # the folder of paths that end in a name


@dataclass(frozen=True)
class EntityHandlers:
    """The handlers of `entity.*` and `alias.*`.

    An entity is at `sys/entities/ID`, or at `sys/entities/name/NAME`.
    """

    entities: Entities

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_ENTITIES,
                run=self.list_page,
                capability=Capability.LIST,
                audit_response=_count,
            ),
            Handler(
                operations.READ_ENTITY,
                run=self.read,
                capability=Capability.READ,
                audit_response=_audit_response,
            ),
            Handler(
                operations.FIND_ENTITY,
                run=self.find,
                capability=Capability.READ,
                audit_response=lambda found: None if found is None else _audit_response(found),
            ),
            Handler(
                operations.CREATE_ENTITY,
                run=self.create,
                capability=Capability.CREATE,
                mutates=True,
                audit_request=_change,
                audit_response=lambda written: _row(written.row),
            ),
            Handler(
                operations.WRITE_ENTITY,
                run=self.write,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=_change,
                audit_response=lambda written: _row(written.row),
            ),
            Handler(
                operations.DELETE_ENTITY,
                run=self.delete,
                capability=Capability.DELETE,
                mutates=True,
                audit_response=lambda row: {"id": row.id, "name": row.username},
            ),
            Handler(
                operations.DELETE_ENTITIES,
                run=self.delete_many,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=lambda payload: {"entity_ids": list(payload.ids)},
            ),
            Handler(
                operations.MERGE_ENTITIES,
                run=self.merge,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=lambda payload: {
                    "from_entity_ids": list(payload.taken),
                    "to_entity_id": payload.into,
                },
                audit_response=_row,
            ),
            Handler(
                operations.LIST_ALIASES,
                run=self.list_aliases,
                capability=Capability.LIST,
                audit_response=_count,
            ),
            Handler(
                operations.READ_ALIAS,
                run=self.read_alias,
                capability=Capability.READ,
                audit_response=_alias,
            ),
            Handler(
                operations.WRITE_ALIAS,
                run=self.write_alias,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=lambda change: {"name": change.name, "entity_id": change.entity_id},
                audit_response=lambda written: _alias(written.row),
            ),
            Handler(
                operations.DELETE_ALIAS,
                run=self.delete_alias,
                capability=Capability.DELETE,
                mutates=True,
            ),
        )

    async def list_page(self, call: Call[ListIdentities]) -> list[EntityView]:
        """Entities by id, with their aliases; without their groups."""
        found: list[EntityView] = []
        after, limit = call.payload.after, checked_limit(call.payload.limit)
        while len(found) < limit:
            wanted = min(limit - len(found), MAX_PAGE_SIZE)
            rows = await self.entities.list_page(after=after, limit=wanted)
            for row in rows:
                aliases = tuple(await self.entities.aliases_of(row))
                found.append(EntityView(row=row, aliases=aliases))
            if len(rows) < wanted:
                break
            after = rows[-1].id
        return found

    async def read(self, call: Call[Nothing]) -> EntityView:
        """One entity."""
        return await self._at(call)

    async def find(self, call: Call[FindIdentity]) -> EntityView | None:
        """One entity by one of its names, or None."""
        wanted = call.payload
        try:
            if wanted.alias_id:
                return await self.entities.find_by_alias_id(wanted.alias_id)
            if wanted.alias_name:
                return await self.entities.find_by_alias(wanted.alias_accessor, wanted.alias_name)
            if wanted.name:
                return await self.entities.find_by_name(wanted.name)
            return await self.entities.get(wanted.id)
        except NotFoundError:
            return None

    async def create(self, call: Call[EntityChange]) -> EntityWritten:
        """A new entity. Raises as `Entities.write`."""
        written = await self.entities.write(call.identity, call.payload, must_be_new=True)
        return EntityWritten(*written)

    async def write(self, call: Call[EntityChange]) -> EntityWritten:
        """Make or change an entity. Raises as `Entities.write`."""
        by_name, name = named_by(call)
        if by_name or not name:
            written = await self.entities.write(call.identity, call.payload, by_name=name)
        else:
            written = await self.entities.write(call.identity, call.payload, entity_id=name)
        return EntityWritten(*written)

    async def delete(self, call: Call[Nothing]) -> UserRow:
        """Delete an entity with aliases, keys and tokens. Raises as `Entities.delete`."""
        row = (await self._at(call)).row
        await self.entities.delete(call.identity, [row.id])
        return row

    async def delete_many(self, call: Call[DeleteEntities]) -> None:
        """Delete some entities; unknown ids are left out. Raises as `Entities.delete`."""
        await self.entities.delete(call.identity, call.payload.ids)

    async def merge(self, call: Call[MergeEntities]) -> UserRow:
        """Make some entities one with another. Raises as `Entities.merge`."""
        wanted = call.payload
        return await self.entities.merge(call.identity, wanted.into, wanted.taken, wanted.keep)

    async def list_aliases(self, call: Call[ListIdentities]) -> list[EntityAliasRow]:
        """Aliases by mount and name."""
        found: list[EntityAliasRow] = []
        after, limit = call.payload.after, checked_limit(call.payload.limit)
        while len(found) < limit:
            wanted = min(limit - len(found), MAX_PAGE_SIZE)
            rows = await self.entities.list_aliases(after=after, limit=wanted)
            found += rows
            if len(rows) < wanted:
                break
            after = rows[-1].alias_key
        return found

    async def read_alias(self, call: Call[Nothing]) -> EntityAliasRow:
        """One alias."""
        return await self.entities.get_alias(call.name)

    async def write_alias(self, call: Call[AliasChange]) -> AliasWritten:
        """Make or change an alias. Raises as `Entities.write_alias`."""
        _, alias_id = named_by(call)
        return AliasWritten(
            *await self.entities.write_alias(call.identity, call.payload, alias_id=alias_id)
        )

    async def delete_alias(self, call: Call[Nothing]) -> None:
        """Delete an alias. Raises as `Entities.delete_alias`."""
        await self.entities.delete_alias(call.identity, call.name)

    async def _at(self, call: Call[Nothing]) -> EntityView:
        by_name, name = named_by(call)
        return await (self.entities.find_by_name(name) if by_name else self.entities.get(name))


def named_by(call: Call[object]) -> tuple[bool, str]:
    """Whether a path ends in a name, and the name or id; empty where it is the folder itself."""
    parts = str(call.op.path).removesuffix("/").split("/")[2:]
    if parts[:1] == [BY_NAME]:
        return True, "/".join(parts[1:])
    return False, "/".join(parts)


def checked_limit(limit: int) -> int:
    """How many of a list are wanted. Raises `ValidationError`."""
    if not 1 <= limit <= MAX_LISTED:
        raise ValidationError("limit_invalid", f"limit must be 1 to {MAX_LISTED}", field="limit")
    return limit


def _count(rows: list[EntityView] | list[EntityAliasRow]) -> object:
    return {"count": len(rows)}


def _audit_response(view: EntityView) -> object:
    return _row(view.row)


def _row(row: UserRow) -> object:
    return {
        "id": row.id,
        "username": row.username,
        "policies": row.policies,
        "status": row.status,
    }


def _alias(row: EntityAliasRow) -> object:
    return {
        "id": row.id,
        "name": row.name,
        "entity_id": row.entity_id,
        "mount_accessor": row.mount_accessor,
    }


def _change(change: EntityChange) -> object:
    return {"name": change.name, "policies": change.policies, "disabled": change.disabled}
