"""Credentials in use, and how each comes to its end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.api.control_plane import ControlPlane
from control.authn.session_opener import SessionRequest
from control.authn.sessions import ActiveSession, check_same_origin
from control.errors import AuthenticationError, AuthorizationError, NotFoundError
from control.model.operation import BrowserCredentials, Operation, Origin
from control.model.people import Caller, Role, TokenKind
from control.store import people
from protocols.http.session_key import parts_of
from tests.unit.control.conftest import PASSWORD, ROOT

HERE = Origin("127.0.0.1", "a browser")
AT_BROWSER = SessionRequest(TokenKind.BROWSER, HERE)


async def opened(plane: ControlPlane, name: str = "ann") -> tuple[str, ActiveSession]:
    """A session in a browser: its cookie, and who came with it."""
    secret, _ = await plane.accounts.login("acme", name, PASSWORD, AT_BROWSER)
    return secret, await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))


async def test_a_session_ends_by_itself_and_by_logout(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """And the credential is worth nothing then."""
    secret, _ = await plane.accounts.login("acme", "ann", PASSWORD)
    caller = await plane.sessions.authenticate(secret)
    assert (caller.org, caller.name, caller.role) == ("acme", "ann", Role.OWNER)
    await plane.sessions.logout(caller)
    other, _ = await plane.accounts.login("acme", "ann", PASSWORD)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate(secret)
    world.advance(12 * 3600)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate(other)


@pytest.mark.parametrize("credential", [None, "", "fhs_nonsense", "\udcff"])
async def test_what_is_no_credential_is_refused(
    plane: ControlPlane, credential: str | None
) -> None:
    """Always the same error, as a bearer and as a cookie."""
    with pytest.raises(AuthenticationError, match="do not count"):
        await plane.sessions.authenticate(credential)
    with pytest.raises(AuthenticationError, match="do not count"):
        await plane.sessions.authenticate_browser(BrowserCredentials(credential or "", "fhk_key"))


async def test_each_credential_counts_in_its_place_alone(plane: ControlPlane) -> None:
    """A cookie is no bearer credential, and a program's session no cookie."""
    cookie, _ = await opened(plane)
    bearer, _ = await plane.accounts.login("acme", "ann", PASSWORD)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate(cookie)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(bearer)))


async def test_a_login_makes_a_new_secret(plane: ControlPlane) -> None:
    """What a browser came with is never made its session (fixation); its old session ends."""
    first, _ = await opened(plane)
    second, _ = await opened(plane)
    assert first != second
    await plane.sessions.end_browser_session(BrowserCredentials(*parts_of(first)))
    await plane.sessions.end_browser_session(BrowserCredentials(*parts_of("planted")))
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(first)))
    await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(second)))


async def test_idle_in_a_browser_is_over_sooner(plane: ControlPlane, world: FakeWorld) -> None:
    """Use prolongs it, by writes a minute apart, up to the absolute end."""
    secret, visit = await opened(plane)
    world.advance(30)
    await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    kept = await plane.store.read(lambda tx: people.get_token(tx, visit.token.digest))
    assert kept is not None
    assert kept.seen_at == visit.token.seen_at
    for _ in range(6):
        world.advance(7000)
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    world.advance(2000)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    secret, _ = await opened(plane)
    world.advance(7200)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))


async def test_one_ends_ones_own_only(plane: ControlPlane) -> None:
    """The list is of the caller's, with where they were opened."""
    await plane.users.create_user(None, "acme", "bob", Role.OWNER, PASSWORD)
    _, ann = await opened(plane)
    secret, bob = await opened(plane, "bob")
    [row] = await plane.sessions.list_own(ann.caller)
    assert (row.id, row.ip, row.user_agent) == (ann.token.id, "127.0.0.1", "a browser")
    with pytest.raises(NotFoundError):
        await plane.sessions.end_own(ann.caller, bob.token.id)
    await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    await plane.sessions.end_own(bob.caller, bob.token.id)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))


async def test_what_a_page_has_to_know(plane: ControlPlane) -> None:
    """Which session it is in, whatever kind that is."""
    _, visit = await opened(plane)
    assert (await plane.sessions.token_of(visit.caller)).token == visit.token
    _, token = await plane.accounts.login("acme", "ann", PASSWORD)
    caller = Caller("acme", "ann", Role.OWNER, token.id)
    assert (await plane.sessions.token_of(caller)).token == token
    with pytest.raises(AuthenticationError):
        await plane.sessions.token_of(Caller("acme", "ann", Role.OWNER, "gone"))


async def test_a_session_is_cookie_and_session_key(plane: ControlPlane) -> None:
    """Neither alone, nor with another session's, nor the whole where a part belongs."""
    whole, _ = await opened(plane)
    (cookie, key), (other, foreign) = parts_of(whole), parts_of((await opened(plane))[0])
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
            await plane.sessions.authenticate_browser(browser)
        await plane.sessions.end_browser_session(browser)  # nor does it end one
    for bearer in (whole, cookie, key):
        with pytest.raises(AuthenticationError):
            await plane.sessions.authenticate(bearer)
    assert (
        await plane.sessions.authenticate_browser(BrowserCredentials(cookie, key))
    ).caller.name == "ann"


async def test_a_cookie_alone_is_told_what_it_lacks(plane: ControlPlane) -> None:
    """Whatever the cookie is; one that is unknown with a key is refused as anything is."""
    for cookie in ("fhs_nobodys", parts_of((await opened(plane))[0])[0]):
        with pytest.raises(AuthenticationError, match="sign in again") as caught:
            await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
        assert caught.value.code == "session_key"
    with pytest.raises(AuthenticationError, match="do not count"):
        await plane.sessions.authenticate_browser(BrowserCredentials("fhs_nobodys", "fhk_nobodys"))


