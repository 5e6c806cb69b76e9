"""Entities: one for each person, whatever way it comes in, edited by its equals alone."""

import itertools
from typing import Any

import pytest

from vault.authn.aliases import FOLDING_TYPES, MAX_ALIASES, AliasMount
from vault.authn.credential_validity import user_policies
from vault.authn.entities import AliasChange, Entities, EntityChange, EntityDirectory
from vault.authn.groups import EXTERNAL, MAX_GROUPS, GroupChange, Groups, forget_mount
from vault.authz.policy import validate_policy
from vault.authz.policy_store import PolicySnapshot
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
    ValidationError,
)
from vault.model.identity import Identity, Method
from vault.model.records import UserRow
from vault.store.tables import API_KEYS, USERS

ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))
ADM = Identity(id="a", name="adm", method=Method.TOKEN, policies=("adm", "default"))
LDAP = AliasMount("auth_ldap_1", "auth/ldap/", "ldap")
JWT = AliasMount("auth_jwt_1", "auth/jwt/", "jwt")


class Mounts:
    """Two mounts, one whose source folds case."""

    def find_alias_mount(self, accessor: str) -> AliasMount | None:
        """One of the two."""
        return {LDAP.accessor: LDAP, JWT.accessor: JWT}.get(accessor)


class House:
    """Entities and groups over a store."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.entities = Entities(desk.store, desk.revoker, desk.world, Mounts())
        self.groups = Groups(desk.store, desk.world, Mounts())
        self.directory = EntityDirectory(desk.world)

    async def entity(self, name: str, *policies: str) -> UserRow:
        """Made by root."""
        change = EntityChange(name=name, policies=policies)
        return (await self.entities.write(ROOT, change))[0]

    async def admit(self, mount: AliasMount, name: str, **said: Any) -> UserRow:
        """A login."""
        said.setdefault("metadata", {})
        return await self.desk.store.commit(  # type: ignore[no-any-return]  # a fixture of any type
            lambda tx: self.directory.admit(tx, mount, name, **said)
        )

    async def policies(self, entity: UserRow) -> set[str]:
        """All that the entity has now."""
        return await self.desk.store.commit(  # type: ignore[no-any-return]  # a fixture of any type
            lambda tx: user_policies(tx.get, tx.get(USERS, entity.id))
        )


@pytest.fixture
def house(desk: Any) -> House:
    """Entities and groups, and two mounts."""
    return House(desk)


async def test_is_made_and_changed_by_name_or_id(house: House) -> None:
    """A write finds its entity by id or by name in any case; the new name is nobody's."""
    row, new = await house.entities.write(
        ROOT, EntityChange(name="ann", policies=("App ", "x"), metadata={"team": "a"})
    )
    assert new
    assert (row.policies, row.metadata) == (["app", "x"], {"team": "a"})
    same, new = await house.entities.write(ROOT, EntityChange(name="ANN", policies=("y",)))
    assert (same.id, same.policies, same.metadata, new) == (row.id, ["y"], {"team": "a"}, False)
    renamed, _ = await house.entities.write(ROOT, EntityChange(name="eve"), entity_id=row.id)
    assert renamed.id == row.id
    assert (await house.entities.find_by_name("Eve")).row.id == row.id
    unnamed, new = await house.entities.write(ROOT, EntityChange())
    assert new
    assert unnamed.username.startswith("entity_")
    with pytest.raises(ConflictError):
        await house.entities.write(ROOT, EntityChange(name="EVE"), entity_id=unnamed.id)
    with pytest.raises(NotFoundError):
        await house.entities.write(ROOT, EntityChange(name="z"), entity_id="nobody")


