"""One account, several organizations."""

import pyotp
import pytest

from actors.testing import FakeWorld
from control.authn.session_opener import SessionRequest
from control.core import Core
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
)
from control.model.operation import BrowserCredentials
from control.model.people import PLATFORM, Caller, Membership, Role, TokenKind
from control.pipeline import authorize
from control.store import members
from protocols.http.session_key import parts_of
from protocols.instant import SECOND
from tests.unit.control.conftest import PASSWORD, ROOT
from tests.unit.control.test_pipeline import operation


async def guest(core: Core, role: Role = Role.OPERATOR) -> Caller:
    """Ann, who is a member of `beta` too, signed in at home."""
    await core.people.users.create_organization("beta", "Beta")
    row = Membership("beta", "acme", "ann", role, "beta/bea", 1)
    await core.store.write(lambda tx: members.put_membership(tx, row, 1))
    secret, _ = await core.people.accounts.login(
        "acme", "ann", PASSWORD, SessionRequest(TokenKind.BROWSER)
    )
    return (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller


async def test_one_acts_where_one_switched_to(core: Core) -> None:
    """With the role there, under the account's own name, and in one organization at a time."""
    ann = await guest(core)
    places = await core.people.members.organizations_of(ann)
    assert [(p.id, p.role) for p in places] == [("acme", Role.OWNER), ("beta", Role.OPERATOR)]
    secret, _ = await core.people.members.switch_organization(ann, "beta")
    there = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    assert (there.org, there.role, there.actor) == ("beta", Role.OPERATOR, "acme/ann")
    authorize(operation(org="beta", role=Role.OPERATOR), there)
    with pytest.raises(NotFoundError):
        authorize(operation(org="acme"), there)
    with pytest.raises(AuthenticationError):
        await core.people.members.switch_organization(ann, "beta")  # that session has ended
    home, _ = await core.people.members.switch_organization(there, "acme")
    assert (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(home)))
    ).caller.role is Role.OWNER


async def test_to_switch_is_not_to_sign_in(core: Core, world: FakeWorld) -> None:
    """The session ends when it would have, and is no more proven than it was."""
    ann = await guest(core)
    world.advance(3600)
    _, token = await core.people.members.switch_organization(ann, "beta")
    assert token.expires_at == world.now() + 11 * 3600 * SECOND
    assert token.proven_at == world.now() - 3600 * SECOND


async def test_nobody_acts_where_one_is_no_member(core: Core) -> None:
    """Nor does an API token move."""
    ann = await guest(core)
    for org in (PLATFORM, "nowhere"):
        with pytest.raises(AuthorizationError, match="not_a_member"):
            await core.people.members.switch_organization(ann, org)
    secret, _ = await core.people.accounts.create_token(ann, "", Role.OWNER, 60)
    with pytest.raises(AuthorizationError):
        await core.people.members.switch_organization(
            await core.people.sessions.authenticate(secret), "beta"
        )


async def test_a_membership_that_changes_ends_sessions_there(core: Core) -> None:
    """Only those; nobody raises somebody above the own role."""
    ann = await guest(core)
    other, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    secret, _ = await core.people.members.switch_organization(ann, "beta")
    there = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    token, _ = await core.people.accounts.create_token(there, "", Role.OPERATOR, 600)
    admin = Caller("beta", "bea", Role.ADMIN, "t")
    with pytest.raises(AuthorizationError, match="role_above_own"):
        await core.people.members.change_guest_role(admin, "beta", "acme", "ann", Role.OWNER)
    await core.people.members.change_guest_role(admin, "beta", "acme", "ann", Role.VIEWER)
    for gone in (
        core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret))),
        core.people.sessions.authenticate(token),
    ):
        with pytest.raises(AuthenticationError):
            await gone
    await core.people.sessions.authenticate(other)
    await core.people.members.remove_guest(admin, "beta", "acme", "ann")
    assert await core.people.members.list_guests("beta") == []
    with pytest.raises(NotFoundError):
        await core.people.members.remove_guest(admin, "beta", "acme", "ann")


