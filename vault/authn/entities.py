"""Entities: one person or machine, whichever way it comes in. An entity is a user (`UserRow`).

An *alias* is what an entity is called at an auth mount. A login finds its entity by it, and makes
both where there is none. An entity has at most one alias of a mount (CVE-2021-43998).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from protocols.instant import SECOND
from vault.authn.aliases import (
    FOLDING_TYPES,
    MAX_ALIASES,
    MAX_METADATA,
    MAX_METADATA_KEY,
    MAX_METADATA_VALUE,
    AliasMount,
    AliasMounts,
    alias_key,
    alias_mount,
    checked_metadata,
)
from vault.authn.credential_validity import RowLookup, user_policies
from vault.authn.groups import (
    NEVER_ROOT,
    follow_source,
    set_memberships,
    without_mount,
)
from vault.authn.methods.method import LoginRefusedError, LoginResult, RowTx
from vault.authn.mfa.entries import take_factors
from vault.authn.privilege import require_authority_over, require_none_denies
from vault.authn.revocation import Revoker
from vault.authn.roles import MAX_POLICIES, normalized_policy_names
from vault.authn.users import (
    MAX_USERNAME,
    credentials_of,
    remove_user,
    require_authority_to_remove,
    username_key,
)
from vault.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    ValidationError,
)
from vault.model.fold import fold_text
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.records import AuthMountRow, EntityAliasRow, GroupRow, RecordStatus, UserRow
from vault.store.store import Store
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import AUTH_MOUNTS, ENTITY_ALIASES, GROUPS, USERS
from vault.store.transaction import StoreTx

MAX_MERGED: Final = 64  # entities that one merge takes in, and ids that an entity keeps of them
MAX_DELETED: Final = 100  # entities of one request
LOGIN_INTERVAL: Final = 3600 * SECOND  # how old `UserRow.last_login` may be at a login

VERIFIED_INTERVAL: Final = 60 * SECOND  # how old `EntityAliasRow.verified_at` may be at a login


class EntityChange(Struct, frozen=True, kw_only=True):
    """What is written of an entity; None stays as it is."""

    name: str | None = None
    policies: tuple[str, ...] | None = None
    metadata: dict[str, str] | None = None
    disabled: bool | None = None


class AliasChange(Struct, frozen=True, kw_only=True):
    """What is written of an alias; empty or None stays as it is."""

    name: str = ""
    accessor: str = ""
    entity_id: str = ""
    custom_metadata: dict[str, str] | None = None


class EntityView(Struct, frozen=True, kw_only=True):
    """An entity with what other rows say of it: its aliases, its own groups, and those above."""

    row: UserRow
    aliases: tuple[EntityAliasRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    inherited: tuple[GroupRow, ...] = ()


class MergeClash(Struct, frozen=True):
    """Two aliases of one mount that a merge would give one entity."""

    kept: EntityAliasRow
    other: EntityAliasRow


class Entities:
    """What handlers call. The caller is authorized for the path; the rules here go beyond it."""

    def __init__(self, store: Store, revoker: Revoker, world: World, mounts: AliasMounts) -> None:
        self._store = store
        self._revoker = revoker
        self._world = world
        self._mounts = mounts

    async def write(
        self,
        caller: Identity,
        change: EntityChange,
        *,
        entity_id: str = "",
        by_name: str = "",
        must_be_new: bool = False,
    ) -> tuple[UserRow, bool]:
        """Make or change an entity; return it, and whether it is new.

        Without an id it is the one of the name, where there is one. One that is disabled has lost
        all tokens for good. Raises `ValidationError` (root is given to nobody), `NotFoundError` for
        an unknown id, `ConflictError` for a name that is taken, and `AuthorizationError` where it
        is, or would become, more privileged than the caller.
        """
        policies = _checked_policies(change.policies)
        if change.metadata is not None:
            checked_metadata(change.metadata)
        now, new_id = self._world.now(), self._world.new_id()
        done: list[tuple[UserRow, bool]] = []

        def apply(tx: StoreTx) -> list[str]:
            name = by_name or change.name or ""
            old = tx.get(USERS, entity_id) if entity_id else _find(tx, name) if name else None
            if entity_id and old is None:
                raise NotFoundError("entity_not_found", "entity not found from id")
            if must_be_new and old is not None:
                raise ConflictError("entity_exists", "entity name is already in use")
            if old is not None:
                require_authority_over(tx.get, caller, user_policies(tx.get, old))
            before = old or new_entity(tx, new_id, name, now)
            row = _changed(tx, before, change, policies, now)
            require_authority_over(tx.get, caller, user_policies(tx.get, row))
            tx.put(USERS, row)
            done[:] = [(row, old is None)]
            return credentials_of(tx, row.id) if row.status == RecordStatus.DISABLED else []

        if change.disabled:
            await self._revoker.revoke_families(apply)
        else:
            await self._store.commit(apply)
        return done[0]

    async def get(self, entity_id: str) -> EntityView:
        """Return an entity; raises `NotFoundError`."""
        return await self._view(await self._store.get(USERS, entity_id))

    async def find_by_name(self, name: str) -> EntityView:
        """Return the entity of a name in any spelling; raises `NotFoundError`."""
        query = StoreQuery(equals={"name_key": fold_text(name)}, limit=1)
        return await self._view(next(iter(await self._store.select(USERS, query)), None))

    async def find_by_alias(self, accessor: str, name: str) -> EntityView:
        """Return the entity of a name at a mount; raises `NotFoundError`."""
        mount = self._mounts.find_alias_mount(accessor)
        alias = None
        if mount is not None:
            alias = await self._store.get(ENTITY_ALIASES, alias_key(mount, name))
        return await self._view(await self._store.get(USERS, alias.entity_id) if alias else None)

    async def find_by_alias_id(self, alias_id: str) -> EntityView:
        """Return the entity of an alias; raises `NotFoundError`."""
        return await self.get((await self.get_alias(alias_id)).entity_id)

    async def list_page(self, *, after: str = "", limit: int = MAX_LIMIT) -> list[UserRow]:
        """Return up to `limit` entities, by id, beyond the id `after`."""
        query = StoreQuery(after=(after,) if after else None, limit=limit)
        return await self._store.select(USERS, query)

    async def aliases_of(self, row: UserRow) -> list[EntityAliasRow]:
        """The aliases of an entity, the oldest first."""
        found = [await self._store.get(ENTITY_ALIASES, key) for key in row.aliases or ()]
        there = [one for one in found if one is not None]
        return sorted(there, key=lambda one: (one.created_at, one.id))

    async def delete(self, caller: Identity, ids: Iterable[str]) -> None:
        """Delete entities with their aliases, keys and tokens; unknown ids are left out.

        Raises `AuthorizationError`, and `ValidationError` for more than `MAX_DELETED`.
        """
        wanted = tuple(dict.fromkeys(ids))
        if len(wanted) > MAX_DELETED:
            raise ValidationError(
                "ids_too_many",
                f"one request can delete {MAX_DELETED} entities: use several",
                field="entity_ids",
            )

        def apply(tx: StoreTx) -> list[str]:
            ending: list[str] = []
            for entity_id in wanted:
                row = tx.get(USERS, entity_id)
                if row is not None:
                    require_authority_to_remove(tx.get, caller, row)
                    ending += remove_user(tx, row)
            return ending

        await self._revoker.revoke_families(apply)

    async def merge(
        self, caller: Identity, into: str, taken: Iterable[str], keep: Iterable[str] = ()
    ) -> UserRow:
        """Make entities (`taken`) one with another: aliases, policies, roles and groups go over.

        The others are gone, with their API keys, and their tokens end. Where two have an alias of
        one mount, `keep` must say which of the two stays (as OpenBao's
        `conflicting_alias_ids_to_keep`); the other one goes. Raises `ValidationError`, and
        `AuthorizationError` unless the caller has authority over each, before and after.
        """
        ids, kept, now = tuple(dict.fromkeys(taken)), frozenset(keep), self._world.now()
        if not 1 <= len(ids) <= MAX_MERGED:
            raise ValidationError(
                "merge_invalid",
                f"from_entity_ids must be 1 to {MAX_MERGED} ids",
                field="from_entity_ids",
            )
        if into in ids:
            raise ValidationError(
                "merge_invalid", "to_entity_id should not be present in from_entity_ids"
            )
        done: list[UserRow] = []

        def apply(tx: StoreTx) -> list[str]:
            target = tx.get(USERS, into)
            if target is None:
                raise ValidationError("merge_invalid", "entity id to merge to is invalid")
            require_authority_over(tx.get, caller, user_policies(tx.get, target))
            ending: list[str] = []
            for one in ids:
                other = tx.get(USERS, one)
                if other is None:
                    raise ValidationError("merge_invalid", "entity id to merge from is invalid")
                require_authority_over(tx.get, caller, user_policies(tx.get, other))
                target, ended = _merge(tx, caller, target, other, keep=kept, now=now)
                ending += ended
            require_authority_over(tx.get, caller, user_policies(tx.get, target))
            done[:] = [target]
            return ending

        await self._revoker.revoke_families(apply)
        return done[0]

    async def write_alias(
        self, caller: Identity, change: AliasChange, *, alias_id: str = ""
    ) -> tuple[EntityAliasRow, bool]:
        """Make or change an alias; return it, and whether anything is different now.

        Whoever is called so at the mount is the entity from then on, so it takes authority over the
        entity, and over the one that had the alias. Without an entity a new one is made. Raises
        `ValidationError` and `AuthorizationError`.
        """
        if change.custom_metadata is not None:
            checked_metadata(change.custom_metadata, "custom_metadata")
        now, new_id, new_entity_id = self._world.now(), self._world.new_id(), self._world.new_id()

        def apply(tx: StoreTx) -> tuple[EntityAliasRow, bool]:
            old = find_alias(tx, alias_id) if alias_id else None
            if alias_id and old is None:
                raise ValidationError("alias_unknown", "invalid alias ID provided", field="id")
            mount = self._require_mount(change.accessor or (old.mount_accessor if old else ""))
            name = change.name or (old.name if old else "")
            key = alias_key(mount, name)
            there = tx.get(ENTITY_ALIASES, key)
            if old is not None and there is not None and there.id != old.id:
                raise ValidationError(
                    "alias_exists", "an alias of this name exists at the mount", field="name"
                )
            old = old or there
            owner_id = change.entity_id or (old.entity_id if old else "")
            owner = tx.get(USERS, owner_id) if owner_id else None
            if change.entity_id and owner is None:
                raise ValidationError("entity_unknown", "invalid canonical ID", field="entity_id")
            owner = owner or new_entity(tx, new_entity_id, "", now)
            row = EntityAliasRow(
                alias_key=key,
                id=old.id if old else new_id,
                entity_id=owner.id,
                mount_accessor=mount.accessor,
                mount_path=mount.path,
                mount_type=mount.type,
                name=name,
                metadata=old.metadata if old else {},
                custom_metadata=(
                    change.custom_metadata
                    if change.custom_metadata is not None
                    else old.custom_metadata
                    if old
                    else {}
                ),
                roles=old.roles if old else [],
                merged_from=old.merged_from if old else [],
                verified_at=old.verified_at if old else 0,
                created_at=old.created_at if old else now,
                updated_at=now,
            )
            if old is not None and replace(row, updated_at=old.updated_at, mac=old.mac) == old:
                return old, False
            if old is not None and (old.alias_key, old.entity_id) != (key, owner.id):
                owner = self._take_from(tx, caller, old, owner, is_renamed=old.alias_key != key)
            require_authority_over(tx.get, caller, user_policies(tx.get, owner))
            add_alias(tx, owner, row)
            return row, True

        return await self._store.commit(apply)

    async def get_alias(self, alias_id: str) -> EntityAliasRow:
        """Return the alias of an id; raises `NotFoundError`."""
        query = StoreQuery(equals={"id": alias_id}, limit=1)
        for row in await self._store.select(ENTITY_ALIASES, query):
            return row
        raise NotFoundError("alias_not_found", "no such alias")

    async def list_aliases(
        self, *, after: str = "", limit: int = MAX_LIMIT
    ) -> list[EntityAliasRow]:
        """Return up to `limit` aliases, by key, beyond the key `after`."""
        query = StoreQuery(after=(after,) if after else None, limit=limit)
        return await self._store.select(ENTITY_ALIASES, query)

    async def delete_alias(self, caller: Identity, alias_id: str) -> None:
        """Delete an alias; its entity leaves the groups that the mount's source put it into.

        Raises `NotFoundError` and `AuthorizationError`.
        """

        def apply(tx: StoreTx) -> None:
            row = find_alias(tx, alias_id)
            if row is None:
                raise NotFoundError("alias_not_found", "no such alias")
            owner = tx.get(USERS, row.entity_id)
            if owner is not None:
                require_authority_over(tx.get, caller, user_policies(tx.get, owner))
                require_none_denies(tx.get, caller, user_policies(tx.get, owner))
                rest = drop_alias(tx, owner, row)
                require_authority_over(tx.get, caller, user_policies(tx.get, rest))
            else:
                tx.delete(ENTITY_ALIASES, row.alias_key)

        await self._store.commit(apply)

    def _take_from(
        self,
        tx: StoreTx,
        caller: Identity,
        old: EntityAliasRow,
        owner: UserRow,
        *,
        is_renamed: bool,
    ) -> UserRow:
        """Take the alias from whoever has it; return `owner` as it is then.

        `is_renamed`: whoever is called so at the source is somebody new from then on.
        """
        former = tx.get(USERS, old.entity_id)
        if former is None:
            tx.delete(ENTITY_ALIASES, old.alias_key)
            return owner
        require_authority_over(tx.get, caller, user_policies(tx.get, former))
        if is_renamed:
            require_none_denies(tx.get, caller, user_policies(tx.get, former))
        left = drop_alias(tx, former, old)
        require_authority_over(tx.get, caller, user_policies(tx.get, left))
        return left if former.id == owner.id else owner

    def _require_mount(self, accessor: str) -> AliasMount:
        mount = self._mounts.find_alias_mount(accessor)
        if mount is None:
            raise ValidationError(
                "accessor_unknown",
                "no auth mount has this accessor: look it up at the mount",
                field="mount_accessor",
            )
        return mount

    async def _view(self, row: UserRow | None) -> EntityView:
        if row is None:
            raise NotFoundError("entity_not_found", "no such entity")
        own: dict[str, GroupRow] = {}
        for group_id, key in (row.member_of or {}).items():
            group = await self._store.get(GROUPS, group_id)
            if group is not None and group.alias_key == key:
                own[group_id] = group
        above: dict[str, GroupRow] = {}
        for group_id in dict.fromkeys(one for group in own.values() for one in group.ancestors):
            group = None if group_id in own else await self._store.get(GROUPS, group_id)
            if group is not None:
                above[group_id] = group
        return EntityView(
            row=row,
            aliases=tuple(await self.aliases_of(row)),
            groups=tuple(own.values()),
            inherited=tuple(above.values()),
        )


class EntityDirectory:
    """Who somebody is here that a source has named: for the one operation of all logins."""

    def __init__(self, world: World) -> None:
        self._world = world

    def resolve(self, tx: RowTx, mount: AuthMountRow, result: LoginResult, now: int) -> str:  # noqa: ARG002  # the clock is ours
        """As `IdentityDirectory.resolve`."""
        try:
            entity = self.admit(
                tx,
                alias_mount(mount),
                result.alias,
                metadata=result.alias_metadata,
                groups=result.groups,
                roles=result.roles,
            )
        except AuthenticationError as error:
            raise LoginRefusedError(error.code, error.message, vault_status=403) from None
        return entity.id

    def admit(
        self,
        tx: RowTx,
        mount: AliasMount,
        name: str,
        *,
        metadata: Mapping[str, str],
        groups: Iterable[str] | None = (),
        roles: Iterable[str] = (),
    ) -> UserRow:
        """Return the entity of a name at a mount, made with its alias where there is none.

        Metadata, roles and external groups of the mount follow what the source says; groups stay as
        they are where it says nothing of them (None). Raises
        `AuthenticationError` (`entity_disabled`), and `ValidationError` for a name that cannot be
        an alias or an entity in too many groups.
        """
        now, key = self._world.now(), alias_key(mount, name)
        alias = tx.get(ENTITY_ALIASES, key)
        entity = tx.get(USERS, alias.entity_id) if alias is not None else None
        if entity is None:
            entity = new_entity(tx, self._world.new_id(), "", now)
        if entity.status != RecordStatus.ACTIVE:
            raise AuthenticationError("entity_disabled", "permission denied")
        said = _cut_metadata(metadata)
        mapped = sorted(dict.fromkeys(roles))[:MAX_POLICIES]
        if alias is None or alias.entity_id != entity.id:
            alias = EntityAliasRow(
                alias_key=key,
                id=self._world.new_id(),
                entity_id=entity.id,
                mount_accessor=mount.accessor,
                mount_path=mount.path,
                mount_type=mount.type,
                name=name,
                metadata=said,
                roles=mapped,
                verified_at=now,
                created_at=now,
                updated_at=now,
            )
            entity = add_alias(tx, replace(entity, last_login=now), alias)
        else:
            row = replace(alias, metadata=said, roles=mapped, mount_path=mount.path)
            if row != alias or now - alias.verified_at > VERIFIED_INTERVAL:
                tx.put(ENTITY_ALIASES, replace(row, verified_at=now, updated_at=now))
        if now - entity.last_login > LOGIN_INTERVAL:
            entity = replace(entity, last_login=now)
            tx.put(USERS, entity)
        return entity if groups is None else follow_source(tx, entity, mount, groups)


def new_entity(tx: RowTx, entity_id: str, name: str, now: int) -> UserRow:
    """An entity that is not stored yet; without a name it gets one that nobody has."""
    called, in_full = _generated_names(entity_id)
    if name or _find(tx, called) is not None:
        called = name or in_full
    return UserRow(
        id=entity_id,
        username=called,
        name_key=username_key(called, "name"),
        created_at=now,
        updated_at=now,
    )


def account_name(get: RowLookup, user: UserRow, mount_id: str = "") -> str:
    """What a person calls the account that is theirs: what they type to log in, if they do.

    Else the name that somebody gave the entity, or what the source calls it. `mount_id`: where they
    have logged in, whose alias goes first; empty: not known.
    """
    mount = get(AUTH_MOUNTS, mount_id) if mount_id else None
    aliases = [
        alias for key in user.aliases or () if (alias := get(ENTITY_ALIASES, key)) is not None
    ]
    if mount is not None:
        aliases.sort(key=lambda alias: alias.mount_accessor != mount.accessor)
    is_named = user.username not in _generated_names(user.id)
    for alias in aliases:
        if not is_named or alias.mount_type in FOLDING_TYPES:
            return alias.name
    return user.username


def _generated_names(entity_id: str) -> tuple[str, str]:
    """Of an entity that nobody has named: the one that is taken first, and in its place."""
    return f"entity_{entity_id[:8]}", f"entity_{entity_id}"[:MAX_USERNAME]


def find_alias(tx: StoreTx, alias_id: str) -> EntityAliasRow | None:
    """The alias of an id."""
    query = StoreQuery(equals={"id": alias_id}, limit=1)
    return next(iter(tx.select(ENTITY_ALIASES, query)), None)


def add_alias(tx: RowTx, entity: UserRow, row: EntityAliasRow) -> UserRow:
    """Store an alias with its entity. Raises `ValidationError` for a second one of its mount."""
    start = f"{row.mount_accessor}:"
    keys = [one for one in entity.aliases or () if one != row.alias_key]
    if any(one.startswith(start) for one in keys):
        raise ValidationError(
            "alias_exists", "Alias already exists for requested entity and mount accessor"
        )
    if len(keys) >= MAX_ALIASES:
        raise ValidationError("aliases_full", f"an entity has at most {MAX_ALIASES} aliases")
    tx.put(ENTITY_ALIASES, row)
    grown = replace(entity, aliases=sorted([*keys, row.alias_key]))
    tx.put(USERS, grown)
    return grown


def drop_alias(tx: StoreTx, entity: UserRow, row: EntityAliasRow) -> UserRow:
    """Remove an alias, and what its source has said of groups."""
    tx.delete(ENTITY_ALIASES, row.alias_key)
    keys = [one for one in entity.aliases or () if one != row.alias_key]
    left = replace(entity, aliases=keys)
    tx.put(USERS, left)
    return set_memberships(tx, left, without_mount(left.member_of or {}, row.mount_accessor))


def _merge(
    tx: StoreTx,
    caller: Identity,
    target: UserRow,
    other: UserRow,
    *,
    keep: frozenset[str],
    now: int,
) -> tuple[UserRow, list[str]]:
    """Have `target` take over from `other`, which goes; return it, and whose tokens end."""
    own = {row.mount_accessor: row for row in _aliases(tx, target)}
    moving: list[EntityAliasRow] = []
    clashes: list[MergeClash] = []
    other_groups = other.member_of or {}
    for row in _aliases(tx, other):
        there = own.get(row.mount_accessor)
        if there is None:
            moving.append(row)
        elif (there.id in keep) == (row.id in keep):
            clashes.append(MergeClash(there, row))
        elif row.id in keep:
            require_none_denies(tx.get, caller, user_policies(tx.get, target))
            target = drop_alias(tx, target, there)
            moving.append(row)
        else:
            require_none_denies(tx.get, caller, user_policies(tx.get, other))
            other_groups = without_mount(other_groups, row.mount_accessor)
    if clashes:
        raise _clash_error(target, other, clashes)
    groups = {**other_groups, **(target.member_of or {})}
    take_factors(tx, target.id, other.id)
    ending = remove_user(tx, other)
    policies = sorted({*target.policies, *other.policies} - {ROOT_POLICY}) + [
        ROOT_POLICY for _ in range(ROOT_POLICY in target.policies)
    ]
    roles = sorted({*target.roles, *other.roles})
    if max(len(policies), len(roles)) > MAX_POLICIES:
        raise ValidationError(
            "policies_invalid", f"the merged entity would have more than {MAX_POLICIES} policies"
        )
    merged = dict.fromkeys((*(target.merged_from or ()), *(other.merged_from or ()), other.id))
    target = replace(
        target,
        policies=sorted(policies),
        roles=roles,
        merged_from=list(merged)[-MAX_MERGED:],
        updated_at=now,
    )
    tx.put(USERS, target)
    for row in moving:
        gone = [*row.merged_from, other.id][-MAX_MERGED:]
        target = add_alias(
            tx, target, replace(row, entity_id=target.id, merged_from=gone, updated_at=now)
        )
    return set_memberships(tx, target, groups), ending


def _clash_error(target: UserRow, other: UserRow, clashes: list[MergeClash]) -> ValidationError:
    """OpenBao's words: tools read the ids out of them."""
    lines = "\n".join(
        f"\t* mountAccessor: {clash.kept.mount_accessor}, toEntity ID: {target.id}, "
        f"fromEntity ID: {other.id}, conflicting toEntity alias ID: {clash.kept.id}, "
        f"conflicting fromEntity alias ID: {clash.other.id}"
        for clash in clashes
    )
    return ValidationError(
        "merge_clash",
        f"{len(clashes) + 1} errors occurred:\n\t* toEntity and at least one fromEntity have "
        "aliases with the same mount accessor, repeat the merge request specifying exactly one "
        f"fromEntity, clashes: \n{lines}\n\n",
        field="conflicting_alias_ids_to_keep",
    )


