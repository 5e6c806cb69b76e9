"""Groups and their aliases: policies that several entities share."""

from dataclasses import dataclass

from vault import operations
from vault.authn.groups import GroupChange, Groups, GroupView
from vault.errors import NotFoundError
from vault.handlers.entities import checked_limit, named_by
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import (
    MAX_PAGE_SIZE,
    ChangeMembers,
    FindIdentity,
    ListIdentities,
    Nothing,
    WriteGroupAlias,
)
from vault.model.records import GroupAliasRow, GroupRow
from vault.model.results import GroupAliasWritten, GroupWritten, ListedGroup


@dataclass(frozen=True)
class GroupHandlers:
    """The handlers of `group.*` and `group_alias.*`.

    A group is at `sys/groups/ID`, or at `sys/groups/name/NAME`.
    """

    groups: Groups

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_GROUPS,
                run=self.list_page,
                capability=Capability.LIST,
                audit_response=lambda rows: {"count": len(rows)},
            ),
            Handler(
                operations.READ_GROUP,
                run=self.read,
                capability=Capability.READ,
                audit_response=_audit_response,
            ),
            Handler(
                operations.FIND_GROUP,
                run=self.find,
                capability=Capability.READ,
                audit_response=lambda found: None if found is None else _audit_response(found),
            ),
            Handler(
                operations.CREATE_GROUP,
                run=self.create,
                capability=Capability.CREATE,
                mutates=True,
                audit_request=_change,
                audit_response=lambda written: _row(written.row),
            ),
            Handler(
                operations.WRITE_GROUP,
                run=self.write,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=_change,
                audit_response=lambda written: _row(written.row),
            ),
            Handler(
                operations.CHANGE_MEMBERS,
                run=self.change_members,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=lambda wanted: {
                    "add": list(wanted.add),
                    "remove": list(wanted.remove),
                },
                audit_response=_row,
            ),
            Handler(
                operations.DELETE_GROUP,
                run=self.delete,
                capability=Capability.DELETE,
                mutates=True,
                audit_response=_row,
            ),
            Handler(
                operations.LIST_GROUP_ALIASES,
                run=self.list_aliases,
                capability=Capability.LIST,
                audit_response=lambda rows: {"count": len(rows)},
            ),
            Handler(
                operations.READ_GROUP_ALIAS,
                run=self.read_alias,
                capability=Capability.READ,
                audit_response=_alias,
            ),
            Handler(
                operations.WRITE_GROUP_ALIAS,
                run=self.write_alias,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=lambda wanted: {"name": wanted.name, "group_id": wanted.group_id},
                audit_response=lambda written: _alias(written.row),
            ),
            Handler(
                operations.DELETE_GROUP_ALIAS,
                run=self.delete_alias,
                capability=Capability.DELETE,
                mutates=True,
            ),
        )

    async def list_page(self, call: Call[ListIdentities]) -> list[ListedGroup]:
        """Groups by id, with how many entities each has."""
        found: list[ListedGroup] = []
        after, limit = call.payload.after, checked_limit(call.payload.limit)
        while len(found) < limit:
            wanted = min(limit - len(found), MAX_PAGE_SIZE)
            rows = await self.groups.list_page(after=after, limit=wanted)
            for row in rows:
                members = await self.groups.count_members(row.id)
                alias = await self.groups.get_alias_of(row)
                found.append(ListedGroup(row, members, alias))
            if len(rows) < wanted:
                break
            after = rows[-1].id
        return found

    async def read(self, call: Call[Nothing]) -> GroupView:
        """One group."""
        return await self._at(call)

    async def find(self, call: Call[FindIdentity]) -> GroupView | None:
        """One group by one of its names, or None."""
        wanted = call.payload
        try:
            if wanted.alias_id:
                alias = await self.groups.get_alias(wanted.alias_id)
                return await self.groups.get(alias.group_id)
            if wanted.alias_name:
                return await self.groups.find_by_alias(wanted.alias_accessor, wanted.alias_name)
            if wanted.name:
                return await self.groups.find_by_name(wanted.name)
            return await self.groups.get(wanted.id)
        except NotFoundError:
            return None

    async def create(self, call: Call[GroupChange]) -> GroupWritten:
        """A new group. Raises as `Groups.write`."""
        written = await self.groups.write(call.identity, call.payload, must_be_new=True)
        return GroupWritten(*written)

    async def write(self, call: Call[GroupChange]) -> GroupWritten:
        """Make or change a group. Raises as `Groups.write`."""
        by_name, name = named_by(call)
        if by_name or not name:
            written = await self.groups.write(call.identity, call.payload, by_name=name)
        else:
            written = await self.groups.write(call.identity, call.payload, group_id=name)
        return GroupWritten(*written)

    async def change_members(self, call: Call[ChangeMembers]) -> GroupRow:
        """Add and remove entities. Raises as `Groups.change_members`."""
        wanted = call.payload
        return await self.groups.change_members(call.identity, call.name, wanted.add, wanted.remove)

    async def delete(self, call: Call[Nothing]) -> GroupRow:
        """Delete a group. Raises as `Groups.delete`."""
        row = (await self._at(call)).row
        await self.groups.delete(call.identity, row.id)
        return row

    async def list_aliases(self, call: Call[ListIdentities]) -> list[GroupAliasRow]:
        """Aliases by mount and name."""
        found: list[GroupAliasRow] = []
        after, limit = call.payload.after, checked_limit(call.payload.limit)
        while len(found) < limit:
            wanted = min(limit - len(found), MAX_PAGE_SIZE)
            rows = await self.groups.list_aliases(after=after, limit=wanted)
            found += rows
            if len(rows) < wanted:
                break
            after = rows[-1].alias_key
        return found

    async def read_alias(self, call: Call[Nothing]) -> GroupAliasRow:
        """One alias."""
        return await self.groups.get_alias(call.name)

    async def write_alias(self, call: Call[WriteGroupAlias]) -> GroupAliasWritten:
        """Make or change an alias. Raises as `Groups.write_alias`."""
        _, alias_id = named_by(call)
        wanted = call.payload
        written = await self.groups.write_alias(
            call.identity,
            alias_id=alias_id,
            name=wanted.name,
            accessor=wanted.accessor,
            group_id=wanted.group_id,
        )
        return GroupAliasWritten(*written)

    async def delete_alias(self, call: Call[Nothing]) -> None:
        """Delete an alias. Raises as `Groups.delete_alias`."""
        await self.groups.delete_alias(call.identity, call.name)

    async def _at(self, call: Call[Nothing]) -> GroupView:
        by_name, name = named_by(call)
        return await (self.groups.find_by_name(name) if by_name else self.groups.get(name))


def _audit_response(view: GroupView) -> object:
    return _row(view.row)


def _row(row: GroupRow) -> object:
    return {"id": row.id, "name": row.name, "policies": row.policies, "kind": row.kind}


def _alias(row: GroupAliasRow) -> object:
    return {
        "id": row.id,
        "name": row.name,
        "group_id": row.group_id,
        "mount_accessor": row.mount_accessor,
    }


def _change(change: GroupChange) -> object:
    return {
        "name": change.name,
        "policies": change.policies,
        "member_entity_ids": change.members,
        "member_group_ids": change.children,
    }