@pytest.mark.parametrize("name", ["root", "ROOT", " root", "Root ", "root\t"])
async def test_root_is_given_to_nobody(house: House, name: str) -> None:
    """No spelling of root is a policy of an entity or a group, even for root (CVE-2025-5999)."""
    entity, policies = await house.entity("ann"), (name,)
    for bad in (
        house.entities.write(ROOT, EntityChange(name="ann", policies=policies)),
        house.groups.write(ROOT, GroupChange(name="g", policies=policies)),
    ):
        with pytest.raises(ValidationError) as caught:
            await bad
        assert caught.value.message == "policies cannot contain root"
    assert "root" not in await house.policies(entity)


@pytest.mark.parametrize(
    "name", ["\uff52\uff4f\uff4f\uff54", "ro\u03bft", "root\u200b", "\u212aoot", "ro\u00adot"]
)
async def test_unicode_variants_of_root_are_no_names(house: House, name: str) -> None:
    """Look-alikes and invisible letters name no policy at all."""
    with pytest.raises(ValidationError):
        await house.entities.write(ROOT, EntityChange(name="ann", policies=(name,)))
    with pytest.raises(ValidationError):
        await house.groups.write(ROOT, GroupChange(name="g", policies=(name,)))


async def test_nobody_edits_a_more_privileged_one(house: House) -> None:
    """Neither the entity, nor its aliases, nor what it is merged with."""
    boss, own = await house.entity("boss", "secret"), await house.entity("own", "adm")
    alias = AliasChange(name="me", accessor=JWT.accessor, entity_id=boss.id)
    for bad in (
        house.entities.write(ADM, EntityChange(metadata={}), entity_id=boss.id),
        house.entities.write(ADM, EntityChange(policies=("secret",)), entity_id=own.id),
        house.entities.write_alias(ADM, alias),
        house.entities.merge(ADM, own.id, [boss.id]),
        house.entities.merge(ADM, boss.id, [own.id]),
        house.entities.delete(ADM, [boss.id]),
    ):
        with pytest.raises(AuthorizationError) as caught:
            await bad
        assert caught.value.code == "more_privileged"
    made, _ = await house.entities.write_alias(ROOT, alias)
    for bad in (
        house.entities.delete_alias(ADM, made.id),
        house.entities.write_alias(ADM, AliasChange(entity_id=own.id), alias_id=made.id),
    ):
        with pytest.raises(AuthorizationError):
            await bad


async def test_one_alias_of_a_mount(house: House) -> None:
    """A second alias at the same mount is refused, one at another is welcome (CVE-2021-43998)."""
    ann = await house.entity("ann")
    first = AliasChange(name="ann", accessor=JWT.accessor, entity_id=ann.id)
    made, new = await house.entities.write_alias(ROOT, first)
    assert new
    assert (await house.entities.write_alias(ROOT, first))[1] is False
    second = AliasChange(name="ann2", accessor=JWT.accessor, entity_id=ann.id)
    with pytest.raises(ValidationError, match="already exists"):
        await house.entities.write_alias(ROOT, second)
    other = AliasChange(name="ann", accessor=LDAP.accessor, entity_id=ann.id)
    await house.entities.write_alias(ROOT, other)
    found = (await house.entities.get(ann.id)).aliases
    assert {row.mount_accessor for row in found} == {JWT.accessor, LDAP.accessor}
    assert (await house.entities.find_by_alias(JWT.accessor, "ann")).row.id == ann.id
    await house.entities.delete_alias(ROOT, made.id)
    with pytest.raises(NotFoundError):
        await house.entities.find_by_alias(JWT.accessor, "ann")
    assert len((await house.entities.get(ann.id)).aliases) == 1


@pytest.mark.parametrize("name", ["ANN", " ann", "ann ", "\uff21nn", "Ann"])
async def test_another_spelling_is_the_same_person_where_the_source_says_so(
    house: House, name: str
) -> None:
    """At a folding source no variant gets a second entity (CVE-2025-6013); else bytes count."""
    assert LDAP.type in FOLDING_TYPES
    folded, exact = await house.admit(LDAP, "ann"), await house.admit(JWT, "ann")
    assert (await house.admit(LDAP, name)).id == folded.id
    assert (await house.admit(JWT, name)).id not in {exact.id, folded.id}


