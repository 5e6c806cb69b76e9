"""Credentials in use, and how each comes to its end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.authn.session_opener import SessionRequest
from control.authn.sessions import ActiveSession, check_same_origin
from control.core import Core
from control.errors import AuthenticationError, AuthorizationError, NotFoundError
from control.model.operation import BrowserCredentials, Operation, Origin
from control.model.people import Caller, Role, TokenKind
from control.store import people
from protocols.http.session_key import parts_of
from tests.unit.control.conftest import PASSWORD, ROOT

HERE = Origin("127.0.0.1", "a browser")
AT_BROWSER = SessionRequest(TokenKind.BROWSER, HERE)


async def opened(core: Core, name: str = "ann") -> tuple[str, ActiveSession]:
    """A session in a browser: its cookie, and who came with it."""
    secret, _ = await core.people.accounts.login("acme", name, PASSWORD, AT_BROWSER)
    return secret, await core.people.sessions.authenticate_browser(
        BrowserCredentials(*parts_of(secret))
    )


async def test_a_session_ends_by_itself_and_by_logout(core: Core, world: FakeWorld) -> None:
    """And the credential is worth nothing then."""
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    caller = await core.people.sessions.authenticate(secret)
    assert (caller.org, caller.name, caller.role) == ("acme", "ann", Role.OWNER)
    await core.people.sessions.logout(caller)
    other, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(secret)
    world.advance(12 * 3600)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(other)


@pytest.mark.parametrize("credential", [None, "", "fhs_nonsense", "\udcff"])
async def test_what_is_no_credential_is_refused(core: Core, credential: str | None) -> None:
    """Always the same error, as a bearer and as a cookie."""
    with pytest.raises(AuthenticationError, match="invalid credentials"):
        await core.people.sessions.authenticate(credential)
    with pytest.raises(AuthenticationError, match="invalid credentials"):
        await core.people.sessions.authenticate_browser(
            BrowserCredentials(credential or "", "fhk_key")
        )


async def test_each_credential_counts_in_its_place_alone(core: Core) -> None:
    """A cookie is no bearer credential, and a program's session no cookie."""
    cookie, _ = await opened(core)
    bearer, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(cookie)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(bearer)))


async def test_a_login_makes_a_new_secret(core: Core) -> None:
    """What a browser came with is never made its session (fixation); its old session ends."""
    first, _ = await opened(core)
    second, _ = await opened(core)
    assert first != second
    await core.people.sessions.end_browser_session(BrowserCredentials(*parts_of(first)))
    await core.people.sessions.end_browser_session(BrowserCredentials(*parts_of("planted")))
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(first)))
    await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(second)))


async def test_idle_in_a_browser_is_over_sooner(core: Core, world: FakeWorld) -> None:
    """Use prolongs it, by writes a minute apart, up to the absolute end."""
    secret, visit = await opened(core)
    world.advance(30)
    await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    kept = await core.store.read(lambda tx: people.get_token(tx, visit.token.digest))
    assert kept is not None
    assert kept.seen_at == visit.token.seen_at
    for _ in range(6):
        world.advance(7000)
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    world.advance(2000)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    secret, _ = await opened(core)
    world.advance(7200)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))


async def test_one_ends_ones_own_only(core: Core) -> None:
    """The list is of the caller's, with where they were opened."""
    await core.people.users.create_user(None, "acme", "bob", Role.OWNER, PASSWORD)
    _, ann = await opened(core)
    secret, bob = await opened(core, "bob")
    [row] = await core.people.sessions.list_own(ann.caller)
    assert (row.id, row.ip, row.user_agent) == (ann.token.id, "127.0.0.1", "a browser")
    with pytest.raises(NotFoundError):
        await core.people.sessions.end_own(ann.caller, bob.token.id)
    await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    await core.people.sessions.end_own(bob.caller, bob.token.id)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))