async def test_an_organization_may_want_more_of_its_guests(core: Core, world: FakeWorld) -> None:
    """Who has no second factor cannot switch to where it is demanded, and is put out there."""
    ann = await guest(core)
    secret, _ = await core.people.members.switch_organization(ann, "beta")
    await core.people.users.change_organization("beta", title=None, second_factor=True)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    ann = await core.people.sessions.authenticate(secret)
    with pytest.raises(AuthorizationError, match="second_factor_demanded"):
        await core.people.members.switch_organization(ann, "beta")
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    shown = pyotp.TOTP(begun.secret).at(world.now() // SECOND)
    await core.people.second_factors.confirm_enrolment("acme", "ann", shown)
    with pytest.raises(AuthorizationError, match="step_up"):
        await core.people.members.switch_organization(
            ann, "beta"
        )  # to have one is not to have shown it
    await core.people.sessions.record_proof(ann, factor=False)  # by a password
    with pytest.raises(AuthorizationError, match="step_up"):
        await core.people.members.switch_organization(ann, "beta")
    await core.people.sessions.record_proof(ann, factor=True)
    secret, _ = await core.people.members.switch_organization(ann, "beta")
    there = await core.people.sessions.authenticate(secret)
    secret, _ = await core.people.members.switch_organization(there, "acme")
    home = await core.people.sessions.authenticate(secret)
    await core.people.members.switch_organization(
        home, "beta"
    )  # it goes along with whoever showed it


async def test_a_provider_that_home_trusts_is_not_everybodys(core: Core, world: FakeWorld) -> None:
    """Where home asks for no factor of ours, one shows it to go where it is demanded."""
    ann = await guest(core)
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    await core.people.second_factors.confirm_enrolment(
        "acme", "ann", pyotp.TOTP(begun.secret).at(world.now() // SECOND)
    )
    await core.people.members.switch_organization(ann, "beta")
    await core.people.users.change_organization("beta", title=None, second_factor=True)
    user = await core.people.users.get_user("acme", "ann")
    way = SessionRequest(TokenKind.BROWSER, trusted=True)
    secret, _ = await core.federation.federation._session_opener.open_session(user, way)
    ann = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    with pytest.raises(AuthorizationError, match="step_up"):
        await core.people.members.switch_organization(ann, "beta")


async def test_a_factor_that_is_shown_at_sign_in_counts(core: Core, world: FakeWorld) -> None:
    """Until it is taken away: the next one was not shown."""
    await guest(core)
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    totp = pyotp.TOTP(begun.secret)
    await core.people.second_factors.confirm_enrolment(
        "acme", "ann", totp.at(world.now() // SECOND)
    )
    world.advance(30)
    challenge, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    code = totp.at(world.now() // SECOND)
    secret, token = await core.people.second_factors.complete_login(
        challenge, code, SessionRequest()
    )
    assert token.factor_at == world.now()
    ann = await core.people.sessions.authenticate(secret)
    await core.people.second_factors.remove_own(ann)
    [row, *_] = await core.people.sessions.list_own(ann)
    assert row.factor_at == 0
    await core.people.users.change_organization("beta", title=None, second_factor=True)
    with pytest.raises(AuthorizationError, match="second_factor_demanded"):
        await core.people.members.switch_organization(ann, "beta")


async def test_guests_who_did_not_show_it_are_put_out(core: Core, world: FakeWorld) -> None:
    """Once an organization demands one; whoever showed it stays."""
    ann = await guest(core)
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    await core.people.second_factors.confirm_enrolment(
        "acme", "ann", pyotp.TOTP(begun.secret).at(world.now() // SECOND)
    )
    other, _ = await core.people.members.switch_organization(ann, "beta")
    there = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(other)))
    ).caller
    await core.people.sessions.record_proof(there, factor=True)
    await core.people.users.change_organization("beta", title=None, second_factor=True)
    await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(other)))
    await core.people.users.change_organization("beta", title=None, second_factor=False)
    back, _ = await core.people.members.switch_organization(there, "acme")
    user = await core.people.users.get_user("acme", "ann")
    plain, _ = await core.federation.federation._session_opener.open_session(
        user, SessionRequest(acting="beta", trusted=True)
    )
    await core.people.sessions.authenticate(plain)
    await core.people.users.change_organization("beta", title=None, second_factor=True)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(plain)
    await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(back)))


async def test_an_account_that_goes_takes_its_memberships(core: Core) -> None:
    """Another of the same name is not let in by them."""
    await guest(core)
    await core.people.users.create_user(None, "acme", "own", Role.OWNER, PASSWORD)
    await core.people.users.delete_user(ROOT, "acme", "ann")
    assert await core.people.members.list_guests("beta") == []


