"""Roles: named sets of policies that only their equals may edit."""

from typing import Any

import pytest

from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.identity import Identity, Method

ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))
ADM = Identity(id="a", name="adm", method=Method.TOKEN, policies=("adm", "default"))


async def test_life(desk: Any) -> None:
    """A role is made, replaced, listed and deleted under its one spelling."""
    made = await desk.roles.put(ROOT, "Dev", policies=["B", "a", "b"], description="d")
    assert (made.name, made.policies, made.description) == ("dev", ["a", "b"], "d")
    desk.world.time += 1
    again = await desk.roles.put(ROOT, "dev", policies=["c"])
    assert (again.created_at, again.updated_at) == (made.created_at, made.updated_at + 1)
    await desk.roles.put(ROOT, "abc", policies=[])
    assert [role.name for role in await desk.roles.list_roles()] == ["abc", "dev"]
    assert await desk.roles.get("DEV") == again
    await desk.roles.delete(ROOT, "dev")
    with pytest.raises(NotFoundError):
        await desk.roles.get("dev")
    with pytest.raises(NotFoundError):
        await desk.roles.delete(ROOT, "dev")


async def test_privilege(desk: Any) -> None:
    """Who edits a role holds the policies that it has and those that it gets."""
    await desk.roles.put(ROOT, "ops", policies=["ops"])
    assert await desk.roles.put(ADM, "mine", policies=["adm", "default"])
    for name, policies in (("new", ["root"]), ("new", ["ROOT"]), ("mine", ["ops"]), ("ops", [])):
        with pytest.raises(AuthorizationError):
            await desk.roles.put(ADM, name, policies=policies)
    with pytest.raises(AuthorizationError):
        await desk.roles.delete(ADM, "ops")
    assert (await desk.roles.get("ops")).policies == ["ops"]
    assert (await desk.roles.get("mine")).policies == ["adm", "default"]


async def test_refused(desk: Any) -> None:
    """Unclear names and too much of anything are refused with their field."""
    for name, policies, description, field in (
        ("a b", [], "", "name"),
        ("x", ["ok", "not ok"], "", "policies[1]"),
        ("x", [f"p{i}" for i in range(65)], "", "policies"),
        ("x", [], "d" * 1025, "description"),
    ):
        with pytest.raises(ValidationError) as caught:
            await desk.roles.put(ROOT, name, policies=policies, description=description)
        assert caught.value.details["field"] == field
