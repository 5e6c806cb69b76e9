"""A second factor: set up, asked for, taken once, and lost."""

from contextlib import suppress

import pyotp
import pytest
import trio

from actors.testing import FakeWorld
from control.authn.attempts import MAX_FAILURES
from control.authn.second_factors import (
    CODE_COUNT,
    REPLACEMENT_LIFETIME,
    new_recovery_codes,
    recovery_code_digest,
)
from control.authn.session_opener import ENROLMENT, MAX_TOKENS, SECOND_FACTOR, SessionRequest
from control.core import Core
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from control.model.operation import BrowserCredentials
from control.model.people import Caller, Role, TokenKind
from control.store import second_factors
from protocols.http.session_key import parts_of
from protocols.instant import SECOND
from tests.unit.control.conftest import PASSWORD, ROOT

ANN = Caller("acme", "ann", Role.OWNER, "t")
WAY = SessionRequest(TokenKind.BROWSER)


def code(secret: str, world: FakeWorld) -> str:
    """What the authenticator shows."""
    return pyotp.TOTP(secret).at(world.now() // SECOND)


async def armed(core: Core, world: FakeWorld) -> tuple[str, list[str]]:
    """Ann's secret and recovery codes, the factor in force, the next code not used yet."""
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    codes = await core.people.second_factors.confirm_enrolment(
        "acme", "ann", code(begun.secret, world)
    )
    world.advance(30)
    return begun.secret, codes


async def half(core: Core) -> str:
    """The challenge, after the password."""
    challenge, token = await core.people.accounts.login("acme", "ann", PASSWORD, WAY)
    assert (token.kind, token.label) == (TokenKind.HALF, SECOND_FACTOR)
    return challenge


async def test_it_is_not_in_force_before_its_first_code(core: Core, world: FakeWorld) -> None:
    """So that nobody is locked out by a picture that was never scanned."""
    begun = await core.people.second_factors.begin_enrolment("acme", "ann")
    again = await core.people.second_factors.begin_enrolment("acme", "ann")
    assert await core.people.second_factors.active_holders("acme", ["ann", "nobody"]) == set()
    _, token = await core.people.accounts.login("acme", "ann", PASSWORD)
    assert token.kind is TokenKind.SESSION
    with pytest.raises(AuthorizationError, match="code_wrong"):
        await core.people.second_factors.confirm_enrolment("acme", "ann", code(begun.secret, world))
    await core.people.second_factors.confirm_enrolment("acme", "ann", code(again.secret, world))
    standing = await core.people.second_factors.factor_status(ANN)
    assert (standing.active, standing.demanded, standing.recovery_codes) == (True, False, 10)
    assert await core.people.second_factors.active_holders("acme", ["ann", "nobody"]) == {"ann"}
    assert await core.people.second_factors.active_holders("globex", ["ann"]) == set()
    for call in (
        core.people.second_factors.begin_enrolment("acme", "ann"),
        core.people.second_factors.confirm_enrolment("acme", "ann", "1"),
    ):
        with pytest.raises(ConflictError):
            await call


async def test_no_recovery_code_puts_one_in_force(core: Core) -> None:
    """Only the new authenticator does, even if codes of another were left."""
    await core.people.second_factors.begin_enrolment("acme", "ann")
    left = recovery_code_digest("acme", "ann", "abcd")
    await core.store.write(lambda tx: second_factors.put_recovery_codes(tx, "acme", "ann", [left]))
    with pytest.raises(AuthorizationError, match="code_wrong"):
        await core.people.second_factors.confirm_enrolment("acme", "ann", "abcd")
    assert await core.people.second_factors.active_holders("acme", ["ann"]) == set()


async def test_a_half_session_is_good_for_the_code_alone(core: Core, world: FakeWorld) -> None:
    """Neither as a bearer nor as a cookie; for five minutes; and once."""
    secret, _ = await armed(core, world)
    challenge = await half(core)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(challenge)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(challenge)))
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.find_half_session(
            challenge, ENROLMENT
        )  # another one would stand beside it
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_enrolment(challenge, code(secret, world), WAY)
    cookie, token = await core.people.second_factors.complete_login(
        challenge, code(secret, world), WAY
    )
    assert token.kind is TokenKind.BROWSER
    assert (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
    ).caller.actor == "acme/ann"
    world.advance(30)
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_login(challenge, code(secret, world), WAY)
    challenge = await half(core)
    world.advance(300)
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_login(challenge, code(secret, world), WAY)


async def test_a_hundred_uses_at_once_are_one(core: Core, world: FakeWorld) -> None:
    """A code that somebody looked over a shoulder for is worth nothing (CVE-2025-6014)."""
    secret, _ = await armed(core, world)
    challenges = [await half(core) for _ in range(20)]
    shown, done = code(secret, world), []

    async def use(challenge: str) -> None:
        with suppress(AuthenticationError):
            done.append(await core.people.second_factors.complete_login(challenge, shown, WAY))

    async with trio.open_nursery() as nursery:
        for challenge in challenges * 5:
            nursery.start_soon(use, challenge)
    assert len(done) == 1


async def test_five_wrong_codes_lock(core: Core, world: FakeWorld) -> None:
    """Across challenges; the password does not free it, and the right code does not either."""
    secret, recovery = await armed(core, world)
    for _ in range(MAX_FAILURES):
        with pytest.raises(AuthenticationError):
            await core.people.second_factors.complete_login(await half(core), "000000", WAY)
    for right in (code(secret, world), recovery[0]):
        with pytest.raises(AuthenticationError):
            await core.people.second_factors.complete_login(await half(core), right, WAY)
    world.advance(15 * 60)
    await core.people.second_factors.complete_login(await half(core), code(secret, world), WAY)