async def test_a_guest_sees_no_credential_but_the_own(core: Core) -> None:
    """Those of everybody are for admins; a namesake at home there is somebody else."""
    ann = await guest(core, Role.VIEWER)
    await core.people.users.create_user(ROOT, "beta", "ann", Role.OWNER, PASSWORD)
    namesake, _ = await core.people.accounts.login("beta", "ann", PASSWORD)
    bea = await core.people.sessions.authenticate(namesake)
    secret, opened = await core.people.members.switch_organization(ann, "beta")
    there = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    assert [row.id for row in await core.people.accounts.list_tokens(there, "beta")] == [opened.id]
    assert [row.id for row in await core.people.accounts.list_tokens(bea, "beta")] == [bea.token]


async def test_nobody_takes_over_a_guest_of_another_organization(
    core: Core, world: FakeWorld
) -> None:
    """A home's admin sets no password and resets no factor of who may more elsewhere.

    Also in `platform`, whose owners are super-admins; what takes away stays theirs, and so does
    what they cover there themselves.
    """
    await core.people.users.create_user(None, "acme", "bob", Role.VIEWER, PASSWORD)
    begun = await core.people.second_factors.begin_enrolment("acme", "bob")
    await core.people.second_factors.confirm_enrolment(
        "acme", "bob", pyotp.TOTP(begun.secret).at(world.now() // SECOND)
    )
    ann = Caller("acme", "ann", Role.OWNER, "t")

    async def member(org: str, name: str, role: Role) -> None:
        row = Membership(org, "acme", name, role, "x", 1)
        await core.store.write(lambda tx: members.put_membership(tx, row, 1))

    async def try_all(by: Caller) -> None:
        for attempt in (
            core.people.users.set_password(by, "acme", "bob", PASSWORD),
            core.people.second_factors.reset_factor(by, "acme", "bob"),
        ):
            with pytest.raises(AuthorizationError, match="role_above_own"):
                await attempt

    await core.people.users.create_organization("beta", "Beta")
    await member("beta", "bob", Role.VIEWER)
    await try_all(ann)  # she is nobody there
    await member("beta", "bob", Role.OWNER)
    await member("beta", "ann", Role.ADMIN)
    await try_all(ann)
    await member("beta", "ann", Role.OWNER)
    await member(PLATFORM, "bob", Role.OWNER)
    await try_all(ann)
    await core.people.users.change_user(ann, "acme", "bob", role=None, disabled=True)
    await core.people.users.change_user(ann, "acme", "bob", role=None, disabled=False)
    await core.store.write(lambda tx: members.delete_membership(tx, PLATFORM, "acme", "bob", 2))
    await core.people.users.set_password(ann, "acme", "bob", PASSWORD)
    as_admin = Caller("acme", "ann", Role.ADMIN, "t")  # with a credential that is less
    await try_all(as_admin)
    await core.people.second_factors.reset_factor(ann, "acme", "bob")


async def test_a_guest_who_helps_is_measured_by_the_own_account(core: Core) -> None:
    """An admin from elsewhere sets no password of who is above in that admin's own home."""
    await core.people.users.create_organization("beta", "Beta")
    await core.people.users.create_user(None, "beta", "bea", Role.ADMIN, PASSWORD)
    await core.people.users.create_user(None, "acme", "bob", Role.VIEWER, PASSWORD)
    helper = Caller("acme", "bea", Role.ADMIN, "t", home="beta")
    for role in (Role.ADMIN, Role.OWNER):
        row = Membership("beta", "acme", "bob", role, "x", 1)
        await core.store.write(lambda tx, row=row: members.put_membership(tx, row, 1))
        if role is Role.ADMIN:
            await core.people.users.set_password(helper, "acme", "bob", PASSWORD)
    with pytest.raises(AuthorizationError, match="role_above_own"):
        await core.people.users.set_password(helper, "acme", "bob", PASSWORD)


async def test_a_guest_keeps_the_factor_that_another_organization_demands(
    core: Core, world: FakeWorld
) -> None:
    """Whatever one acts in while one takes it away."""
    ann = await guest(core)
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    await core.people.second_factors.confirm_enrolment(
        "acme", "ann", pyotp.TOTP(begun.secret).at(world.now() // SECOND)
    )
    await core.people.users.change_organization("beta", title=None, second_factor=True)
    assert (await core.people.second_factors.factor_status(ann)).demanded
    with pytest.raises(ConflictError, match="second_factor_demanded"):
        await core.people.second_factors.remove_own(ann)
    await core.store.write(lambda tx: members.delete_membership(tx, "beta", "acme", "ann", 2))
    await core.people.second_factors.remove_own(ann)
