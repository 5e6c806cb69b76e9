"""What a person's login makes is a session: so long, so long unused, so many, seen and ended."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
import trio

from actors.slewed_clock import SlewedClock
from tests.unit.vault.handlers.conftest import HERE, NOW, ROOT, SECOND, House
from vault.authn.entities import EntityDirectory
from vault.authn.logins import Logins
from vault.authn.mfa.enforcement import EnforcementRules
from vault.authn.sessions import (
    NOTED_EVERY,
    PRECISION,
    SessionActivity,
    SessionLimits,
    SessionOpener,
    Sessions,
)
from vault.authn.tokens import IssuedToken, NewToken, Tokens
from vault.errors import AuthenticationError, NotFoundError, VaultError
from vault.handlers.handler import Call
from vault.handlers.sessions import SessionHandlers
from vault.model.identity import Identity, Permission
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, OpenSession, SessionSelector
from vault.model.results import BrowserSession, SessionInfo
from vault.store.table import StoreQuery
from vault.store.tables import SESSIONS, TOKENS

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
IDLE, LONGEST = 16 * MINUTE, 8 * HOUR
STEP = IDLE // PRECISION
LIMITS = SessionLimits(timeout=LONGEST, idle=IDLE, login_idle=IDLE, max_per_user=2)
ELSEWHERE = Origin(ip="192.0.2.9")


@pytest.fixture
async def people(house: House) -> House:
    """A vault with entities and the user `ann` of userpass, who has the password `right`."""
    parts = replace(
        house.login_parts,
        directory=EntityDirectory(house.world),
        sessions=SessionOpener(LIMITS, house.revoker),
    )
    house.logins = Logins(parts)
    house.tokens = Tokens(
        house.store, parts.scheme, house.revoker, house.world, LIMITS, batch=parts.batch
    )
    await house.enable("userpass")
    await house.put_entry("user", "userpass/users/ann", password="right")
    await house.put_entry("user", "userpass/users/bob", password="right")
    return house


async def log_in(house: House, name: str = "ann", origin: Origin = HERE) -> IssuedToken:
    """A session of this user."""
    return await house.log_in(f"userpass/login/{name}", origin=origin, password="right")


async def who(house: House, text: str) -> Identity | None:
    """Whom a request with this token is of; it is a use."""
    try:
        return await house.authenticator.authenticate(text, HERE)
    except AuthenticationError:
        return None


async def caller(house: House, issued: IssuedToken) -> Identity:
    """Whom a session stands for, by no use of it."""
    found = await house.tokens.identity_of(issued.row.accessor)
    assert found is not None
    return found


async def ask(house: House, name: str, by: Identity, payload: object = None, at: str = "") -> Any:
    """Run one of the handlers of sessions."""
    listed = Sessions(house.store, house.revoker, house.usage, house.auth_mounts, house.world)
    place = ResourcePath.parse(f"sys/sessions/{at}" if at else "sys/sessions")
    op = Operation(
        type=OperationType(name), path=place, payload=payload or Nothing(), request_id="r",
        credential=None, origin=HERE,
    )  # fmt: skip
    handlers = SessionHandlers(house.tokens, listed, LIMITS).handlers()
    return await handlers[name].run(Call(op, by))


@pytest.mark.parametrize(
    ("user", "ttl"),
    [
        ({}, LONGEST),
        ({"token_ttl": HOUR}, HOUR),
        ({"token_ttl": 24 * HOUR}, LONGEST),
        ({"token_max_ttl": 24 * HOUR}, LONGEST),
        ({"token_max_ttl": 2 * HOUR}, 2 * HOUR),
        ({"token_explicit_max_ttl": 24 * HOUR}, LONGEST),
        ({"token_period": 24 * HOUR}, LONGEST),
    ],
)
async def test_it_ends_with_the_session_timeout(
    people: House, user: dict[str, int], ttl: int
) -> None:
    """Whatever its user, its mount and its renewals say."""
    await people.put_entry("user", "userpass/users/ann", **user)
    issued = await log_in(people)
    assert issued.row.expires_at - issued.row.issued_at == ttl
    for _ in range(40):
        people.world.time += 15 * MINUTE
        if await who(people, issued.text) is None:
            break
        row = await people.tokens.lookup(issued.text)
        renewed = await people.tokens.renew(row, 100 * HOUR)
        assert renewed.row.expires_at <= issued.row.created_at + LONGEST
    assert people.world.time <= issued.row.created_at + LONGEST


async def test_it_ends_unused(people: House) -> None:
    """Each use begins the idle time anew; none of its own kind makes it last longer."""
    issued = await log_in(people)
    for _ in range(10):
        people.world.time += IDLE - STEP
        assert await who(people, issued.text) is not None
    people.world.time += IDLE
    assert not await people.authenticator.knows(issued.text, HERE)
    assert await people.tokens.identity_of(issued.row.accessor) is None
    assert await who(people, issued.text) is None
    assert not await SessionActivity(people.store, people.world).note_use(issued.row.id)
    people.world.time -= STEP
    assert await people.tokens.find_by_text(issued.text) is not None, "that was no use"


async def test_it_ends_at_most_so_much_earlier(people: House) -> None:
    """A use that was not written down costs a sixteenth of the idle time, and no more."""
    issued = await log_in(people)
    people.world.time += STEP - 1
    assert await who(people, issued.text) is not None
    people.world.time += IDLE - STEP
    assert await who(people, issued.text) is not None, "a sixteenth less than the idle time"
    people.world.time += IDLE - 1
    assert await who(people, issued.text) is not None, "that use was written down"
    assert await who(people, issued.text) is not None
    people.world.time += IDLE
    assert not await people.authenticator.knows(issued.text, HERE)


async def test_not_every_use_is_written_down(people: House) -> None:
    """One of those within a sixteenth of the idle time."""
    issued = await log_in(people)
    before = people.store.count_all_transactions()
    for _ in range(100):
        assert await who(people, issued.text) is not None
    assert people.store.count_all_transactions() == before
    people.world.time += STEP
    for _ in range(100):
        assert await who(people, issued.text) is not None
    assert people.store.count_all_transactions() == before + 1


async def test_without_an_idle_time_it_lives_to_its_end(people: House) -> None:
    """A program may ask once in a while; who was there last is noted once an hour."""
    limits = SessionLimits(timeout=LONGEST, max_per_user=2)
    opener = SessionOpener(limits, people.revoker)
    people.logins = Logins(
        replace(people.login_parts, directory=EntityDirectory(people.world), sessions=opener)
    )
    first, second = await log_in(people), await log_in(people)
    people.world.time += NOTED_EVERY
    assert await who(people, first.text) is not None
    await log_in(people)
    assert await who(people, second.text) is None, "unused for longer than the other one"
    people.world.time = first.row.expires_at - 1
    assert await who(people, first.text) is not None


async def test_what_is_over_does_not_come_back(people: House) -> None:
    """A use that comes too late is none, and the sweep removes the session with what it made."""
    clock = SlewedClock(NOW, people.world.now, lambda: (people.world.time - NOW) / SECOND)
    issued = await log_in(people)
    child = await people.tokens.create(await caller(people, issued), NewToken())
    people.world.time += IDLE
    assert await who(people, issued.text) is None
    assert await who(people, child.text) is None
    await people.revoker.revoke_expired(clock)
    assert await people.store.select(TOKENS, StoreQuery()) == []
    assert await people.store.select(SESSIONS, StoreQuery()) == []


async def test_what_it_made_keeps_it(people: House) -> None:
    """A program that works with a child of it is somebody who works."""
    issued = await log_in(people)
    made = await people.tokens.create(await caller(people, issued), NewToken())
    for _ in range(4):
        people.world.time += IDLE - STEP
        assert await who(people, made.text) is not None
    assert await who(people, issued.text) is not None


async def test_there_are_no_more_than_so_many(people: House) -> None:
    """Another login ends the one that was used longest ago, with its streams and what it made."""
    first, second = await log_in(people), await log_in(people)
    child = await people.tokens.create(await caller(people, second), NewToken())
    people.world.time += STEP
    assert await who(people, first.text) is not None
    cut: list[str] = []

    async def stream() -> None:
        with people.sessions.open_stream(second.row.accessor) as scope:
            started.set()
            await trio.sleep_forever()
        if scope.cancelled_caught:
            cut.append("second")

    started = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream)
        await started.wait()
        third = await log_in(people)
    assert cut == ["second"]
    found = [await who(people, one.text) is not None for one in (first, second, child, third)]
    assert found == [True, False, False, True]
    other = await log_in(people, "bob")
    assert await who(people, other.text) is not None
    assert await who(people, first.text) is not None, "bob has his own"


async def test_one_that_is_over_makes_room(people: House) -> None:
    """No living one ends for a login while there are dead ones."""
    first = await log_in(people)
    people.world.time += IDLE - STEP
    second = await log_in(people)
    people.world.time += STEP
    third = await log_in(people)
    found = [await who(people, one.text) is not None for one in (first, second, third)]
    assert found == [False, True, True]


async def test_a_session_counts_from_a_key_too(people: House) -> None:
    """A user's logins and what the user's API keys were turned into are counted together."""
    issued = await log_in(people)
    me = await caller(people, issued)
    key = await people.keys.create(ROOT, me.id, "laptop")
    holder = await people.keys.identity_of(key.key.id, people.world.now())
    assert holder is not None
    people.world.time += STEP
    opened = await people.tokens.create(holder, NewToken())
    people.world.time += STEP
    await log_in(people)
    assert await who(people, issued.text) is None
    assert await people.tokens.find_by_text(opened.text) is not None


async def test_a_batch_token_ends_with_the_idle_time(people: House) -> None:
    """Nobody could see that it is not used, count it or revoke it."""
    await people.put_entry("user", "userpass/users/ann", token_type="batch", token_ttl=HOUR)
    issued = await log_in(people)
    assert issued.row.is_batch
    people.world.time += IDLE - 1
    assert await who(people, issued.text) is not None
    people.world.time += 1
    assert await who(people, issued.text) is None


async def test_a_machine_has_no_session(people: House) -> None:
    """An AppRole's token lives as its role says, used or not."""
    await people.enable("approle")
    await people.put_entry(
        "role", "approle/role/web", bind_secret_id=False, token_bound_cidrs=["10.0.0.0/8"]
    )
    await people.act("write-role-id", "approle/role/web/role-id", "web", role_id="the-role")
    issued = await people.log_in("approle/login", role_id="the-role")
    people.world.time += 700 * HOUR
    assert await who(people, issued.text) is not None
    assert await people.store.select(SESSIONS, StoreQuery()) == []