async def test_what_a_page_has_to_know(core: Core) -> None:
    """Which session it is in, whatever kind that is."""
    _, visit = await opened(core)
    assert (await core.people.sessions.token_of(visit.caller)).token == visit.token
    _, token = await core.people.accounts.login("acme", "ann", PASSWORD)
    caller = Caller("acme", "ann", Role.OWNER, token.id)
    assert (await core.people.sessions.token_of(caller)).token == token
    with pytest.raises(AuthenticationError):
        await core.people.sessions.token_of(Caller("acme", "ann", Role.OWNER, "gone"))


async def test_a_session_is_cookie_and_session_key(core: Core) -> None:
    """Neither alone, nor with another session's, nor the whole where a part belongs."""
    whole, _ = await opened(core)
    (cookie, key), (other, foreign) = parts_of(whole), parts_of((await opened(core))[0])
    assert len({cookie, key, other, foreign}) == 4
    for browser in (
        BrowserCredentials(cookie),
        BrowserCredentials(session_key=key),
        BrowserCredentials(cookie, foreign),
        BrowserCredentials(other, key),
        BrowserCredentials(key, cookie),
        BrowserCredentials(whole),
        BrowserCredentials(whole, key),
        BrowserCredentials(cookie, whole),
        BrowserCredentials(cookie[:3], f"{cookie[3:]}:{key}"),
    ):
        with pytest.raises(AuthenticationError):
            await core.people.sessions.authenticate_browser(browser)
        await core.people.sessions.end_browser_session(browser)  # nor does it end one
    for bearer in (whole, cookie, key):
        with pytest.raises(AuthenticationError):
            await core.people.sessions.authenticate(bearer)
    assert (
        await core.people.sessions.authenticate_browser(BrowserCredentials(cookie, key))
    ).caller.name == "ann"


async def test_a_cookie_alone_is_told_what_it_lacks(core: Core) -> None:
    """Whatever the cookie is; one that is unknown with a key is refused as anything is."""
    for cookie in ("fhs_nobodys", parts_of((await opened(core))[0])[0]):
        with pytest.raises(AuthenticationError, match="sign in again") as caught:
            await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
        assert caught.value.code == "session_key"
    with pytest.raises(AuthenticationError, match="invalid credentials"):
        await core.people.sessions.authenticate_browser(
            BrowserCredentials("fhs_nobodys", "fhk_nobodys")
        )


async def _end(core: Core, caller: Caller) -> None:
    await core.people.sessions.end_own(caller, caller.token)


async def _revoke(core: Core, caller: Caller) -> None:
    await core.people.accounts.revoke_token(ROOT, "acme", caller.token)


async def _lower(core: Core, _: Caller) -> None:
    await core.people.users.change_user(ROOT, "acme", "bob", role=Role.VIEWER, disabled=None)


async def _disable(core: Core, _: Caller) -> None:
    await core.people.users.change_user(ROOT, "acme", "bob", role=None, disabled=True)


async def _password(core: Core, _: Caller) -> None:
    await core.people.users.set_password(ROOT, "acme", "bob", PASSWORD + "!")


async def _delete(core: Core, _: Caller) -> None:
    await core.people.users.delete_user(ROOT, "acme", "bob")


@pytest.mark.parametrize("change", [_end, _revoke, _lower, _disable, _password, _delete])
async def test_a_live_connection_hears_at_once(
    core: Core, change: Callable[[Core, Caller], Awaitable[None]]
) -> None:
    """Logout, revocation, another role or password, no account: whoever waits is told."""
    await core.people.users.create_user(None, "acme", "bob", Role.ADMIN, PASSWORD)
    _, bob = await opened(core, "bob")
    _, ann = await opened(core)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.people.sessions.wait_ended, bob)
        nursery.start_soon(core.people.sessions.wait_ended, ann)
        await trio.testing.wait_all_tasks_blocked()
        await change(core, bob.caller)
        with trio.fail_after(10):  # less than the time after which the store is asked again
            while len(nursery.child_tasks) > 1:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_what_has_expired_has_ended(core: Core, world: FakeWorld) -> None:
    """Also for a session that another process has ended."""
    _, visit = await opened(core)
    world.advance(7200)
    await core.people.sessions.wait_ended(visit)
    _, visit = await opened(core)
    await core.store.write(lambda tx: people.delete_token(tx, "acme", visit.token.id))
    await core.people.sessions.wait_ended(visit)