async def test_a_login_makes_and_finds_its_entity(house: House) -> None:
    """The first login makes entity and alias; later ones take over what the source says."""
    first = await house.admit(JWT, "sub-1", metadata={"team": "a"})
    again = await house.admit(JWT, "sub-1", metadata={"team": "b"}, roles=["dev"])
    assert again.id == first.id
    (alias,) = (await house.entities.get(first.id)).aliases
    assert (alias.name, alias.metadata, alias.roles) == ("sub-1", {"team": "b"}, ["dev"])
    await house.desk.roles.put(ROOT, "dev", policies=["app", "root"])
    assert await house.policies(first) == {"app"}  # a claim never makes root
    await house.entities.write(ROOT, EntityChange(disabled=True), entity_id=first.id)
    with pytest.raises(AuthenticationError):
        await house.admit(JWT, "sub-1")
    for bad in ("", "a\nb", "x" * 600):
        with pytest.raises(ValidationError):
            await house.admit(JWT, bad)


async def test_merge_takes_over_and_ends(house: House) -> None:
    """Aliases, policies and groups go over; the other entity is gone with keys and tokens."""
    one, two = await house.entity("one", "a"), await house.entity("two", "b")
    group, _ = await house.groups.write(ROOT, GroupChange(name="g", members=(two.id,)))
    at_jwt = await house.admit(JWT, "two")
    await house.entities.merge(ROOT, two.id, [at_jwt.id])
    text, _ = await house.desk.key(two.id)
    merged = await house.entities.merge(ROOT, one.id, [two.id])
    assert (merged.policies, merged.merged_from) == (["a", "b"], [at_jwt.id, two.id])
    view = await house.entities.get(one.id)
    assert [row.name for row in view.aliases] == ["two"]
    assert [row.id for row in view.groups] == [group.id]
    assert (await house.groups.get(group.id)).members == (one.id,)
    assert (await house.admit(JWT, "two")).id == one.id
    with pytest.raises(AuthenticationError):
        await house.desk.who(text)
    assert await house.desk.store.select_all(API_KEYS) == []


async def test_merge_with_two_aliases_of_a_mount(house: House) -> None:
    """It must be said which alias stays; the other goes, so there is never a second of a mount."""
    one, two = await house.admit(JWT, "one"), await house.admit(JWT, "two")
    (own,) = (await house.entities.get(one.id)).aliases
    (other,) = (await house.entities.get(two.id)).aliases
    for keep in ([], [own.id, other.id]):
        with pytest.raises(ValidationError) as caught:
            await house.entities.merge(ROOT, one.id, [two.id], keep)
        assert (caught.value.code, other.id in caught.value.message) == ("merge_clash", True)
    await house.entities.merge(ROOT, one.id, [two.id], [other.id])
    assert [row.id for row in (await house.entities.get(one.id)).aliases] == [other.id]
    assert (await house.admit(JWT, "two")).id == one.id
    assert (await house.admit(JWT, "one")).id != one.id
    for into, taken in ((one.id, [one.id]), (one.id, ["nobody"]), ("nobody", [one.id]), ("x", [])):
        with pytest.raises(ValidationError):
            await house.entities.merge(ROOT, into, taken)


async def test_groups_apply_to_members(house: House) -> None:
    """Policies of a group and of those above count while one is in it, and no longer."""
    ann = await house.entity("ann", "own")
    child, _ = await house.groups.write(
        ROOT, GroupChange(name="child", policies=("c",), members=(ann.id,))
    )
    top, _ = await house.groups.write(
        ROOT, GroupChange(name="top", policies=("t",), children=(child.id,))
    )
    assert await house.policies(ann) == {"own", "c", "t"}
    view = await house.entities.get(ann.id)
    assert ([g.id for g in view.groups], [g.id for g in view.inherited]) == ([child.id], [top.id])
    await house.groups.write(ROOT, GroupChange(policies=("t2",)), group_id=top.id)
    assert await house.policies(ann) == {"own", "c", "t2"}
    await house.groups.write(ROOT, GroupChange(children=()), group_id=top.id)
    assert await house.policies(ann) == {"own", "c"}
    await house.groups.change_members(ROOT, child.id, [], [ann.id])
    assert await house.policies(ann) == {"own"}
    await house.groups.change_members(ROOT, child.id, [ann.id], [])
    await house.groups.delete(ROOT, child.id)
    assert await house.policies(ann) == {"own"}
    assert (await house.entities.get(ann.id)).row.member_of == {}