async def test_a_session_without_its_row_is_none(people: House) -> None:
    """Whatever may have removed it."""
    issued = await log_in(people)
    await people.store.commit(lambda tx: tx.delete(SESSIONS, issued.row.id))
    assert await people.tokens.identity_of(issued.row.accessor) is None
    assert await who(people, issued.text) is None


# Seen and ended.


async def test_one_sees_ones_own(people: House) -> None:
    """With method, mount, address, and which of them asks."""
    first = await log_in(people)
    people.world.time += SECOND
    second = await log_in(people, origin=ELSEWHERE)
    await log_in(people, "bob")
    found: list[SessionInfo] = await ask(people, "session.list", await caller(people, first))
    told = [(one.accessor, one.method, one.mount, one.address, one.is_current) for one in found]
    assert told == [
        (second.row.accessor, "userpass", "userpass/", "192.0.2.9", False),
        (first.row.accessor, "userpass", "userpass/", "10.0.0.1", True),
    ]
    assert [one.idle_until - one.last_used for one in found] == [IDLE, IDLE]


async def test_one_ends_ones_own_and_no_others(people: House) -> None:
    """An administrator ends anybody's, by whose it is."""
    mine, other, his = await log_in(people), await log_in(people), await log_in(people, "bob")
    me, him = await caller(people, mine), await caller(people, his)
    for accessor in (his.row.accessor, "none", me.id):
        with pytest.raises(NotFoundError):
            await ask(people, "session.revoke", me, SessionSelector(accessor=accessor))
    await ask(people, "session.revoke", me, SessionSelector(accessor=other.row.accessor))
    assert await who(people, other.text) is None
    selector = SessionSelector(accessor=his.row.accessor, user=him.id)
    with pytest.raises(NotFoundError):
        await ask(people, "session.revoke_of_user", ROOT, selector, at=me.id)
    assert [one.accessor for one in await ask(people, "session.list_of_user", ROOT, at=him.id)] == [
        his.row.accessor
    ]
    await ask(people, "session.revoke_of_user", ROOT, selector, at=him.id)
    assert await who(people, his.text) is None
    assert await who(people, mine.text) is not None
    with pytest.raises(NotFoundError):
        await ask(people, "session.list_of_user", ROOT, at="nobody")


