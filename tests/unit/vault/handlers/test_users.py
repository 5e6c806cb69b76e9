"""Tests of users as things that operations act on."""

import pytest

from tests.unit.vault.handlers.conftest import House
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.model.operation import Capability
from vault.model.payloads import CreateUser, ListUsers, UpdateUser
from vault.model.records import UserRow
from vault.model.results import UserWritten

FOLDER = "sys/users/"


async def create(house: House, name: str, *policies: str) -> UserRow:
    """A user."""
    payload = CreateUser(username=name, email="a@example.org", policies=policies)
    written: UserWritten = await house.do("user.create", FOLDER, payload)
    return written.user


async def test_life(house: House) -> None:
    """Created, read, changed, deleted."""
    row = await create(house, "ann", "p")
    path = f"sys/users/{row.id}"
    assert (await house.do("user.read", path)).username == "ann"
    changed = (await house.do("user.update", path, UpdateUser(email="b@example.org"))).user
    assert (changed.email, changed.policies) == ("b@example.org", ["p"])
    await house.do("user.delete", path)
    with pytest.raises(NotFoundError):
        await house.do("user.read", path)


async def test_every_field_is_passed_on(house: House) -> None:
    """Roles, policies and status too."""
    row = await create(house, "ann")
    payload = UpdateUser(policies=("q",), roles=(), status="disabled")
    changed = (await house.do("user.update", f"sys/users/{row.id}", payload)).user
    assert (changed.policies, changed.roles, changed.status) == (["q"], [], "disabled")


async def test_names_are_unique(house: House) -> None:
    """In any spelling."""
    await create(house, "ann")
    with pytest.raises(ConflictError):
        await create(house, "ANN")


async def test_pages_and_names(house: House) -> None:
    """Page by page each user once; by name in any spelling, or nobody."""
    made = {(await create(house, name)).id for name in ("ann", "bob", "cid")}
    first = await house.do("user.list", FOLDER, ListUsers(limit=2))
    rest = await house.do("user.list", FOLDER, ListUsers(limit=2, after=first[-1].id))
    assert {row.id for row in [*first, *rest]} == made
    assert len(first) == 2
    (found,) = await house.do("user.list", FOLDER, ListUsers(username="BOB"))
    assert found.username == "bob"
    assert await house.do("user.list", FOLDER, ListUsers(username="dan")) == []


@pytest.mark.parametrize("limit", [0, 1001])
async def test_the_limit_is_bounded(house: House, limit: int) -> None:
    """One answer holds at most a thousand."""
    with pytest.raises(ValidationError):
        await house.do("user.list", FOLDER, ListUsers(limit=limit))


async def test_nobody_makes_or_edits_someone_more_privileged(house: House) -> None:
    """Whatever the caller's policy on `sys/users` says."""
    clerk = await house.allow("clerk", "sys/users/*", capabilities=("create", "update", "delete"))
    boss = await create(house, "boss", "admin")
    path = f"sys/users/{boss.id}"
    with pytest.raises(AuthorizationError):
        await house.do("user.create", FOLDER, CreateUser(username="x", policies=("a",)), by=clerk)
    with pytest.raises(AuthorizationError):
        await house.do("user.update", path, UpdateUser(email="c@example.org"), by=clerk)
    with pytest.raises(AuthorizationError):
        await house.do("user.delete", path, by=clerk)
    await house.do("user.create", FOLDER, CreateUser(username="x"), by=clerk)


async def test_the_table(house: House) -> None:
    """Each operation takes its own capability, and what changes something leaves an intent."""
    wanted = {
        "list": Capability.LIST, "read": Capability.READ, "create": Capability.CREATE,
        "update": Capability.UPDATE, "delete": Capability.DELETE,
    }  # fmt: skip
    for verb, capability in wanted.items():
        handler = house.handlers[f"user.{verb}"]
        assert handler.capability is capability
        assert handler.mutates == (verb in {"create", "update", "delete"})