async def test_recovery_codes_are_good_once(core: Core, world: FakeWorld) -> None:
    """Any of them, however it is typed; new ones end the old ones."""
    _, recovery = await armed(core, world)
    await core.people.second_factors.complete_login(
        await half(core), recovery[3].upper().replace("-", " "), WAY
    )
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_login(await half(core), recovery[3], WAY)
    assert (await core.people.second_factors.factor_status(ANN)).recovery_codes == 9
    fresh = await core.people.second_factors.renew_recovery_codes(ANN)
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_login(await half(core), recovery[4], WAY)
    await core.people.second_factors.complete_login(await half(core), fresh[4], WAY)


async def test_an_organization_may_demand_it(core: Core, world: FakeWorld) -> None:
    """Whoever has none is signed out, and gets in by setting one up; it cannot be removed."""
    session, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    await core.people.users.change_organization("acme", title=None, second_factor=True)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(session)
    challenge, token = await core.people.accounts.login("acme", "ann", PASSWORD)
    assert (token.kind, token.label) == (TokenKind.HALF, ENROLMENT)
    with pytest.raises(AuthenticationError):
        await core.people.second_factors.complete_login(challenge, "000000", WAY)
    who = await core.people.second_factors.find_half_session(challenge, ENROLMENT)
    begun = await core.people.second_factors.begin_enrolment(who.org, who.name)
    with pytest.raises(AuthorizationError, match="code_wrong"):
        await core.people.second_factors.complete_enrolment(challenge, "000000", WAY)
    shown = code(begun.secret, world)
    cookie, _, recovery = await core.people.second_factors.complete_enrolment(challenge, shown, WAY)
    assert len(recovery) == 10
    caller = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
    ).caller
    with pytest.raises(ConflictError, match="second_factor_demanded"):
        await core.people.second_factors.remove_own(caller)


async def test_who_lost_it_is_helped(core: Core, world: FakeWorld) -> None:
    """By an admin who is not below; every credential ends, so a thief's does."""
    await armed(core, world)
    secret, _ = await core.people.accounts.create_token(ANN, "ci", Role.VIEWER, 600)
    admin = Caller("acme", "adm", Role.ADMIN, "t")
    with pytest.raises(AuthorizationError, match="role_above_own"):
        await core.people.second_factors.reset_factor(admin, "acme", "ann")
    await core.people.second_factors.reset_factor(ROOT, "acme", "ann")
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(secret)
    with pytest.raises(NotFoundError):
        await core.people.second_factors.reset_factor(ROOT, "acme", "ann")
    _, token = await core.people.accounts.login("acme", "ann", PASSWORD)
    assert token.kind is TokenKind.SESSION


async def test_one_proves_and_removes_ones_own(core: Core, world: FakeWorld) -> None:
    """A code proves once; who has no factor is told so, to give the password."""
    assert await core.people.second_factors.verify_code(ANN, "000000") is None
    secret, _ = await armed(core, world)
    shown = code(secret, world)
    assert await core.people.second_factors.verify_code(ANN, shown)
    assert not await core.people.second_factors.verify_code(ANN, shown)
    await core.people.second_factors.remove_own(ANN)
    with pytest.raises(NotFoundError):
        await core.people.second_factors.remove_own(ANN)
    with pytest.raises(ConflictError):
        await core.people.second_factors.renew_recovery_codes(ANN)


async def test_the_secret_is_sealed_to_its_account(core: Core, world: FakeWorld) -> None:
    """It is not in the database in clear, and a row that is moved to somebody else fails."""
    secret, _ = await armed(core, world)
    row = await core.store.read(lambda tx: second_factors.get_factor(tx, "acme", "ann"))
    assert row is not None
    assert secret.encode() not in row.secret
    await core.people.users.create_user(None, "acme", "bob", Role.ADMIN, PASSWORD)
    moved = type(row)("acme", "bob", row.secret, row.confirmed, 0, row.created_at)
    await core.store.write(lambda tx: second_factors.put_factor(tx, moved))
    with pytest.raises(UnavailableError, match="sealed_value"):
        await core.people.second_factors.verify_code(
            Caller("acme", "bob", Role.ADMIN, "t"), code(secret, world)
        )


async def test_a_password_alone_ends_nobodys_session(core: Core, world: FakeWorld) -> None:
    """Who begins to sign in a hundred times, without the code, pushes out their own beginnings."""
    secret, _ = await armed(core, world)
    cookie, _ = await core.people.second_factors.complete_login(
        await half(core), code(secret, world), WAY
    )
    for _ in range(MAX_TOKENS + 5):
        await half(core)
    assert (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
    ).caller.actor == "acme/ann"


def test_they_are_many_and_long() -> None:
    """80 bits each, none twice."""
    codes = new_recovery_codes()
    assert len(set(codes)) == CODE_COUNT
    assert all(len(code.replace("-", "")) == 16 for code in codes)


def test_typing_does_not_matter_and_the_account_does() -> None:
    """Case, spaces and hyphens are for people; a code of another account is another one."""
    assert recovery_code_digest("acme", "ann", "ABCD efgh-ijkl mnop") == recovery_code_digest(
        "acme", "ann", "abcdefghijklmnop"
    )
    assert recovery_code_digest("acme", "ann", "x") != recovery_code_digest("acme", "bob", "x")


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