async def test_a_key_that_is_cut_down_sees_what_it_opened(people: House) -> None:
    """Not where else its user is, and it ends nothing there."""
    issued = await log_in(people)
    me = await caller(people, issued)
    allowed = [Permission(capabilities=("read",), paths=("secret/*",))]
    key = await people.keys.create(ROOT, me.id, "ci", permissions=allowed)
    holder = await people.keys.identity_of(key.key.id, people.world.now())
    assert holder is not None
    opened = await people.tokens.create(holder, NewToken())
    for by in (holder, await caller(people, opened)):
        found = await ask(people, "session.list", by)
        assert [one.accessor for one in found] == [opened.row.accessor]
        with pytest.raises(NotFoundError):
            await ask(people, "session.revoke", by, SessionSelector(accessor=issued.row.accessor))


# A login becomes a browser's session.


async def exchange(house: House, by: Identity) -> BrowserSession:
    """The browser's session in the place of the caller's own."""
    made = await ask(house, "session.open", by, OpenSession(exchange=True))
    assert isinstance(made, BrowserSession)
    return made


async def test_a_login_becomes_a_browsers_session(people: House) -> None:
    """It takes its place: one session, which a page renews, with the same last end."""
    issued = await log_in(people)
    me = await caller(people, issued)
    people.world.time += MINUTE
    made = await exchange(people, me)
    assert await who(people, issued.text) is None
    assert await who(people, made.text) is None, "it counts in a cookie alone"
    there = await people.tokens.identity_of(made.accessor)
    assert there is not None
    assert (there.id, there.policies, there.method) == (me.id, me.policies, me.method)
    [info] = await ask(people, "session.list", there)
    assert (info.accessor, info.browser, info.mount) == (made.accessor, True, "userpass/")
    assert made.ends_at == issued.row.created_at + LONGEST
    assert made.expires_at == people.world.now() + IDLE
    for _ in range(100):
        people.world.time += IDLE - SECOND
        there = await people.tokens.identity_of(made.accessor)
        if there is None:
            break
        await ask(people, "session.renew", there)
    assert people.world.time <= made.ends_at + IDLE