async def _end(plane: ControlPlane, caller: Caller) -> None:
    await plane.sessions.end_own(caller, caller.token)


async def _revoke(plane: ControlPlane, caller: Caller) -> None:
    await plane.accounts.revoke_token(ROOT, "acme", caller.token)


async def _lower(plane: ControlPlane, _: Caller) -> None:
    await plane.users.change_user(ROOT, "acme", "bob", role=Role.VIEWER, disabled=None)


async def _disable(plane: ControlPlane, _: Caller) -> None:
    await plane.users.change_user(ROOT, "acme", "bob", role=None, disabled=True)


async def _password(plane: ControlPlane, _: Caller) -> None:
    await plane.users.set_password(ROOT, "acme", "bob", PASSWORD + "!")


async def _delete(plane: ControlPlane, _: Caller) -> None:
    await plane.users.delete_user(ROOT, "acme", "bob")


@pytest.mark.parametrize("change", [_end, _revoke, _lower, _disable, _password, _delete])
async def test_a_live_connection_hears_at_once(
    plane: ControlPlane, change: Callable[[ControlPlane, Caller], Awaitable[None]]
) -> None:
    """Logout, revocation, another role or password, no account: whoever waits is told."""
    await plane.users.create_user(None, "acme", "bob", Role.ADMIN, PASSWORD)
    _, bob = await opened(plane, "bob")
    _, ann = await opened(plane)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plane.sessions.wait_ended, bob)
        nursery.start_soon(plane.sessions.wait_ended, ann)
        await trio.testing.wait_all_tasks_blocked()
        await change(plane, bob.caller)
        with trio.fail_after(10):  # less than the time after which the store is asked again
            while len(nursery.child_tasks) > 1:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_what_has_expired_has_ended(plane: ControlPlane, world: FakeWorld) -> None:
    """Also for a session that another process has ended."""
    _, visit = await opened(plane)
    world.advance(7200)
    await plane.sessions.wait_ended(visit)
    _, visit = await opened(plane)
    await plane.store.write(lambda tx: people.delete_token(tx, "acme", visit.token.id))
    await plane.sessions.wait_ended(visit)


async def _put(plane: ControlPlane, **changed: Any) -> None:
    """Change ann's row as no service does: her sessions stay."""

    def change(tx: Any) -> None:
        ann = people.get_user(tx, "acme", "ann")
        assert ann is not None
        people.put_user(tx, replace(ann, **changed))

    await plane.store.write(change)


async def test_a_credential_is_never_more_than_its_owner(plane: ControlPlane) -> None:
    """Whatever ended no session: the smaller role counts, and of a disabled account nothing."""
    secret, _ = await plane.accounts.login("acme", "ann", PASSWORD)
    await _put(plane, role=Role.VIEWER)
    assert (await plane.sessions.authenticate(secret)).role is Role.VIEWER
    await _put(plane, role=Role.OWNER, disabled=True)
    with pytest.raises(AuthenticationError, match="do not count"):
        await plane.sessions.authenticate(secret)


async def test_a_live_connection_does_not_outlive_its_rights(plane: ControlPlane) -> None:
    """Another process may have changed them and tell nobody here: a look at the store finds it."""
    _, visit = await opened(plane)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plane.sessions.wait_ended, visit)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
    await _put(plane, role=Role.VIEWER)
    with trio.fail_after(10):  # less than the time after which it would be looked at again
        await plane.sessions.wait_ended(visit)


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


async def test_an_api_token_is_no_person(plane: ControlPlane) -> None:
    """Never too old for what is dangerous, and never enough for what one signs in with."""
    secret, _ = await plane.accounts.login("acme", "ann", PASSWORD)
    person = await plane.sessions.authenticate(secret)
    token, _ = await plane.accounts.create_token(person, "", Role.OWNER, 60)
    program = await plane.sessions.authenticate(token)
    plane.sessions.check_fresh(program)
    plane.sessions.check_person(person)
    with pytest.raises(AuthorizationError, match="person_needed"):
        plane.sessions.check_person(program)


async def test_what_a_clock_that_was_ahead_has_issued_is_refused(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """Session, API token and half a session, once it is right; what it had before counts again."""
    before, _ = await plane.accounts.login("acme", "ann", PASSWORD)
    caller = await plane.sessions.authenticate(before)
    world.step_wall(400 * 86_400)
    secrets = [(await plane.accounts.login("acme", "ann", PASSWORD))[0]]
    secrets.append((await plane.accounts.create_token(caller, "ci", Role.VIEWER, 3600))[0])
    cookie, _ = await opened(plane)
    for secret in secrets:
        await plane.sessions.authenticate(secret)
    world.step_wall(-400 * 86_400)
    for secret in secrets:
        with pytest.raises(AuthenticationError):
            await plane.sessions.authenticate(secret)
    with pytest.raises(AuthenticationError):
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(cookie)))
    assert await plane.sessions.authenticate(before)
    assert [one.id for one in await plane.sessions.list_own(caller)] == [caller.token]


async def test_who_has_shown_it_by_a_clock_that_was_ahead_shows_it_again(
    plane: ControlPlane, world: FakeWorld
) -> None:
    """A session of before the jump, that lasts longer than it."""
    secret, _ = await opened(plane)
    world.step_wall(3600 / 4)
    caller = (
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    await plane.sessions.record_proof(caller, factor=False)
    world.step_wall(-3600 / 4)
    caller = (
        await plane.sessions.authenticate_browser(BrowserCredentials(*parts_of(secret)))
    ).caller
    with pytest.raises(AuthorizationError, match="step_up"):
        plane.sessions.check_fresh(caller)
