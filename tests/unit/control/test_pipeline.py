"""The one way through: who, whether, on record before and after."""

import pytest
import trio
import trio.testing

from actors.testing import FakeWorld
from control.authn.session_opener import SessionRequest
from control.core import Core
from control.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    InternalError,
    NotFoundError,
    UnavailableError,
)
from control.model.operation import BrowserCredentials, Operation, Origin
from control.model.people import PLATFORM, Caller, Role, TokenKind
from control.pipeline import authorize
from control.store import people, read_scope
from protocols.http.session_key import parts_of
from tests.unit.control.conftest import PASSWORD, ROOT


def operation(credential: str | None = None, **fields: object) -> Operation:
    """One in acme."""
    plain = {"name": "t.op", "request_id": "r", "origin": Origin(), "org": "acme", **fields}
    return Operation(credential=credential, **plain)  # type: ignore[arg-type]


async def session(core: Core) -> str:
    """Ann's."""
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    return secret


async def phases(core: Core) -> list[tuple[str, str, str]]:
    """What is on record, oldest first."""
    found = await core.audit.log.newest_events("acme", 0, 99)
    return [(e.phase, e.result, e.code) for e in reversed(found)]


def test_who_may_what() -> None:
    """Own organization by role; another one is not found; the platform's owner may all."""
    viewer = Caller("acme", "v", Role.VIEWER, "t")
    authorize(operation(), viewer)
    authorize(operation(org="other", role=Role.OWNER), ROOT)
    authorize(operation(org="other", any_authenticated=True), viewer)
    with pytest.raises(AuthorizationError):
        authorize(operation(role=Role.OPERATOR), viewer)
    with pytest.raises(AuthorizationError):
        authorize(operation(org=""), viewer)
    for stranger in (
        Caller("other", "o", Role.OWNER, "t"),
        Caller("acme-2", "o", Role.OWNER, "t"),
        Caller(PLATFORM, "a", Role.ADMIN, "t"),
    ):
        with pytest.raises(NotFoundError):
            authorize(operation(), stranger)


async def test_a_change_is_on_record_before_and_after(core: Core) -> None:
    """The intent is there while it happens; a failure says so; a read leaves nothing."""
    seen = []

    async def handle(_: Caller) -> str:
        seen.extend(await phases(core))
        return "done"

    async def fail(_: Caller) -> str:
        raise ConflictError("clash", "no")

    secret = await session(core)
    assert await core.pipeline.run(operation(secret), handle) == "done"
    assert seen == []
    assert await core.pipeline.run(operation(secret, mutates=True), handle) == "done"
    assert seen == [("intent", "ok", "")]
    with pytest.raises(ConflictError):
        await core.pipeline.run(operation(secret, mutates=True), fail)
    assert (await phases(core))[1:] == [
        ("outcome", "ok", ""),
        ("intent", "ok", ""),
        ("outcome", "failed", "clash"),
    ]


async def test_a_cookie_changes_nothing_by_itself(core: Core) -> None:
    """What another site made the browser send is refused before anything happens, on record."""
    secret, _ = await core.people.accounts.login(
        "acme", "ann", PASSWORD, SessionRequest(TokenKind.BROWSER)
    )

    async def handle(_: Caller) -> str:
        return "done"

    forged = BrowserCredentials(*parts_of(secret), same_origin=False)
    with pytest.raises(AuthorizationError, match="csrf"):
        await core.pipeline.run(operation(browser=forged, guarded=True, mutates=True), handle)
    assert await phases(core) == [("outcome", "denied", "csrf")]
    ours = BrowserCredentials(*parts_of(secret), same_origin=True)
    asked = operation(browser=ours, guarded=True, mutates=True)
    assert await core.pipeline.run(asked, handle) == "done"