@pytest.mark.parametrize(
    ("user", "longest"),
    [
        ({"token_max_ttl": MINUTE}, MINUTE),
        ({"token_max_ttl": HOUR}, HOUR),
        ({"token_explicit_max_ttl": MINUTE}, MINUTE),
        ({"token_period": 24 * HOUR}, LONGEST),
    ],
)
async def test_a_browsers_session_ends_as_the_login_would(
    people: House, user: dict[str, int], longest: int
) -> None:
    """The maximum of the user holds for it, renewed or not."""
    await people.put_entry("user", "userpass/users/ann", **user)
    issued = await log_in(people)
    made = await exchange(people, await caller(people, issued))
    last = issued.row.created_at + longest
    assert (made.ends_at, made.expires_at) == (last, min(last, people.world.now() + IDLE))
    there = await people.tokens.identity_of(made.accessor)
    while there is not None:
        renewed = await ask(people, "session.renew", there)
        assert renewed.expires_at == min(last, people.world.now() + IDLE)
        people.world.time += IDLE - SECOND
        there = await people.tokens.identity_of(made.accessor)
    assert people.world.time <= last + IDLE


async def test_without_its_factor_a_login_is_not_exchanged(people: House) -> None:
    """It would live on, where it could not be renewed."""
    issued = await log_in(people)
    strict = EnforcementRules(required_for=["userpass"])
    people.tokens = Tokens(
        people.store, people.login_parts.scheme, people.revoker, people.world, LIMITS,
        enforcements=strict, batch=people.login_parts.batch,
    )  # fmt: skip
    with pytest.raises(VaultError) as refused:
        await exchange(people, await caller(people, issued))
    assert refused.value.code == "second_factor_needed"
    assert await who(people, issued.text) is not None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("root", "exchange_unsupported"),
        ("child", "exchange_unsupported"),
        ("limited", "restricted_parent"),
        ("browser", "signed_in"),
    ],
)
async def test_nothing_else_becomes_one(people: House, kind: str, code: str) -> None:
    """A token that is no login's would end, or its bounds would."""
    if kind == "limited":
        await people.put_entry("user", "userpass/users/ann", token_num_uses=2)
    issued = await log_in(people)
    by = await caller(people, issued)
    if kind == "root":
        root = await people.tokens.create_root()
        by = msgspec.structs.replace(ROOT, credential=root.row.accessor)
    elif kind == "child":
        by = await caller(people, await people.tokens.create(by, NewToken()))
    elif kind == "browser":
        found = await people.tokens.identity_of((await exchange(people, by)).accessor)
        assert found is not None
        by = found
    with pytest.raises(VaultError) as refused:
        await exchange(people, by)
    assert refused.value.code == code
    assert await people.tokens.identity_of(by.credential) is not None