def _aliases(tx: StoreTx, entity: UserRow) -> list[EntityAliasRow]:
    rows = [tx.get(ENTITY_ALIASES, key) for key in entity.aliases or ()]
    return [row for row in rows if row is not None]


def _changed(
    tx: StoreTx,
    row: UserRow,
    change: EntityChange,
    policies: list[str] | None,
    now: int,
) -> UserRow:
    changes: dict[str, object] = {"updated_at": now}
    if change.name and change.name != row.username:
        changes |= {"username": change.name, "name_key": username_key(change.name, "name")}
    if policies is not None:
        changes["policies"] = policies
    if change.metadata is not None:
        changes["metadata"] = change.metadata
    if change.disabled is not None:
        changes["status"] = RecordStatus.DISABLED if change.disabled else RecordStatus.ACTIVE
    new = replace(row, **changes)
    taken = _find(tx, new.username)
    if taken is not None and taken.id != row.id:
        raise ConflictError("entity_exists", "entity name is already in use")
    return new


def _find(tx: RowTx, name: str) -> UserRow | None:
    query = StoreQuery(equals={"name_key": fold_text(name)}, limit=1)
    return next(iter(tx.select(USERS, query)), None)


def _checked_policies(names: tuple[str, ...] | None) -> list[str] | None:
    """In their one spelling. Raises `ValidationError` for root in any spelling."""
    if names is None:
        return None
    checked = normalized_policy_names(name.strip() for name in names)
    if ROOT_POLICY in checked:
        raise ValidationError("root_not_given", NEVER_ROOT, field="policies")
    return checked


def _cut_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """What there is room for: a source that says more must not keep somebody out."""
    return {
        key: text
        for key, text in list(metadata.items())[:MAX_METADATA]
        if len(key) <= MAX_METADATA_KEY and len(text) <= MAX_METADATA_VALUE
    }
