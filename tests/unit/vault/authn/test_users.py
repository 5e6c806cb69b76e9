"""Users: one name each, edited by their equals, and gone with all that is theirs."""

from typing import Any

import pytest
import trio
import trio.testing

from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from vault.model.identity import Identity, Method
from vault.store.table import StoreQuery
from vault.store.tables import API_KEYS, TOKENS, USAGE

ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))
ADM = Identity(id="a", name="adm", method=Method.TOKEN, policies=("adm", "default"))


async def test_life(desk: Any) -> None:
    """A user is made, found in any spelling, changed in what is given, and deleted."""
    user = await desk.users.create(ROOT, "Ann", email="ann@example.org", policies=["App"])
    assert (user.username, user.name_key, user.policies) == ("Ann", "ann", ["app"])
    assert await desk.users.find_by_name("ANN") == await desk.users.get(user.id) == user
    desk.world.time += 1
    changed = await desk.users.update(ROOT, user.id, email="")
    assert (changed.email, changed.policies) == ("", ["app"])
    assert changed.updated_at == user.updated_at + 1
    assert [u.id for u in await desk.users.list_page()] == [user.id]
    assert await desk.users.list_page(after=user.id) == []
    await desk.users.delete(ROOT, user.id)
    for missing in (desk.users.get(user.id), desk.users.find_by_name("ann")):
        with pytest.raises(NotFoundError):
            await missing
    with pytest.raises(NotFoundError):
        await desk.users.delete(ROOT, user.id)


@pytest.mark.parametrize("name", ["ann", "ANN", "Ann", "\uff21nn", "\uff41\uff4e\uff4e"])
async def test_one_name(desk: Any, name: str) -> None:
    """No case or width variant of a name that exists can be taken."""
    await desk.users.create(ROOT, "ann")
    with pytest.raises(ConflictError):
        await desk.users.create(ROOT, name)


async def test_one_name_in_parallel(desk: Any) -> None:
    """Of many who take one name at once, one has it."""
    made = []

    async def create(name: str) -> None:
        try:
            made.append(await desk.users.create(ROOT, name))
        except ConflictError:
            made.append(None)

    async with trio.open_nursery() as nursery:
        for name in ("ann", "Ann", "ANN", "aNn"):
            nursery.start_soon(create, name)
    assert [user is None for user in made].count(False) == 1


async def test_refused(desk: Any) -> None:
    """What is unclear or unknown is refused with its field."""
    for name, fields, field in (
        ("root", {}, "username"),
        ("a b", {}, "username"),
        ("x", {"email": "nobody"}, "email"),
        ("x", {"email": "a@b\n"}, "email"),
        ("x", {"roles": ["gone"]}, "roles[0]"),
        ("x", {"roles": ["not ok"]}, "roles[0]"),
        ("x", {"policies": ["not ok"]}, "policies[0]"),
    ):
        with pytest.raises(ValidationError) as caught:
            await desk.users.create(ROOT, name, **fields)
        assert caught.value.details["field"] == field
    user = await desk.users.create(ROOT, "x")
    for limit in (0, -1, 1001):
        with pytest.raises(ValidationError, match="limit"):
            await desk.users.list_page(limit=limit)
    for fields in ({"status": "deleted"}, {"roles": ["gone"]}, {"email": "nobody"}):
        with pytest.raises(ValidationError):
            await desk.users.update(ROOT, user.id, **fields)


async def test_privilege(desk: Any) -> None:
    """Who edits a user holds all policies that the user has, by himself or by role, and gets."""
    await desk.roles.put(ROOT, "ops", policies=["ops"])
    await desk.roles.put(ROOT, "adm", policies=["adm"])
    boss = await desk.users.create(ROOT, "boss", roles=["ops"])
    mate = await desk.users.create(ADM, "mate", roles=["adm"], policies=["adm"])
    for fields in ({"policies": ["root"]}, {"policies": ["ops"]}, {"roles": ["ops"]}):
        with pytest.raises(AuthorizationError):
            await desk.users.create(ADM, "new", **fields)
        with pytest.raises(AuthorizationError):
            await desk.users.update(ADM, mate.id, **fields)
    for fields in ({"email": "x@y"}, {"status": "disabled"}, {"roles": []}, {"policies": []}):
        with pytest.raises(AuthorizationError):
            await desk.users.update(ADM, boss.id, **fields)
    with pytest.raises(AuthorizationError):
        await desk.users.delete(ADM, boss.id)
    assert await desk.users.get(boss.id) == boss
    await desk.users.update(ADM, mate.id, policies=[])
    await desk.users.delete(ADM, mate.id)