async def test_a_cookie_alone_is_on_the_platforms_trail_at_one_pace(core: Core) -> None:
    """Whatever it was shown to, reading too; nobody's name stands there, and no organization's."""

    async def handle(_: Caller) -> str:
        return "done"

    secret, _ = await core.people.accounts.login(
        "acme", "ann", PASSWORD, SessionRequest(TokenKind.BROWSER)
    )
    stolen = BrowserCredentials(parts_of(secret)[0], same_origin=True)
    for number in range(6):
        for mutates in (False, True):
            op = operation(name=f"t.op{number}", browser=stolen, guarded=mutates, mutates=mutates)
            with pytest.raises(AuthenticationError, match="session_key"):
                await core.pipeline.run(op, handle)
    rows = await core.audit.log.newest_events(PLATFORM, 0, 99)
    assert [(row.code, row.actor) for row in rows] == [("session_key", "")] * 10
    assert await phases(core) == []
    await core.pipeline.anonymous_refusals.record_suppressed()
    [told] = await core.audit.log.newest_events(PLATFORM, 0, 1)
    assert (told.operation, told.detail["count"]) == ("sessions.cookie_alone", 2)


async def test_what_another_site_tries_without_a_session_is_on_record(core: Core) -> None:
    """Also where nothing else of the operation is: to begin a login for somebody, for instance."""

    async def forged(_: Caller) -> None:
        raise AuthorizationError("csrf", "from a page of this control plane")

    async def absent(_: Caller) -> None:
        raise NotFoundError("not_found", "nothing")

    with pytest.raises(NotFoundError):
        await core.pipeline.run(operation(public=True), absent)
    assert await phases(core) == []
    with pytest.raises(AuthorizationError):
        await core.pipeline.run(operation(public=True), forged)
    assert await phases(core) == [("outcome", "denied", "csrf")]


@pytest.mark.parametrize("mutates", [False, True])
async def test_strangers_do_not_fill_the_disk(core: Core, *, mutates: bool) -> None:
    """Ten of a client are on record, the rest is counted; the known have a pace of their own."""

    async def forged(_: Caller) -> None:
        raise AuthorizationError("csrf", "from a page of this control plane")

    for _ in range(15):
        with pytest.raises(AuthorizationError):
            await core.pipeline.run(operation(public=True, mutates=mutates), forged)
    assert len(await phases(core)) == 10
    await core.pipeline.anonymous_refusals.record_suppressed()
    [told] = await core.audit.log.newest_events(PLATFORM, 0, 9)
    assert (told.operation, told.detail["count"]) == ("t.op", 5)
    secret = await session(core)
    for _ in range(9):
        with pytest.raises(AuthorizationError):
            await core.pipeline.run(operation(secret), forged)
    assert len(await phases(core)) == 19


async def test_a_caller_does_not_fill_the_trail_with_refusals(core: Core, world: FakeWorld) -> None:
    """Ten of an operation at once and ten an hour are on record, the rest counted.

    All changes are on record, and refusals of another operation.
    """

    async def handle(_: Caller) -> None:
        return None

    secret = await session(core)
    for _ in range(30):
        with pytest.raises(NotFoundError):
            await core.pipeline.run(operation(secret, org="other"), handle)
    assert len(await phases(core)) == 10
    await core.pipeline.record_suppressed()
    [told, *_] = await core.audit.log.newest_events("acme", 0, 99)
    assert (told.operation, told.code) == ("t.op", "too_many_refusals")
    assert (told.actor, told.detail) == ("acme/ann", {"count": 20})
    await core.pipeline.record_suppressed()
    assert len(await phases(core)) == 11
    for _ in range(20):
        await core.pipeline.run(operation(secret, mutates=True), handle)
    assert len(await phases(core)) == 11 + 2 * 20
    with pytest.raises(NotFoundError):
        await core.pipeline.run(operation(secret, org="other", name="t.other"), handle)
    assert len(await phases(core)) == 11 + 2 * 20 + 1
    world.advance(361)
    with pytest.raises(NotFoundError):
        await core.pipeline.run(operation(secret, org="other"), handle)
    assert len(await phases(core)) == 11 + 2 * 20 + 2


async def test_a_login_that_names_nobody_is_a_strangers(core: Core) -> None:
    """To know which organization it was at does not make somebody known."""

    async def refused(_: Caller) -> None:
        asked.resolved.caller = Caller("acme", "", Role.VIEWER, "")
        raise AuthenticationError("oidc_refused", "no")

    for _ in range(15):
        asked = operation(public=True, mutates=True, org="")
        with pytest.raises(AuthenticationError):
            await core.pipeline.run(asked, refused)
    assert await phases(core) == [("outcome", "denied", "oidc_refused")] * 10


