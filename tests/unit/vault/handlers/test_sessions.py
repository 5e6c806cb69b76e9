"""A browser's session: made from a credential, renewed while somebody is there, over with it."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import HERE, ROOT, SECOND, House
from vault.authn import sessions
from vault.authn.sessions import SessionLimits, Sessions
from vault.authn.tokens import NewToken
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.handlers.handler import Call, Handlers
from vault.handlers.sessions import SESSION_CREATE_PATH, SessionHandlers
from vault.model.identity import Identity, Method
from vault.model.operation import Operation, OperationType
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, OpenSession
from vault.model.results import BrowserSession

MINUTE = 60 * SECOND
IDLE, LONGEST = 15 * MINUTE, 60 * MINUTE


def table(house: House) -> Handlers:
    """The handlers over this vault."""
    limits = SessionLimits(timeout=LONGEST, idle=IDLE)
    listed = Sessions(house.store, house.revoker, house.usage, house.auth_mounts, house.world)
    return SessionHandlers(house.tokens, listed, limits).handlers()


async def ask(house: House, name: str, by: Identity) -> BrowserSession:
    """Run one."""
    payload = OpenSession() if name == "session.open" else Nothing()
    op = Operation(
        type=OperationType(name), path=ResourcePath.parse(SESSION_CREATE_PATH), payload=payload,
        request_id="r", credential=None, origin=HERE,
    )  # fmt: skip
    found = await table(house)[name].run(Call(op, by))
    assert isinstance(found, BrowserSession)
    return found


async def opened(house: House) -> tuple[BrowserSession, Identity]:
    """A session of root's, and who comes with it."""
    root = await house.tokens.create_root()
    made = await ask(house, "session.open", replace(ROOT, credential=root.row.accessor))
    who = await house.tokens.identity_of(made.accessor)
    assert who is not None
    return made, who


async def test_it_is_a_child_with_an_end(house: House) -> None:
    """It can what its maker can, ends after the idle time, and with its maker at once."""
    made, who = await opened(house)
    assert (made.root, made.expires_at, made.ends_at) == (
        True, house.world.now() + IDLE, house.world.now() + LONGEST,
    )  # fmt: skip
    assert who.policies == ("root",)
    row = await house.tokens.find_by_text(made.text)
    assert row is not None
    assert (row.path, bool(row.parent)) == (SESSION_CREATE_PATH, True)
    house.world.time += IDLE
    assert await house.tokens.identity_of(made.accessor) is None


async def test_presence_keeps_it_and_nothing_keeps_it_for_ever(house: House) -> None:
    """Each renewal is for the idle time; the last end stays where it was."""
    made, who = await opened(house)
    for _ in range(5):
        house.world.time += 10 * MINUTE
        renewed = await ask(house, "session.renew", who)
    assert renewed.expires_at == renewed.ends_at == made.ends_at
    assert (await ask(house, "session.current", who)).accessor == made.accessor
    house.world.time += 10 * MINUTE
    assert await house.tokens.identity_of(made.accessor) is None


async def test_signing_out_ends_it(house: House) -> None:
    """At once, for whoever has the cookie."""
    made, who = await opened(house)
    await ask(house, "session.close", who)
    assert await house.tokens.find_by_text(made.text) is None


async def test_a_session_is_no_way_to_another(house: House) -> None:
    """Else a cookie could be made to outlive the sign-out."""
    _, who = await opened(house)
    with pytest.raises(ConflictError, match="signed_in"):
        await ask(house, "session.open", who)


async def test_a_token_with_few_uses_opens_none(house: House) -> None:
    """It would be used without end."""
    root = await house.tokens.create_root()
    by = replace(ROOT, credential=root.row.accessor)
    few = await house.tokens.create(by, NewToken(num_uses=2, ttl=MINUTE))
    with pytest.raises(ValidationError, match="restricted_parent"):
        await ask(house, "session.open", replace(ROOT, credential=few.row.accessor))


@pytest.mark.parametrize("name", ["session.current", "session.renew", "session.close"])
async def test_other_credentials_are_no_sessions(house: House, name: str) -> None:
    """Neither a key nor a token of somebody's is renewed or ended by this."""
    root = await house.tokens.create_root()
    for caller in (
        replace(ROOT, credential=root.row.accessor),
        replace(ROOT, method=Method.API_KEY, credential="k"),
    ):
        with pytest.raises(NotFoundError, match=r"no_session.*sign in"):
            await ask(house, name, caller)
    assert await house.tokens.find_by_text(root.text) is not None


async def test_a_forged_request_is_refused_on_record(house: House) -> None:
    """The refusal is an operation's own, so the pipeline records it."""
    with pytest.raises(AuthorizationError, match=r"csrf.*reload the page"):
        await ask(house, "session.refuse", ROOT)


async def test_the_record_never_has_the_cookie(house: House) -> None:
    """Not even as a hash."""
    made, _ = await opened(house)
    for name, handler in table(house).items():
        if handler.audit_response is not None and "list" not in name:
            assert handler.audit_response(made) == {"accessor": made.accessor}, name
    assert made.text not in repr(made)


async def test_a_token_has_no_more_than_so_many(house: House, monkeypatch: Any) -> None:
    """Anybody may open one with what is his: each is a row. What has ended makes room."""
    monkeypatch.setattr(sessions, "MOST_OF_TOKEN", 3)
    root = await house.tokens.create_root()
    by = replace(ROOT, method=Method.TOKEN, credential=root.row.accessor)
    for _ in range(5):
        await house.tokens.create(by, NewToken())  # children that are no sessions
    for _ in range(3):
        await ask(house, "session.open", by)
    with pytest.raises(ConflictError, match="there are 3 browser sessions of this token"):
        await ask(house, "session.open", by)
    other = await house.tokens.create(by, NewToken())
    await ask(house, "session.open", replace(by, credential=other.row.accessor))
    house.world.time += IDLE
    await ask(house, "session.open", by)