async def test_disabling_ends_tokens_and_stops_keys(desk: Any) -> None:
    """A disabled user's keys and tokens stop at once and his streams are cut.

    Enabled again, his keys work and his tokens, which are gone, do not.
    """
    user = await desk.users.create(ROOT, "ann", policies=["app"])
    key_text, key = await desk.key(user.id)
    text, who = await desk.token(key)
    child, _ = await desk.token(who)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.stream, key.credential)
        nursery.start_soon(desk.stream, who.credential)
        await trio.testing.wait_all_tasks_blocked()
        disabled = await desk.users.update(ROOT, user.id, status="disabled")
        assert disabled.status == "disabled"
    for refused in (key_text, text, child):
        with pytest.raises(AuthenticationError):
            await desk.who(refused)
    await desk.users.update(ROOT, user.id, status="active")
    assert await desk.who(key_text)
    with pytest.raises(AuthenticationError):
        await desk.who(text)


async def test_what_is_disabled_is_told_without_looking_again(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored: a database that answers no more after that makes it no failure."""
    user = await desk.users.create(ROOT, "ann", policies=["app"])

    async def gone(*_: object) -> None:
        raise UnavailableError("store_unavailable", "gone")

    monkeypatch.setattr(desk.store, "get", gone)
    disabled = await desk.users.update(ROOT, user.id, status="disabled")
    assert (disabled.id, disabled.status) == (user.id, "disabled")


async def test_deleting_leaves_nothing(desk: Any) -> None:
    """With a user go his keys, his tokens, theirs, and the counts; no orphan is left."""
    user = await desk.users.create(ROOT, "ann", policies=["app"])
    key_text, key = await desk.key(user.id)
    text, who = await desk.token(key)
    await desk.token(who, "ops", sudo=True)
    await desk.usage.flush()
    await desk.users.delete(ROOT, user.id)
    await desk.usage.flush()
    for table in (API_KEYS, TOKENS, USAGE):
        rows = await desk.store.select(table, StoreQuery())
        assert [r for r in rows if getattr(r, "credential_id", "") != key.credential] == []
    for refused in (key_text, text):
        with pytest.raises(AuthenticationError):
            await desk.who(refused)


async def test_disabling_ends_orphans(desk: Any) -> None:
    """A user's tokens that came to be orphans are found by their user, and end with the others."""
    user = await desk.users.create(ROOT, "ann", policies=["app"])
    _, key = await desk.key(user.id)
    _, parent = await desk.token(key)
    text, _ = await desk.token(parent)
    await desk.tokens.revoke_orphan(await desk.tokens.lookup_self(parent))
    assert await desk.who(text)
    await desk.users.update(ROOT, user.id, status="disabled")
    assert await desk.tokens.list_accessors() == []


async def test_a_name_that_was_deleted(desk: Any) -> None:
    """A new user of an old name has nothing of the old one's."""
    user = await desk.users.create(ROOT, "ann", policies=["app"])
    text, _ = await desk.key(user.id)
    await desk.users.delete(ROOT, user.id)
    again = await desk.users.create(ROOT, "ann", policies=["other"])
    assert again.id != user.id
    with pytest.raises(AuthenticationError):
        await desk.who(text)


async def test_identity(desk: Any) -> None:
    """The identity for a dry run is what a key of the user would have."""
    await desk.roles.put(ROOT, "ops", policies=["ops"])
    user = await desk.users.create(ROOT, "ann", roles=["ops"], policies=["app"])
    _, who = await desk.key(user.id)
    found = await desk.users.identity_of("ANN")
    assert (found.policies, found.id, found.method) == (who.policies, who.id, who.method)
    await desk.users.update(ROOT, user.id, status="disabled")
    assert (await desk.users.identity_of("ann")).policies == ()
    with pytest.raises(NotFoundError):
        await desk.users.identity_of("bob")
