"""Sessions for whoever was recognised."""

import pytest

from actors.testing import FakeWorld
from control.authn.session_opener import SessionRequest
from control.core import Core
from control.errors import AuthenticationError, AuthorizationError
from control.model.people import Caller, Role, TokenKind
from tests.unit.control.conftest import PASSWORD, ROOT


async def test_who_changed_meanwhile_is_not_let_in(core: Core) -> None:
    """A password that was right before the account was disabled is right too late."""
    user = await core.people.accounts.verify_password("acme", "ann", PASSWORD)
    await core.people.users.set_password(ROOT, "acme", "ann", PASSWORD + "!")
    login = core.people.accounts._opening.open_session
    with pytest.raises(AuthenticationError):
        await login(user, SessionRequest())


async def test_where_one_is_no_member_one_does_not_act(core: Core) -> None:
    """Not even with the right password."""
    with pytest.raises(AuthorizationError, match="not_a_member"):
        await core.people.accounts.login("acme", "ann", PASSWORD, SessionRequest(acting="platform"))


async def test_who_signed_in_lately_is_fresh(core: Core, world: FakeWorld) -> None:
    """After ten minutes one shows again who one is; a program is never asked."""
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    caller = await core.people.sessions.authenticate(secret)
    program, _ = await core.people.accounts.create_token(caller, "", Role.OWNER, 7200)
    world.advance(600)
    core.people.sessions.check_fresh(await core.people.sessions.authenticate(secret))
    world.advance(1)
    with pytest.raises(AuthorizationError, match="step_up"):
        core.people.sessions.check_fresh(await core.people.sessions.authenticate(secret))
    await core.people.sessions.record_proof(caller, factor=False)
    core.people.sessions.check_fresh(await core.people.sessions.authenticate(secret))
    world.advance(3600)
    core.people.sessions.check_fresh(await core.people.sessions.authenticate(program))


async def test_a_session_is_of_the_kind_that_was_asked_for(core: Core) -> None:
    """And a full one of nobody's else."""
    _, token = await core.people.accounts.login(
        "acme", "ann", PASSWORD, SessionRequest(TokenKind.BROWSER)
    )
    assert (token.kind, token.org, token.user) == (TokenKind.BROWSER, "acme", "ann")
    assert isinstance(Caller("acme", "ann", Role.OWNER, "t").account, tuple)
