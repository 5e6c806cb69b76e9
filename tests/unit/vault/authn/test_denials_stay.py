"""Nobody gets rid of a denial by what is forgotten: an entity, an alias, a group's alias."""

from typing import Any

import pytest

from tests.unit.vault.authn.test_entities import JWT, LDAP, ROOT, House
from vault.authn.entities import AliasChange, EntityChange
from vault.authn.groups import EXTERNAL, GroupChange
from vault.errors import AuthorizationError
from vault.model.identity import Identity, Method
from vault.model.records import PolicyRow, UserRow
from vault.store.tables import POLICIES

BOUND = Identity(id="b", name="b", method=Method.TOKEN, policies=("deny-it", "use", "default"))
"""Who may do all there is to identities, and is denied something."""
FREE = Identity(id="f", name="f", method=Method.TOKEN, policies=("use", "default"))


@pytest.fixture
async def house(desk: Any) -> House:
    """With a policy that denies."""
    document = {
        "name": "deny-it",
        "rules": [{"effect": "deny", "capabilities": ["read"], "paths": ["secret/*"]}],
    }
    row = PolicyRow(
        name="deny-it",
        id="p",
        version=1,
        document=document,
        created_at=1,
        updated_at=1,
        created_by="r",
    )
    await desk.store.commit(lambda tx: tx.put(POLICIES, row))
    return House(desk)


async def barred(house: House, name: str) -> tuple[UserRow, str]:
    """Somebody who has logged in by JWT and is denied something; the id of their alias."""
    row = await house.admit(JWT, name)
    await house.entities.write(ROOT, EntityChange(policies=("use", "deny-it")), entity_id=row.id)
    (alias,) = (await house.entities.get(row.id)).aliases
    return row, alias.id


async def test_whoever_is_denied_something_is_not_made_anew(house: House) -> None:
    """At the next login there would be another entity, without the denial."""
    row, alias = await barred(house, "bob")
    other, _ = await barred(house, "other")
    (kept,) = (await house.entities.get(other.id)).aliases
    for bad in (
        house.entities.delete(BOUND, [row.id]),
        house.desk.users.delete(BOUND, row.id),
        house.entities.delete_alias(BOUND, alias),
        house.entities.write_alias(BOUND, AliasChange(name="bob2"), alias_id=alias),
        house.entities.write_alias(BOUND, AliasChange(accessor=LDAP.accessor), alias_id=alias),
        house.entities.merge(BOUND, row.id, [other.id], [kept.id]),
        house.entities.merge(BOUND, other.id, [row.id], [kept.id]),
    ):
        with pytest.raises(AuthorizationError) as caught:
            await bad
        assert caught.value.code == "denial_lifted"
    assert (await house.admit(JWT, "bob")).id == row.id
    assert "deny-it" in await house.policies(row)
    await house.entities.delete(FREE, [row.id])  # no denial of the caller's own
    assert (await house.admit(JWT, "bob")).id != row.id


async def test_who_cannot_come_back_may_be_deleted(house: House) -> None:
    """An entity without aliases is not made anew by a login."""
    row = await house.entity("keys-only", "use", "deny-it")
    await house.entities.delete(BOUND, [row.id])


async def test_a_group_that_denies_keeps_its_members(house: House) -> None:
    """Another alias, or none, would put all of them out of it."""
    group, _ = await house.groups.write(
        ROOT, GroupChange(name="barred", kind=EXTERNAL, policies=("deny-it",))
    )
    other, _ = await house.groups.write(
        ROOT, GroupChange(name="same", kind=EXTERNAL, policies=("deny-it",))
    )
    alias, _ = await house.groups.write_alias(
        ROOT, name="barred", accessor=JWT.accessor, group_id=group.id
    )
    row = await house.admit(JWT, "bob", groups=["barred"])
    place = {"accessor": JWT.accessor, "group_id": group.id}
    for bad in (
        house.groups.write_alias(BOUND, alias_id=alias.id, name="nobody"),
        house.groups.write_alias(BOUND, alias_id=alias.id, accessor=LDAP.accessor),
        house.groups.write_alias(BOUND, alias_id=alias.id, group_id=other.id),
        house.groups.write_alias(BOUND, name="nobody", **place),
        house.groups.delete_alias(BOUND, alias.id),
    ):
        with pytest.raises(AuthorizationError) as caught:
            await bad
        assert caught.value.code == "denial_lifted"
    await house.groups.write_alias(BOUND, alias_id=alias.id, name="barred")
    assert await house.policies(row) == {"deny-it"}