async def test_nesting_is_bounded_and_has_no_cycle(house: House) -> None:
    """Neither a direct nor a distant cycle, and no line of groups without end."""
    ids = [(await house.groups.write(ROOT, GroupChange(name=f"g{n}")))[0].id for n in range(17)]
    for lower, upper in itertools.pairwise(ids[:4]):
        await house.groups.write(ROOT, GroupChange(children=(lower,)), group_id=upper)
    for child, group in ((ids[0], ids[0]), (ids[1], ids[0]), (ids[3], ids[0])):
        with pytest.raises(ValidationError) as caught:
            await house.groups.write(ROOT, GroupChange(children=(child,)), group_id=group)
        assert caught.value.code == "group_cycle"
    for lower, upper in itertools.pairwise(ids[3:16]):
        await house.groups.write(ROOT, GroupChange(children=(lower,)), group_id=upper)
    assert len((await house.groups.get(ids[0])).row.ancestors) == 15
    with pytest.raises(ValidationError, match="can be in 15 others"):
        await house.groups.write(ROOT, GroupChange(children=(ids[15],)), group_id=ids[16])
    assert len((await house.groups.get(ids[0])).row.ancestors) == 15


async def test_external_groups_follow_the_source(house: House) -> None:
    """Each login puts the entity into the groups that its source names now, and into no others."""
    groups = {}
    for name, mount in (("devs", LDAP), ("ops", LDAP), ("cloud", JWT)):
        row, _ = await house.groups.write(
            ROOT, GroupChange(name=name, kind=EXTERNAL, policies=(f"p-{name}",))
        )
        await house.groups.write_alias(
            ROOT, name=f"cn={name}", accessor=mount.accessor, group_id=row.id
        )
        groups[name] = row.id
    ann = await house.admit(LDAP, "ann", groups=["CN=devs", "cn=unknown"])
    assert await house.policies(ann) == {"p-devs"}
    at_jwt = AliasChange(name="ann", accessor=JWT.accessor, entity_id=ann.id)
    await house.entities.write_alias(ROOT, at_jwt)
    await house.admit(JWT, "ann", groups=["cn=cloud", "cn=ops"])
    assert await house.policies(ann) == {"p-devs", "p-cloud"}  # ops is another mount's word
    await house.admit(LDAP, "ann", groups=["cn=ops"])
    assert await house.policies(ann) == {"p-ops", "p-cloud"}
    assert (await house.groups.get(groups["devs"])).members == ()
    await house.admit(LDAP, "ann", groups=None)  # a login in which nothing was said of groups
    assert await house.policies(ann) == {"p-ops", "p-cloud"}
    alias = (await house.groups.get(groups["ops"])).alias
    assert alias is not None
    await house.groups.write_alias(ROOT, alias_id=alias.id, name="cn=admins")
    assert await house.policies(ann) == {"p-cloud"}  # nobody has said "admins" of ann
    cloud = (await house.groups.get(groups["cloud"])).alias
    assert cloud is not None
    await house.groups.delete_alias(ROOT, cloud.id)
    assert await house.policies(ann) == set()