async def test_what_is_dangerous_takes_a_fresh_proof(core: Core, world: FakeWorld) -> None:
    """Ten minutes after the login it is asked for again; what is not dangerous goes on."""

    async def handle(_: Caller) -> str:
        return "done"

    secret = await session(core)
    assert await core.pipeline.run(operation(secret, requires_recent_auth=True), handle) == "done"
    world.advance(601)
    with pytest.raises(AuthorizationError, match="step_up"):
        await core.pipeline.run(operation(secret, requires_recent_auth=True), handle)
    assert await core.pipeline.run(operation(secret), handle) == "done"


async def test_refusals_of_the_known_are_on_record(core: Core) -> None:
    """Those of strangers are not: they could fill the disk."""

    async def handle(_: Caller) -> None:
        raise AssertionError

    with pytest.raises(AuthenticationError):
        await core.pipeline.run(operation("nonsense", mutates=True), handle)
    assert await phases(core) == []
    with pytest.raises(AuthorizationError):
        await core.pipeline.run(operation(await session(core), org=""), handle)
    [event] = await core.audit.log.newest_events(PLATFORM, 0, 9)
    assert (event.result, event.actor) == ("denied", "acme/ann")


async def test_our_fault_keeps_its_text_to_itself(core: Core) -> None:
    """The caller gets a request id, not what went wrong."""

    async def handle(_: Caller) -> None:
        raise RuntimeError("canary")

    with pytest.raises(InternalError) as told:
        await core.pipeline.run(operation(await session(core)), handle)
    assert "canary" not in str(told.value)


async def test_done_but_not_on_record_says_so(core: Core) -> None:
    """The change has happened: nobody may take the answer for a refusal."""

    async def handle(_: Caller) -> None:
        async def refuse(*_: object, **__: object) -> None:
            raise UnavailableError("store_unavailable", "gone")

        core.audit.log.record = refuse  # type: ignore[method-assign]

    with pytest.raises(UnavailableError, match="outcome_unrecorded"):
        await core.pipeline.run(operation(await session(core), mutates=True), handle)


async def test_a_login_whose_client_has_gone_is_not_worked_on(core: Core) -> None:
    """It waits for its turn before it begins; once it has begun, it ends."""
    begun: list[str] = []
    going = trio.Event()

    def login(name: str) -> Operation:
        return operation(public=True, mutates=True, hashes_password=True, org="", request_id=name)

    async def serve(name: str, scope: trio.CancelScope) -> None:
        async def handle(_: Caller) -> None:
            begun.append(name)
            await going.wait()

        with scope:
            await core.pipeline.run(login(name), handle)

    names = [str(number) for number in range(10)]
    scopes = {name: trio.CancelScope() for name in names}
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(serve, name, scopes[name])
            await trio.testing.wait_all_tasks_blocked()
        held = list(begun)
        for scope in scopes.values():
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        going.set()
    assert 0 < len(held) < len(names)
    assert begun == held


async def test_reads_are_for_whoever_asks(core: Core) -> None:
    """By organization and session once these are known, by address before."""
    seen: list[read_scope.ReadScope] = []

    async def handle(_: Caller) -> None:
        seen.append(read_scope.current_scope())

    origin = Origin("192.0.2.7")
    await core.pipeline.run(operation(public=True, origin=origin), handle)
    await core.pipeline.run(operation(await session(core), origin=origin), handle)
    assert seen[0] == read_scope.anonymous_scope("192.0.2.7")
    assert seen[1].group == read_scope.session_scope("acme", "").group
    assert read_scope.current_scope() is read_scope.INTERNAL_SCOPE


@pytest.mark.parametrize("writes", [False, True])
async def test_a_public_change_ends_with_its_client_until_it_writes(
    core: Core, *, writes: bool
) -> None:
    """Whoever leaves has no place in a queue; what is written is on record all the same."""
    reached, ended = trio.Event(), list[str]()

    async def handle(_: Caller) -> None:
        if writes:
            await core.store.write(lambda tx: people.clear_failures(tx, "acme", "ann"))
        reached.set()
        await trio.sleep(0.01)
        ended.append("whole")

    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await core.pipeline.run(operation(public=True, mutates=True), handle)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await reached.wait()
        scope.cancel()
    assert ended == (["whole"] if writes else [])
    assert [phase for phase, _, _ in await phases(core)] == (["outcome"] if writes else [])
