"""Another authenticator in place of the one in force."""

import pytest

from actors.testing import FakeWorld
from control.authn.factor_replacement import REPLACEMENT_LIFETIME
from control.authn.lockout import MAX_FAILURES
from control.authn.session_opener import SessionRequest
from control.core import Core
from control.errors import AuthenticationError, AuthorizationError, ConflictError, UnavailableError
from control.model.operation import BrowserCredentials
from control.model.people import Caller, Role, TokenKind
from control.store import second_factors
from protocols.http.session_key import parts_of
from protocols.instant import SECOND
from tests.unit.control.authn.test_second_factors import ANN, armed, code, half
from tests.unit.control.conftest import PASSWORD, ROOT

WAY = SessionRequest(TokenKind.BROWSER)


async def test_it_takes_the_old_ones_place_at_once(core: Core, world: FakeWorld) -> None:
    """Also where one is demanded: the old one counts until the new one's first code, not after."""
    old, recovery = await armed(core, world)
    await core.people.users.change_organization("acme", title=None, second_factor=True)
    begun = await core.people.factor_replacement.begin_replacement(ANN, code(old, world))
    world.advance(30)
    assert await core.people.second_factors.verify_code(ANN, code(old, world))  # still in force
    assert not await core.people.second_factors.verify_code(ANN, code(begun.secret, world))
    made = await core.people.factor_replacement.confirm_replacement(ANN, code(begun.secret, world))
    world.advance(30)
    assert not await core.people.second_factors.verify_code(ANN, code(old, world))
    assert not await core.people.second_factors.verify_code(ANN, recovery[0])
    assert await core.people.second_factors.verify_code(ANN, code(begun.secret, world))
    assert await core.people.second_factors.verify_code(ANN, made[0])
    standing = await core.people.second_factors.factor_status(ANN)
    assert (standing.active, standing.recovery_codes) == (True, 9)


async def test_the_old_one_is_shown_first(core: Core, world: FakeWorld) -> None:
    """By a code or a recovery code, used up by it; a session that was stolen begins nothing."""
    old, recovery = await armed(core, world)
    for wrong in ("000000", "abcd-abcd-abcd-abcd", ""):
        with pytest.raises(AuthorizationError, match="code_wrong"):
            await core.people.factor_replacement.begin_replacement(ANN, wrong)
    shown = code(old, world)
    await core.people.factor_replacement.begin_replacement(ANN, shown)
    with pytest.raises(AuthorizationError, match="code_wrong"):
        await core.people.factor_replacement.begin_replacement(ANN, shown)
    begun = await core.people.factor_replacement.begin_replacement(ANN, recovery[0])
    with pytest.raises(AuthorizationError, match="code_wrong"):
        await core.people.factor_replacement.begin_replacement(ANN, recovery[0])
    await core.people.factor_replacement.confirm_replacement(ANN, code(begun.secret, world))


async def test_nothing_to_replace(core: Core, world: FakeWorld) -> None:
    """Without one in force, one sets one up; without a beginning nothing is confirmed."""
    with pytest.raises(ConflictError, match="second_factor_absent"):
        await core.people.factor_replacement.begin_replacement(ANN, "000000")
    await armed(core, world)
    with pytest.raises(ConflictError, match="replacement_absent"):
        await core.people.factor_replacement.confirm_replacement(ANN, "000000")


async def test_the_beginning_is_of_one_session_and_ten_minutes(
    core: Core, world: FakeWorld
) -> None:
    """Another session of the account does not end it; later it has to be begun anew; once."""
    _, recovery = await armed(core, world)
    begun = await core.people.factor_replacement.begin_replacement(ANN, recovery[0])
    other = Caller("acme", "ann", Role.OWNER, "t2")
    with pytest.raises(ConflictError, match="replacement_absent"):
        await core.people.factor_replacement.confirm_replacement(other, code(begun.secret, world))
    world.advance(REPLACEMENT_LIFETIME // SECOND)
    with pytest.raises(ConflictError, match="replacement_absent"):
        await core.people.factor_replacement.confirm_replacement(ANN, code(begun.secret, world))
    begun = await core.people.factor_replacement.begin_replacement(ANN, recovery[1])
    await core.people.factor_replacement.confirm_replacement(ANN, code(begun.secret, world))
    world.advance(30)
    with pytest.raises(ConflictError, match="replacement_absent"):
        await core.people.factor_replacement.confirm_replacement(ANN, code(begun.secret, world))


async def test_wrong_codes_of_the_new_one_lock(core: Core, world: FakeWorld) -> None:
    """It is not guessed: five, and no code of the account is looked at for 15 minutes."""
    old, recovery = await armed(core, world)
    begun = await core.people.factor_replacement.begin_replacement(ANN, recovery[0])
    for _ in range(MAX_FAILURES):
        with pytest.raises(AuthorizationError, match="code_wrong"):
            await core.people.factor_replacement.confirm_replacement(ANN, "000000")
    with pytest.raises(AuthorizationError, match="code_wrong"):
        await core.people.factor_replacement.confirm_replacement(ANN, code(begun.secret, world))
    assert not await core.people.second_factors.verify_code(ANN, code(old, world))


async def test_the_first_code_is_not_taken_again(core: Core, world: FakeWorld) -> None:
    """Nor does it sign in whoever saw it."""
    _, recovery = await armed(core, world)
    begun = await core.people.factor_replacement.begin_replacement(ANN, recovery[0])
    shown = code(begun.secret, world)
    await core.people.factor_replacement.confirm_replacement(ANN, shown)
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_login(await half(core), shown, WAY)


async def test_other_sessions_end(core: Core, world: FakeWorld) -> None:
    """What a thief of the old one signed in with is over; this session and API tokens stay."""
    await core.people.users.create_user(None, "acme", "bob", Role.ADMIN, PASSWORD)
    stays, _ = await core.people.accounts.login("acme", "bob", PASSWORD)
    sessions = [await core.people.accounts.login("acme", "ann", PASSWORD, WAY) for _ in range(2)]
    program, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    token, _ = await core.people.accounts.create_token(ANN, "ci", Role.VIEWER, 3600)
    (mine, _), (thiefs, _) = sessions
    caller = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(mine)))
    ).caller
    _, recovery = await armed(core, world)
    begun = await core.people.factor_replacement.begin_replacement(caller, recovery[0])
    await core.people.factor_replacement.confirm_replacement(caller, code(begun.secret, world))
    await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(mine)))
    await core.people.sessions.authenticate(token)
    await core.people.sessions.authenticate(stays)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(thiefs)))
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(program)


async def test_what_is_to_follow_is_sealed_apart(core: Core, world: FakeWorld) -> None:
    """Who moves it in the database puts nothing in force; a reset takes it away too."""
    _, recovery = await armed(core, world)
    begun = await core.people.factor_replacement.begin_replacement(ANN, recovery[0])
    row, following = await core.store.read(
        lambda tx: (
            second_factors.get_factor(tx, "acme", "ann"),
            second_factors.get_next_factor(tx, "acme", "ann"),
        )
    )
    assert row is not None
    assert following is not None
    assert begun.secret.encode() not in following.secret
    moved = type(row)("acme", "ann", following.secret, row.confirmed, 0, row.created_at)
    await core.store.write(lambda tx: second_factors.put_factor(tx, moved))
    with pytest.raises(UnavailableError, match="sealed_value"):
        await core.people.second_factors.verify_code(ANN, code(begun.secret, world))
    await core.people.second_factors.reset_factor(ROOT, "acme", "ann")
    gone = await core.store.read(lambda tx: second_factors.get_next_factor(tx, "acme", "ann"))
    assert gone is None