async def test_leaving_an_alias_leaves_its_groups(house: House) -> None:
    """What a mount's source said of an entity does not outlast the alias there."""
    row, _ = await house.groups.write(
        ROOT, GroupChange(name="devs", kind=EXTERNAL, policies=("p",))
    )
    await house.groups.write_alias(ROOT, name="devs", accessor=JWT.accessor, group_id=row.id)
    ann = await house.admit(JWT, "ann", groups=["devs"])
    assert await house.policies(ann) == {"p"}
    (alias,) = (await house.entities.get(ann.id)).aliases
    await house.entities.delete_alias(ROOT, alias.id)
    assert await house.policies(ann) == set()


async def test_nobody_gains_by_a_group(house: House) -> None:
    """A group is edited by those who hold its policies, nesting and aliases included."""
    own, boss = await house.entity("own", "adm"), await house.entity("boss", "secret")
    strong, _ = await house.groups.write(ROOT, GroupChange(name="strong", policies=("secret",)))
    weak, _ = await house.groups.write(ROOT, GroupChange(name="weak", policies=("adm",)))
    outer, _ = await house.groups.write(
        ROOT, GroupChange(name="outer", kind=EXTERNAL, policies=("secret",))
    )
    for bad in (
        house.groups.write(ADM, GroupChange(policies=("secret",)), group_id=weak.id),
        house.groups.write(ADM, GroupChange(members=(own.id,)), group_id=strong.id),
        house.groups.write(ADM, GroupChange(members=(boss.id,)), group_id=weak.id),
        house.groups.write(ADM, GroupChange(children=(weak.id,)), group_id=strong.id),
        house.groups.write(ADM, GroupChange(children=(strong.id,)), group_id=weak.id),
        house.groups.change_members(ADM, strong.id, [own.id], []),
        house.groups.delete(ADM, strong.id),
        house.groups.write_alias(ADM, name="x", accessor=JWT.accessor, group_id=outer.id),
    ):
        with pytest.raises(AuthorizationError) as caught:
            await bad
        assert caught.value.code == "more_privileged"
    await house.groups.write(ADM, GroupChange(members=(own.id,)), group_id=weak.id)
    await house.groups.change_members(ROOT, strong.id, [own.id], [])
    with pytest.raises(AuthorizationError):  # who has more than the caller is left alone
        await house.groups.change_members(ADM, strong.id, [], [own.id])


async def test_groups_of_an_entity_are_bounded(house: House) -> None:
    """Each is a lookup of a request; a login that would exceed it is refused, not cut down."""
    ann = await house.entity("ann")
    for number in range(MAX_GROUPS):
        await house.groups.write(ROOT, GroupChange(name=f"g{number}", members=(ann.id,)))
    with pytest.raises(ValidationError) as caught:
        await house.groups.write(ROOT, GroupChange(name="one-more", members=(ann.id,)))
    assert caught.value.code == "groups_too_many"
    row, _ = await house.groups.write(ROOT, GroupChange(name="outer", kind=EXTERNAL))
    await house.groups.write_alias(ROOT, name="x", accessor=JWT.accessor, group_id=row.id)
    at_jwt = AliasChange(name="ann", accessor=JWT.accessor, entity_id=ann.id)
    await house.entities.write_alias(ROOT, at_jwt)
    with pytest.raises(ValidationError):
        await house.admit(JWT, "ann", groups=["x"])


async def test_a_disabled_mounts_groups_are_void(house: House) -> None:
    """Its source says nothing any more."""
    row, _ = await house.groups.write(
        ROOT, GroupChange(name="devs", kind=EXTERNAL, policies=("p",))
    )
    await house.groups.write_alias(ROOT, name="devs", accessor=JWT.accessor, group_id=row.id)
    ann = await house.admit(JWT, "ann", groups=["devs"])
    assert await house.policies(ann) == {"p"}
    await house.desk.store.commit(lambda tx: forget_mount(tx, JWT.accessor))
    assert await house.policies(ann) == set()


