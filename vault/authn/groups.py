"""Groups: sets of entities and of other groups that share policies.

A request must find all groups of its entity by a bounded number of lookups by key. So an entity has
the ids of the groups that it is itself in (`UserRow.member_of`), and a group those of all groups
above it (`GroupRow.ancestors`): nesting a group changes the groups below it, and no entity.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from vault.authn.aliases import AliasMount, AliasMounts, alias_key, checked_metadata
from vault.authn.credential_validity import RowLookup, user_policies
from vault.authn.methods.method import RowTx
from vault.authn.privilege import require_authority_over, require_authority_over_role
from vault.authn.roles import normalized_policy_names
from vault.authn.users import username_key
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.model.fold import fold_text
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.records import GroupAliasRow, GroupMemberRow, GroupRow, UserRow
from vault.store.store import Store
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import GROUP_ALIASES, GROUP_MEMBERS, GROUPS, USERS
from vault.store.transaction import StoreTx

MAX_GROUPS: Final = 64  # that an entity is itself in
MAX_ANCESTORS: Final = 15  # groups above a group
MAX_CHILDREN: Final = 256  # groups that are members of a group
MAX_NESTED: Final = 1_000  # groups that one change of nesting may touch
MAX_CHANGES: Final = 1_000  # members that one request may add and take away
MAX_LISTED: Final = 10_000  # entities of a group that are listed
INTERNAL: Final = "internal"
EXTERNAL: Final = "external"
NEVER_ROOT: Final = "policies cannot contain root"  # OpenBao's words


class GroupChange(Struct, frozen=True, kw_only=True):
    """What is written of a group; None stays as it is. `members`, `children`: all of them."""

    name: str | None = None
    kind: str | None = None
    policies: tuple[str, ...] | None = None
    metadata: dict[str, str] | None = None
    members: tuple[str, ...] | None = None
    children: tuple[str, ...] | None = None


class GroupView(Struct, frozen=True, kw_only=True):
    """A group with what other rows say of it."""

    row: GroupRow
    members: tuple[str, ...] = ()
    alias: GroupAliasRow | None = None


class Groups:
    """What handlers call. The caller is authorized for the path; the rules here go beyond it."""

    def __init__(self, store: Store, world: World, mounts: AliasMounts) -> None:
        self._store = store
        self._world = world
        self._mounts = mounts

    async def write(
        self,
        caller: Identity,
        change: GroupChange,
        *,
        group_id: str = "",
        by_name: str = "",
        must_be_new: bool = False,
    ) -> tuple[GroupRow, bool]:
        """Make or change a group; return it, and whether it is new.

        Without an id it is the one of the name, where there is one. Raises `ValidationError`,
        `NotFoundError` for an unknown id, `ConflictError` for a name that is taken, and
        `AuthorizationError` where somebody would be more privileged than the caller.
        """
        policies = _checked_policies(change.policies)
        if change.metadata is not None:
            checked_metadata(change.metadata)
        now, new_id = self._world.now(), self._world.new_id()

        def apply(tx: StoreTx) -> tuple[GroupRow, bool]:
            name = by_name or change.name or ""
            old = tx.get(GROUPS, group_id) if group_id else _find(tx, name) if name else None
            if group_id and old is None:
                raise NotFoundError("group_not_found", "no such group")
            if must_be_new and old is not None:
                raise ConflictError("group_exists", "group name is already in use")
            kind = change.kind or (old.kind if old else INTERNAL)
            _check_kind(old, kind, change)
            name = (change.name or (old.name if old else "")) or name or f"group_{new_id[:8]}"
            row = GroupRow(
                id=old.id if old else new_id,
                name=name,
                name_key=username_key(name, "name"),
                kind=kind,
                policies=policies if policies is not None else old.policies if old else [],
                metadata=_kept(change.metadata, old.metadata if old else {}),
                alias_key=old.alias_key if old else "",
                children=old.children if old else [],
                parents=old.parents if old else [],
                ancestors=old.ancestors if old else [],
                modify_index=old.modify_index + 1 if old else 1,
                created_at=old.created_at if old else now,
                updated_at=now,
            )
            taken = _find(tx, name)
            if taken is not None and taken.id != row.id:
                raise ConflictError("group_exists", "group name is already in use")
            before = closure_policies(tx.get, old) if old else set()
            require_authority_over_role(tx.get, caller, before, closure_policies(tx.get, row))
            tx.put(GROUPS, row)
            if change.children is not None:
                _set_children(tx, caller, row, change.children)
            if change.members is not None:
                _set_members(tx, caller, row, change.members)
            return _require(tx, row.id), old is None

        return await self._store.commit(apply)

    async def change_members(
        self, caller: Identity, group_id: str, add: Iterable[str], remove: Iterable[str]
    ) -> GroupRow:
        """Add entities to an internal group, and take others out. Raises as `write`."""
        added, removed, now = tuple(add), tuple(remove), self._world.now()

        def apply(tx: StoreTx) -> GroupRow:
            group = _require(tx, group_id)
            if group.kind != INTERNAL:
                raise _members_are_external()
            _change_members(tx, caller, group, added, removed)
            row = replace(group, modify_index=group.modify_index + 1, updated_at=now)
            tx.put(GROUPS, row)
            return row

        return await self._store.commit(apply)

    async def get(self, group_id: str) -> GroupView:
        """Return a group; raises `NotFoundError`."""
        return await self._view(await self._store.get(GROUPS, group_id))

    async def find_by_name(self, name: str) -> GroupView:
        """Return the group of a name in any case; raises `NotFoundError`."""
        query = StoreQuery(equals={"name_key": fold_text(name)}, limit=1)
        return await self._view(next(iter(await self._store.select(GROUPS, query)), None))

    async def find_by_alias(self, accessor: str, name: str) -> GroupView:
        """Return the group of an alias; raises `NotFoundError`."""
        mount = self._mounts.find_alias_mount(accessor)
        alias = None
        if mount is not None:
            alias = await self._store.get(GROUP_ALIASES, alias_key(mount, name))
        return await self._view(await self._store.get(GROUPS, alias.group_id) if alias else None)

    async def list_page(self, *, after: str = "", limit: int = MAX_LIMIT) -> list[GroupRow]:
        """Return up to `limit` groups, by id, beyond the id `after`."""
        query = StoreQuery(after=(after,) if after else None, limit=limit)
        return await self._store.select(GROUPS, query)

    async def count_members(self, group_id: str) -> int:
        """How many entities are in a group itself; stops at `MAX_LISTED`."""
        return len(await self._members(group_id))

    async def get_alias_of(self, row: GroupRow) -> GroupAliasRow | None:
        """The alias of an external group."""
        return await self._store.get(GROUP_ALIASES, row.alias_key) if row.alias_key else None

    async def delete(self, caller: Identity, group_id: str) -> None:
        """Delete a group with its alias; nobody has its policies from the next request on.

        Raises `NotFoundError` and `AuthorizationError`.
        """

        def first(tx: StoreTx) -> bool:
            group = _require(tx, group_id)
            require_authority_over_role(tx.get, caller, closure_policies(tx.get, group), None)
            _set_children(tx, caller, group, ())
            for parent in (tx.get(GROUPS, one) for one in group.parents):
                if parent is not None:
                    rest = [one for one in parent.children if one != group_id]
                    tx.put(GROUPS, replace(parent, children=rest))
            if group.alias_key:
                tx.delete(GROUP_ALIASES, group.alias_key)
            tx.delete(GROUPS, group_id)
            return _forget_members(tx, group_id)

        left = await self._store.commit(first)
        while left:  # of a group that is gone they count for nothing
            left = await self._store.commit(lambda tx: _forget_members(tx, group_id))

    async def write_alias(
        self,
        caller: Identity,
        *,
        alias_id: str = "",
        name: str = "",
        accessor: str = "",
        group_id: str = "",
    ) -> tuple[GroupAliasRow, bool]:
        """Give an external group the name of one at a source; return it, and whether it is new.

        A group has one alias: another one replaces it, and ends what the former source had said.
        Without a group a new one is made. Raises `ValidationError` and `AuthorizationError`.
        """
        now, new_id, new_group = self._world.now(), self._world.new_id(), self._world.new_id()

        def apply(tx: StoreTx) -> tuple[GroupAliasRow, bool]:
            old = _alias_by_id(tx, alias_id) if alias_id else None
            if alias_id and old is None:
                raise ValidationError("alias_unknown", "invalid group alias ID", field="id")
            mount = self._require_mount(accessor or (old.mount_accessor if old else ""))
            called = name or (old.name if old else "")
            key = alias_key(mount, called)
            group = self._group_of(tx, caller, group_id or (old.group_id if old else ""), new_group)
            there = tx.get(GROUP_ALIASES, key)
            if there is not None and (old is None or there.id != old.id):
                raise ValidationError(
                    "alias_exists", "combination of mount and group alias name is already in use"
                )
            require_authority_over_role(
                tx.get, caller, before := closure_policies(tx.get, group), before
            )
            if group.alias_key not in {"", key}:  # its members leave it
                require_authority_over_role(tx.get, caller, before, None)
            if old is not None:
                if old.group_id != group.id and (left := tx.get(GROUPS, old.group_id)) is not None:
                    held = closure_policies(tx.get, left)
                    require_authority_over_role(tx.get, caller, held, None)
                _drop_alias(tx, old)
                group = tx.get(GROUPS, group.id) or group
            if group.alias_key:
                tx.delete(GROUP_ALIASES, group.alias_key)
            row = GroupAliasRow(
                alias_key=key,
                id=old.id if old else new_id,
                group_id=group.id,
                mount_accessor=mount.accessor,
                mount_path=mount.path,
                mount_type=mount.type,
                name=called,
                created_at=old.created_at if old else now,
                updated_at=now,
            )
            tx.put(GROUP_ALIASES, row)
            index = group.modify_index + 1
            tx.put(GROUPS, replace(group, alias_key=key, modify_index=index, updated_at=now))
            return row, old is None

        return await self._store.commit(apply)

    async def get_alias(self, alias_id: str) -> GroupAliasRow:
        """Return the alias of an id; raises `NotFoundError`."""
        query = StoreQuery(equals={"id": alias_id}, limit=1)
        for row in await self._store.select(GROUP_ALIASES, query):
            return row
        raise NotFoundError("alias_not_found", "no such alias")

    async def list_aliases(self, *, after: str = "", limit: int = MAX_LIMIT) -> list[GroupAliasRow]:
        """Return up to `limit` aliases, by key, beyond the key `after`."""
        query = StoreQuery(after=(after,) if after else None, limit=limit)
        return await self._store.select(GROUP_ALIASES, query)

    async def delete_alias(self, caller: Identity, alias_id: str) -> None:
        """Delete an alias; nobody is in its group from the next request on. Raises as `delete`."""

        def apply(tx: StoreTx) -> None:
            row = _alias_by_id(tx, alias_id)
            if row is None:
                raise NotFoundError("alias_not_found", "no such alias")
            group = tx.get(GROUPS, row.group_id)
            if group is not None:
                held = closure_policies(tx.get, group)
                require_authority_over_role(tx.get, caller, held, None)
            _drop_alias(tx, row)

        await self._store.commit(apply)

    def _group_of(self, tx: StoreTx, caller: Identity, group_id: str, new_id: str) -> GroupRow:
        if group_id:
            group = tx.get(GROUPS, group_id)
            if group is None:
                raise ValidationError(
                    "group_unknown", "invalid group ID given in 'canonical_id'", field="group_id"
                )
            if group.kind != EXTERNAL:
                raise ValidationError(
                    "group_internal", "alias can't be set on an internal group", field="group_id"
                )
            return group
        now, name = self._world.now(), f"group_{new_id[:8]}"
        require_authority_over_role(tx.get, caller, (), ())
        return GroupRow(
            id=new_id, name=name, name_key=name, kind=EXTERNAL, created_at=now, updated_at=now
        )

    def _require_mount(self, accessor: str) -> AliasMount:
        mount = self._mounts.find_alias_mount(accessor)
        if mount is None:
            raise ValidationError(
                "accessor_unknown",
                "no auth mount has this accessor: look it up at the mount",
                field="mount_accessor",
            )
        return mount

    async def _view(self, row: GroupRow | None) -> GroupView:
        if row is None:
            raise NotFoundError("group_not_found", "no such group")
        return GroupView(
            row=row,
            members=tuple(await self._members(row.id)),
            alias=await self.get_alias_of(row),
        )

    async def _members(self, group_id: str) -> list[str]:
        found: list[str] = []
        after: tuple[str, str] | None = None
        while len(found) < MAX_LISTED:
            query = StoreQuery(equals={"group_id": group_id}, after=after, limit=MAX_LIMIT)
            rows = await self._store.select(GROUP_MEMBERS, query)
            found += [row.entity_id for row in rows]
            if len(rows) < MAX_LIMIT:
                break
            after = (group_id, rows[-1].entity_id)
        return found


def closure_policies(get: RowLookup, group: GroupRow) -> set[str]:
    """The policies that a member of this group has by it: its own, and those of all above."""
    found = set(group.policies)
    for group_id in group.ancestors:
        above = get(GROUPS, group_id)
        if above is not None:
            found.update(above.policies)
    return found


def set_memberships(tx: RowTx, entity: UserRow, wanted: dict[str, str]) -> UserRow:
    """Put the entity into these groups (with the key of the alias that did it), and no others.

    Raises `ValidationError` for more than `MAX_GROUPS`. Groups that are gone are left out.
    """
    kept = {one: key for one, key in wanted.items() if tx.get(GROUPS, one) is not None}
    if len(kept) > MAX_GROUPS:
        raise ValidationError(
            "groups_too_many",
            f"an entity can be in {MAX_GROUPS} groups itself: nest groups, or take it out of some",
        )
    before = entity.member_of or {}
    if kept == before:
        return entity
    for group_id in before.keys() - kept.keys():
        tx.delete(GROUP_MEMBERS, group_id, entity.id)
    for group_id in kept.keys() - before.keys():
        member = GroupMemberRow(group_id=group_id, entity_id=entity.id)
        tx.put(GROUP_MEMBERS, member)
    row = replace(entity, member_of=kept)
    tx.put(USERS, row)
    return row


def follow_source(tx: RowTx, entity: UserRow, mount: AliasMount, names: Iterable[str]) -> UserRow:
    """Have the external groups of this mount follow what the source says now: these, no others.

    A group of the source without an alias here counts for nothing. Raises as `set_memberships`.
    """
    keys = [alias_key(mount, name) for name in dict.fromkeys(names)]
    aliases = [tx.get(GROUP_ALIASES, key) for key in keys]
    others = without_mount(entity.member_of or {}, mount.accessor)
    said = {row.group_id: row.alias_key for row in aliases if row is not None}
    return set_memberships(tx, entity, {**others, **said})


def without_mount(member_of: dict[str, str], accessor: str) -> dict[str, str]:
    """The memberships that do not come from this mount."""
    start = f"{accessor}:"
    return {group: key for group, key in member_of.items() if not key.startswith(start)}


def forget_mount(tx: RowTx, accessor: str) -> bool:
    """Drop the group aliases of a mount that goes; say whether there may be more.

    From then on nobody is in a group by what the mount's source has said.
    """
    query = StoreQuery(equals={"mount_accessor": accessor}, limit=MAX_LIMIT)
    rows = tx.select(GROUP_ALIASES, query)
    for row in rows:
        _drop_alias(tx, row)
    return len(rows) == MAX_LIMIT


def _checked_policies(names: tuple[str, ...] | None) -> list[str] | None:
    """In their one spelling. Raises `ValidationError` for root, and for more than a group may have.

    All spellings of root are one name, or none (CVE-2025-5999, CVE-2025-64761).
    """
    if names is None:
        return None
    checked = normalized_policy_names(name.strip() for name in names)
    if ROOT_POLICY in checked:
        raise ValidationError("root_not_given", NEVER_ROOT, field="policies")
    return checked


def _check_kind(old: GroupRow | None, kind: str, change: GroupChange) -> None:
    if kind not in {INTERNAL, EXTERNAL}:
        raise ValidationError("group_kind_invalid", "a group is internal or external", field="type")
    if old is not None and old.kind != kind:
        raise ValidationError("group_kind_fixed", "group type cannot be changed", field="type")
    if kind == EXTERNAL and change.members:
        raise _members_are_external()
    if kind == EXTERNAL and change.children:
        raise ValidationError(
            "children_external",
            "member groups can't be set for external groups",
            field="member_group_ids",
        )


def _members_are_external() -> ValidationError:
    return ValidationError(
        "members_external",
        "member entities can't be set manually for external groups",
        field="member_entity_ids",
    )


def _kept(new: dict[str, str] | None, old: dict[str, str]) -> dict[str, str]:
    return old if new is None else new


def _find(tx: StoreTx, name: str) -> GroupRow | None:
    query = StoreQuery(equals={"name_key": fold_text(name)}, limit=1)
    return next(iter(tx.select(GROUPS, query)), None)


def _require(tx: StoreTx, group_id: str) -> GroupRow:
    row = tx.get(GROUPS, group_id)
    if row is None:
        raise NotFoundError("group_not_found", "no such group")
    return row


def _alias_by_id(tx: StoreTx, alias_id: str) -> GroupAliasRow | None:
    query = StoreQuery(equals={"id": alias_id}, limit=1)
    return next(iter(tx.select(GROUP_ALIASES, query)), None)


def _drop_alias(tx: RowTx, row: GroupAliasRow) -> None:
    tx.delete(GROUP_ALIASES, row.alias_key)
    group = tx.get(GROUPS, row.group_id)
    if group is not None and group.alias_key == row.alias_key:
        tx.put(GROUPS, replace(group, alias_key="", modify_index=group.modify_index + 1))


def _set_members(tx: StoreTx, caller: Identity, group: GroupRow, wanted: tuple[str, ...]) -> None:
    there = {row.entity_id for row in _rows(tx, group.id)}
    _change_members(tx, caller, group, set(wanted) - there, there - set(wanted))


def _change_members(
    tx: StoreTx, caller: Identity, group: GroupRow, add: Iterable[str], remove: Iterable[str]
) -> None:
    added, removed = sorted(set(add)), sorted(set(remove))
    if len(added) + len(removed) > MAX_CHANGES:
        raise ValidationError(
            "members_too_many",
            f"one request can change {MAX_CHANGES} members: use several",
            field="member_entity_ids",
        )
    tx.get_many(USERS, [(one,) for one in (*added, *removed)])
    for entity_id in added:
        entity = tx.get(USERS, entity_id)
        if entity is None:
            raise ValidationError(
                "entity_unknown", "a member is not the id of an entity", field="member_entity_ids"
            )
        _move(tx, caller, entity, {**(entity.member_of or {}), group.id: ""})
    for entity_id in removed:
        entity = tx.get(USERS, entity_id)
        if entity is None:
            tx.delete(GROUP_MEMBERS, group.id, entity_id)
            continue
        rest = {one: key for one, key in (entity.member_of or {}).items() if one != group.id}
        _move(tx, caller, entity, rest)


def _move(tx: StoreTx, caller: Identity, entity: UserRow, member_of: dict[str, str]) -> None:
    """Change the groups of an entity, which is and becomes no more privileged than the caller."""
    require_authority_over(tx.get, caller, user_policies(tx.get, entity))
    moved = set_memberships(tx, entity, member_of)
    require_authority_over(tx.get, caller, user_policies(tx.get, moved))


def _set_children(tx: StoreTx, caller: Identity, group: GroupRow, wanted: tuple[str, ...]) -> None:
    children, budget = sorted(set(wanted)), [MAX_NESTED]
    if len(children) > MAX_CHILDREN:
        raise ValidationError(
            "children_too_many",
            f"a group has at most {MAX_CHILDREN} member groups",
            field="member_group_ids",
        )
    tx.put(GROUPS, replace(group, children=children))
    for child_id in sorted(set(children).difference(group.children)):
        child = tx.get(GROUPS, child_id)
        if child is None:
            raise ValidationError(
                "group_unknown", "a member is not the id of a group", field="member_group_ids"
            )
        if child_id == group.id:
            raise ValidationError(
                "group_cycle",
                f'member group ID "{child_id}" is same as the ID of the group',
                field="member_group_ids",
            )
        if child_id in group.ancestors:
            raise ValidationError(
                "group_cycle",
                f'cyclic relationship detected for member group ID "{child_id}"',
                field="member_group_ids",
            )
        _nest(tx, caller, child, [*child.parents, group.id], budget)
    for child_id in sorted(set(group.children).difference(children)):
        child = tx.get(GROUPS, child_id)
        if child is not None:
            rest = [one for one in child.parents if one != group.id]
            _nest(tx, caller, child, rest, budget)


def _nest(
    tx: StoreTx, caller: Identity, child: GroupRow, parents: list[str], budget: list[int]
) -> None:
    before = closure_policies(tx.get, child)
    tx.put(GROUPS, replace(child, parents=parents, modify_index=child.modify_index + 1))
    _refresh_ancestors(tx, child.id, budget)
    after = closure_policies(tx.get, _require(tx, child.id))
    require_authority_over_role(tx.get, caller, before, after)


def _refresh_ancestors(tx: StoreTx, group_id: str, budget: list[int]) -> None:
    """Compute what is above a group, and above all groups below it. There is no cycle."""
    waiting = [group_id]
    while waiting:
        group = tx.get(GROUPS, waiting.pop())
        if group is None:
            continue
        budget[0] -= 1
        if budget[0] < 0:
            raise ValidationError(
                "nesting_too_large",
                f"a change of nesting can touch {MAX_NESTED} groups: use several changes",
                field="member_group_ids",
            )
        above = dict.fromkeys(group.parents)
        for parent_id in group.parents:
            parent = tx.get(GROUPS, parent_id)
            if parent is not None:
                above |= dict.fromkeys(parent.ancestors)
        if len(above) > MAX_ANCESTORS:
            raise ValidationError(
                "nesting_too_deep",
                f"a group can be in {MAX_ANCESTORS} others, directly or by nesting",
                field="member_group_ids",
            )
        if list(above) != group.ancestors:
            tx.put(GROUPS, replace(group, ancestors=list(above)))
            waiting += group.children


def _rows(tx: StoreTx, group_id: str) -> list[GroupMemberRow]:
    found: list[GroupMemberRow] = []
    after: tuple[str, str] | None = None
    while len(found) < MAX_LISTED:
        query = StoreQuery(equals={"group_id": group_id}, after=after, limit=MAX_LIMIT)
        rows = tx.select(GROUP_MEMBERS, query)
        found += rows
        if len(rows) < MAX_LIMIT:
            break
        after = (group_id, rows[-1].entity_id)
    return found


def _forget_members(tx: StoreTx, group_id: str) -> bool:
    """Take some members' mention of a group that is gone away; say whether there may be more."""
    rows = tx.select(GROUP_MEMBERS, StoreQuery(equals={"group_id": group_id}, limit=MAX_LIMIT))
    entities = tx.get_many(USERS, [(row.entity_id,) for row in rows])
    for row in rows:
        tx.delete(GROUP_MEMBERS, group_id, row.entity_id)
        entity = entities.get((row.entity_id,))
        if entity is not None:
            rest = {one: key for one, key in (entity.member_of or {}).items() if one != group_id}
            tx.put(USERS, replace(entity, member_of=rest))
    return len(rows) == MAX_LIMIT
