"""Invitations: one person, once, in time."""

from contextlib import suppress

import pytest
import trio

from actors.testing import FakeWorld
from control.authn import invitations, provisioning
from control.authn.session_opener import PROGRAM_SESSION
from control.core import Core
from control.errors import AuthorizationError, ConflictError, NotFoundError
from control.model.people import Caller, Membership, Role
from control.store import invitations as rows
from control.store import members
from tests.unit.control.conftest import PASSWORD

ANN = Caller("acme", "ann", Role.OWNER, "t")
ADMIN = Caller("acme", "adm", Role.ADMIN, "t")


async def test_a_hundred_uses_at_once_are_one_account(core: Core) -> None:
    """Under as many names."""
    secret, _ = await core.invitations.invitations.create_invitation(
        ANN, "acme", "new@x.example", Role.VIEWER
    )
    done = []

    async def accept(name: str) -> None:
        with suppress(NotFoundError):
            done.append(
                await core.invitations.invitations.accept_invitation(
                    secret, name, PASSWORD, PROGRAM_SESSION
                )
            )

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(accept, f"new-{number}")
    assert len(done) == 1
    assert len(await core.people.users.list_users("acme", "", 100)) == 2


async def test_it_lasts_a_week(core: Core, world: FakeWorld) -> None:
    """Then it says the same as one that never was, and is cleared away later."""
    secret, made = await core.invitations.invitations.create_invitation(
        ANN, "acme", "new@x.example", Role.VIEWER
    )
    assert (await core.invitations.invitations.get_details(secret)).title == "acme"
    world.advance(7 * 86_400)
    for call in (
        core.invitations.invitations.get_details(secret),
        core.invitations.invitations.accept_invitation(secret, "new", PASSWORD, PROGRAM_SESSION),
        core.invitations.invitations.join_organization(
            Caller("platform", "x", Role.OWNER, "t"), secret
        ),
        core.invitations.invitations.get_details("fhi_made-up"),
    ):
        with pytest.raises(NotFoundError, match="invitation_invalid"):
            await call
    world.advance(7 * 86_400 + 1)
    await core.invitations.invitations.delete_expired()
    assert await core.store.read(lambda tx: rows.get_invitation(tx, "acme", made.id)) is None


async def test_the_link_can_be_made_again_by_us_alone(core: Core) -> None:
    """For the mail; the database holds a digest, and another id has another link."""
    secret, made = await core.invitations.invitations.create_invitation(
        ANN, "acme", "new@x.example", Role.VIEWER
    )
    assert core.invitations.invitations.link_secret("acme", made.id) == secret
    assert core.invitations.invitations.link_secret("other", made.id) != secret
    assert secret.encode() not in made.digest


async def test_roles_and_homes(core: Core) -> None:
    """Nobody invites or withdraws above the own role; nobody joins where one is at home."""
    with pytest.raises(AuthorizationError):
        await core.invitations.invitations.create_invitation(
            ADMIN, "acme", "new@x.example", Role.OWNER
        )
    secret, made = await core.invitations.invitations.create_invitation(
        ANN, "acme", "new@x.example", Role.OWNER
    )
    with pytest.raises(AuthorizationError):
        await core.invitations.invitations.revoke_invitation(ADMIN, "acme", made.id)
    with pytest.raises(ConflictError, match="member_already"):
        await core.invitations.invitations.join_organization(ANN, secret)
    await core.invitations.invitations.get_details(secret)  # a refusal has not used it up


async def test_open_ones_are_bounded(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an organization."""
    monkeypatch.setattr(invitations, "MAX_OPEN", 1)
    await core.invitations.invitations.create_invitation(ANN, "acme", "one@x.example", Role.VIEWER)
    with pytest.raises(ConflictError, match="too_many"):
        await core.invitations.invitations.create_invitation(
            ANN, "acme", "two@x.example", Role.VIEWER
        )


@pytest.mark.parametrize("end", ["deleted", "disabled", "lowered", "made anew"])
async def test_it_counts_no_longer_than_its_inviter(core: Core, world: FakeWorld, end: str) -> None:
    """Whoever could not invite now has invited nobody, whichever way the link is used."""
    boss = Caller("acme", "ann", Role.OWNER, "t")
    await core.people.users.create_user(boss, "acme", "bea", Role.ADMIN, PASSWORD)
    bea = Caller("acme", "bea", Role.ADMIN, "t")
    secret, made = await core.invitations.invitations.create_invitation(
        bea, "acme", "new@x.example", Role.ADMIN
    )
    await core.invitations.invitations.get_details(secret)
    world.advance(1)
    if end == "disabled":
        await core.people.users.change_user(boss, "acme", "bea", role=None, disabled=True)
    elif end == "lowered":
        await core.people.users.change_user(boss, "acme", "bea", role=Role.VIEWER, disabled=None)
    else:
        await core.people.users.delete_user(boss, "acme", "bea")
    if end == "made anew":
        await core.people.users.create_user(boss, "acme", "bea", Role.ADMIN, PASSWORD)
    with pytest.raises(NotFoundError, match="invitation_invalid"):
        await core.invitations.invitations.accept_invitation(
            secret, "new", PASSWORD, PROGRAM_SESSION
        )
    with pytest.raises(NotFoundError, match="invitation_invalid"):
        await core.invitations.invitations.get_details(secret)
    offer = await core.store.read(
        lambda tx: provisioning._find_invitation(tx, "acme", made.email, "", world.now())
    )
    assert offer is None


async def test_one_of_a_clock_that_was_ahead_counts_no_more(core: Core, world: FakeWorld) -> None:
    """Once it is right: it would count for a year."""
    world.step_wall(400 * 86_400)
    secret, _ = await core.invitations.invitations.create_invitation(
        ANN, "acme", "new@x.example", Role.VIEWER
    )
    assert await core.invitations.invitations.get_details(secret)
    world.step_wall(-400 * 86_400)
    with pytest.raises(NotFoundError, match="invitation_invalid"):
        await core.invitations.invitations.get_details(secret)


async def test_a_guest_of_the_platform_invites_as_any_guest(core: Core) -> None:
    """Somebody of the platform who is no super-admin, and an admin here."""
    await core.people.users.create_user(None, "platform", "pat", Role.OPERATOR, PASSWORD)
    row = Membership("acme", "platform", "pat", Role.ADMIN, "acme/ann", 1)
    await core.store.write(lambda tx: members.put_membership(tx, row, 1))
    pat = Caller("acme", "pat", Role.ADMIN, "t", home="platform")
    secret, _ = await core.invitations.invitations.create_invitation(
        pat, "acme", "new@x.example", Role.VIEWER
    )
    assert (await core.invitations.invitations.get_details(secret)).role is Role.VIEWER
