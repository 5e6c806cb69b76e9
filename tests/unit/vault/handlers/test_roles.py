"""Tests of roles as things that operations act on."""

import pytest

from tests.unit.vault.handlers.conftest import House
from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.payloads import CreateUser, UpdateUser, WriteRole

AT = "sys/roles/dev"


async def test_life(house: House) -> None:
    """Written under the name of its path, listed, replaced, deleted."""
    written = await house.do("role.write", AT, WriteRole(description="d", policies=("b", "a")))
    row = written.role
    assert (row.name, row.description, row.policies) == ("dev", "d", ["a", "b"])
    assert [found.name for found in await house.do("role.list", "sys/roles/")] == ["dev"]
    await house.do("role.write", AT, WriteRole(policies=("c",)))
    assert (await house.do("role.read", AT)).policies == ["c"]
    await house.do("role.delete", AT)
    with pytest.raises(NotFoundError):
        await house.do("role.read", AT)


@pytest.mark.parametrize("verb", ["read", "write", "delete"])
async def test_a_second_spelling_is_refused(house: House, verb: str) -> None:
    """`sys/roles/DEV` is not another way to `dev`."""
    with pytest.raises(ValidationError):
        await house.do(f"role.{verb}", "sys/roles/DEV", WriteRole(policies=()))


async def test_a_role_gives_its_policies(house: House) -> None:
    """And an unknown one cannot be given."""
    await house.do("role.write", AT, WriteRole(policies=("a",)))
    made = await house.do("user.create", "sys/users/", CreateUser(username="ann", roles=("dev",)))
    user = made.user
    assert user.roles == ["dev"]
    with pytest.raises(ValidationError):
        await house.do("user.update", f"sys/users/{user.id}", UpdateUser(roles=("none",)))


async def test_nobody_gives_what_he_has_not(house: House) -> None:
    """Not through a role either."""
    clerk = await house.allow("clerk", "sys/roles/*", capabilities=("update", "delete"))
    with pytest.raises(AuthorizationError):
        await house.do("role.write", AT, WriteRole(policies=("admin",)), by=clerk)
    await house.do("role.write", AT, WriteRole(policies=("admin",)))
    with pytest.raises(AuthorizationError):
        await house.do("role.delete", AT, by=clerk)