async def test_external_members_are_the_sources_word(house: House) -> None:
    """Nobody is put into an external group by hand, and an internal one has no alias."""
    ann = await house.entity("ann")
    outer, _ = await house.groups.write(ROOT, GroupChange(name="outer", kind=EXTERNAL))
    inner, _ = await house.groups.write(ROOT, GroupChange(name="inner"))
    for bad in (
        house.groups.write(ROOT, GroupChange(members=(ann.id,)), group_id=outer.id),
        house.groups.write(ROOT, GroupChange(children=(inner.id,)), group_id=outer.id),
        house.groups.write(ROOT, GroupChange(kind=EXTERNAL), group_id=inner.id),
        house.groups.write(ROOT, GroupChange(name="n", kind="odd")),
        house.groups.change_members(ROOT, outer.id, [ann.id], []),
        house.groups.write_alias(ROOT, name="x", accessor=JWT.accessor, group_id=inner.id),
        house.groups.write_alias(ROOT, name="x", accessor="none", group_id=outer.id),
    ):
        with pytest.raises(ValidationError):
            await bad


async def test_aliases_are_bounded(house: House) -> None:
    """Each is a lookup of every request of the entity."""
    ann = await house.entity("ann")
    mounts = [AliasMount(f"auth_jwt_{n}x", "auth/x/", "jwt") for n in range(MAX_ALIASES + 1)]
    house.entities = Entities(house.desk.store, house.desk.revoker, house.desk.world, _Many(mounts))
    for mount in mounts[:-1]:
        change = AliasChange(name="ann", accessor=mount.accessor, entity_id=ann.id)
        await house.entities.write_alias(ROOT, change)
    change = AliasChange(name="ann", accessor=mounts[-1].accessor, entity_id=ann.id)
    with pytest.raises(ValidationError) as caught:
        await house.entities.write_alias(ROOT, change)
    assert caught.value.code == "aliases_full"


async def test_templates_read_what_the_entity_is(house: House) -> None:
    """Metadata, aliases and groups, each caller's own, though their policies are the same."""
    text = "".join(
        f'path "{path}" {{ capabilities = ["read"] }}\n'
        for path in (
            "team/{{identity.entity.metadata.team}}/*",
            "login/{{identity.entity.aliases.auth_jwt_1.name}}",
            "group/{{identity.groups.names.devs.id}}",
        )
    )
    policy = validate_policy({"name": "own", "acl": text})
    snapshot, keys = PolicySnapshot([policy]), []
    group, _ = await house.groups.write(ROOT, GroupChange(name="devs"))
    for name, team in (("ann", "web"), ("bob", "db")):
        entity = await house.admit(JWT, name)
        change = EntityChange(policies=("own",), metadata={"team": team})
        await house.entities.write(ROOT, change, entity_id=entity.id)
        keys.append((await house.desk.key(entity.id))[0])
        if name == "ann":
            await house.groups.change_members(ROOT, group.id, [entity.id], [])
    ann, bob = [await house.desk.who(key) for key in keys]
    for caller, path, allowed in (
        (ann, "team/web/x", True), (ann, "team/db/x", False), (bob, "team/db/x", True),
        (bob, "team/web/x", False), (ann, "login/ann", True), (ann, "login/bob", False),
        (ann, f"group/{group.id}", True), (bob, f"group/{group.id}", False),
    ):  # fmt: skip
        acl = snapshot.compiled_for(caller).rules.acl
        assert acl is not None
        assert bool(acl.capabilities(path, 1)) is allowed, (caller.name, path)
    moved = EntityChange(metadata={"team": "db"})
    await house.entities.write(ROOT, moved, entity_id=ann.id)
    acl = snapshot.compiled_for(await house.desk.who(keys[0])).rules.acl
    assert acl is not None
    assert not acl.capabilities("team/web/x", 1)
    assert acl.capabilities("team/db/x", 1)


class _Many:
    """Many mounts."""

    def __init__(self, mounts: list[AliasMount]) -> None:
        self._mounts = {mount.accessor: mount for mount in mounts}

    def find_alias_mount(self, accessor: str) -> AliasMount | None:
        return self._mounts.get(accessor)