async def _put(core: Core, **changed: Any) -> None:
    """Change ann's row as no service does: her sessions stay."""

    def change(tx: Any) -> None:
        ann = people.get_user(tx, "acme", "ann")
        assert ann is not None
        people.put_user(tx, replace(ann, **changed))

    await core.store.write(change)


async def test_a_credential_is_never_more_than_its_owner(core: Core) -> None:
    """Whatever ended no session: the smaller role counts, and of a disabled account nothing."""
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    await _put(core, role=Role.VIEWER)
    assert (await core.people.sessions.authenticate(secret)).role is Role.VIEWER
    await _put(core, role=Role.OWNER, disabled=True)
    with pytest.raises(AuthenticationError, match="invalid credentials"):
        await core.people.sessions.authenticate(secret)


async def test_a_live_connection_does_not_outlive_its_rights(core: Core) -> None:
    """Another process may have changed them and tell nobody here: a look at the store finds it."""
    _, visit = await opened(core)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(core.people.sessions.wait_ended, visit)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
    await _put(core, role=Role.VIEWER)
    with trio.fail_after(10):  # less than the time after which it would be looked at again
        await core.people.sessions.wait_ended(visit)


def test_a_cookie_alone_changes_nothing() -> None:
    """A change by cookie needs our own page; a bearer credential, and a read, do not."""

    def op(credential: str | None, *, guarded: bool) -> Operation:
        return Operation(
            name="t", request_id="r", credential=credential, origin=HERE, guarded=guarded
        )

    check_same_origin(op("bearer", guarded=True))
    check_same_origin(op(None, guarded=False))
    with pytest.raises(AuthorizationError, match="csrf"):
        check_same_origin(op(None, guarded=True))


async def test_an_api_token_is_no_person(core: Core) -> None:
    """Never too old for what is dangerous, and never enough for what one signs in with."""
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    person = await core.people.sessions.authenticate(secret)
    token, _ = await core.people.accounts.create_token(person, "", Role.OWNER, 60)
    program = await core.people.sessions.authenticate(token)
    core.people.sessions.check_fresh(program)
    core.people.sessions.check_person(person)
    with pytest.raises(AuthorizationError, match="person_needed"):
        core.people.sessions.check_person(program)


async def test_what_a_clock_that_was_ahead_has_issued_is_refused(
    core: Core, world: FakeWorld
) -> None:
    """Session, API token and half a session, once it is right; what it had before counts again."""
    before, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    caller = await core.people.sessions.authenticate(before)
    world.step_wall(400 * 86_400)
    secrets = [(await core.people.accounts.login("acme", "ann", PASSWORD))[0]]
    secrets.append((await core.people.accounts.create_token(caller, "ci", Role.VIEWER, 3600))[0])
    cookie, _ = await opened(core)
    for secret in secrets:
        await core.people.sessions.authenticate(secret)
    world.step_wall(-400 * 86_400)
    for secret in secrets:
        with pytest.raises(AuthenticationError):
            await core.people.sessions.authenticate(secret)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
    assert await core.people.sessions.authenticate(before)
    assert [one.id for one in await core.people.sessions.list_own(caller)] == [caller.token]


async def test_who_has_shown_it_by_a_clock_that_was_ahead_shows_it_again(
    core: Core, world: FakeWorld
) -> None:
    """A session of before the jump, that lasts longer than it."""
    secret, _ = await opened(core)
    world.step_wall(3600 / 4)
    caller = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    await core.people.sessions.record_proof(caller, factor=False)
    world.step_wall(-3600 / 4)
    caller = (
        await core.people.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    with pytest.raises(AuthorizationError, match="step_up"):
        core.people.sessions.check_fresh(caller)
