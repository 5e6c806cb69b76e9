"""Accounts, and who may touch whose."""

import pytest

from control.core import Core
from control.errors import AuthenticationError, AuthorizationError, ConflictError, NotFoundError
from control.model.people import Caller, Role
from tests.unit.control.conftest import PASSWORD, ROOT

ANN = Caller("acme", "ann", Role.OWNER, "t")
ADMIN = Caller("acme", "adm", Role.ADMIN, "t")


async def test_nobody_touches_a_superior(core: Core) -> None:
    """Not the role, the password or the account, and makes none either."""
    users = core.people.users
    with pytest.raises(AuthorizationError):
        await users.create_user(ADMIN, "acme", "boss", Role.OWNER, PASSWORD)
    with pytest.raises(AuthorizationError):
        await users.change_user(ADMIN, "acme", "ann", role=Role.VIEWER, disabled=None)
    with pytest.raises(AuthorizationError):
        await users.set_password(ADMIN, "acme", "ann", PASSWORD)
    with pytest.raises(AuthorizationError):
        await users.delete_user(ADMIN, "acme", "ann")
    await users.create_user(ADMIN, "acme", "bob", Role.VIEWER, PASSWORD)
    with pytest.raises(AuthorizationError):
        await users.change_user(ADMIN, "acme", "bob", role=Role.OWNER, disabled=None)


async def test_an_organization_keeps_an_owner(core: Core) -> None:
    """Its last one is neither deleted, nor disabled, nor made less."""
    for attempt in (
        lambda: core.people.users.delete_user(ANN, "acme", "ann"),
        lambda: core.people.users.change_user(ANN, "acme", "ann", role=None, disabled=True),
        lambda: core.people.users.change_user(ROOT, "acme", "ann", role=Role.ADMIN, disabled=None),
    ):
        with pytest.raises(ConflictError, match="last_owner"):
            await attempt()  # type: ignore[no-untyped-call]
    assert (await core.people.users.get_user("acme", "ann")).role is Role.OWNER


async def test_every_change_ends_what_the_user_held(core: Core) -> None:
    """Password, role, disabling, deletion: a session from before is worth nothing."""
    await core.people.users.create_user(ANN, "acme", "bob", Role.ADMIN, PASSWORD)
    users = core.people.users
    for change in (
        lambda: users.set_password(ANN, "acme", "bob", PASSWORD),
        lambda: users.change_user(ANN, "acme", "bob", role=Role.VIEWER, disabled=None),
        lambda: users.delete_user(ANN, "acme", "bob"),
    ):
        secret, _ = await core.people.accounts.login("acme", "bob", PASSWORD)
        await change()  # type: ignore[no-untyped-call]
        with pytest.raises(AuthenticationError):
            await core.people.sessions.authenticate(secret)


async def test_organizations_are_apart(core: Core) -> None:
    """One that is not there has no users, and a name counts in its own."""
    with pytest.raises(NotFoundError):
        await core.people.users.create_user(ROOT, "nowhere", "bob", Role.VIEWER, PASSWORD)
    await core.people.users.create_organization("other", "Other")
    await core.people.users.create_user(ROOT, "other", "ann", Role.VIEWER, PASSWORD)
    assert (await core.people.users.get_user("other", "ann")).role is Role.VIEWER
    assert [o.id for o in await core.people.users.list_organizations("acme", 9)] == [
        "other",
        "platform",
    ]
    with pytest.raises(NotFoundError):
        await core.people.users.get_organization("nowhere")
    assert [u.name for u in await core.people.users.list_users("acme", "", 9)] == ["ann"]


@pytest.mark.parametrize("change", ["disable", "lessen", "delete", "password"])
async def test_no_agent_comes_by_what_a_former_member_made(core: Core, change: str) -> None:
    """An enrolment token ends with the authority of who made it; others' stay."""
    assert core.enrolment.ca is not None
    await core.people.users.create_user(ANN, "acme", "bob", Role.ADMIN, PASSWORD)
    enrolment = core.enrolment.ca.enrolment
    for vault, by in (("v1", "acme/bob"), ("v2", "acme/ann")):
        await enrolment.create_token("acme", vault, by)
    if change == "delete":
        await core.people.users.delete_user(ANN, "acme", "bob")
    elif change == "password":
        await core.people.users.set_password(ANN, "acme", "bob", PASSWORD)
    else:
        role = Role.VIEWER if change == "lessen" else None
        await core.people.users.change_user(
            ANN, "acme", "bob", role=role, disabled=change == "disable"
        )
    lives = {
        row.created_by: row.expires_at > row.created_at
        for row in await enrolment.list_tokens("acme")
    }
    assert lives == {"acme/bob": False, "acme/ann": True}
