"""What ends when a provider says that somebody was signed out."""

from typing import Any

import jwt
import pyotp
import pytest

from actors.testing import FakeWorld
from control.authn.backchannel_logout import (
    LOGOUT_EVENT,
    MAX_AGE,
    LogoutToken,
    session_id_digest,
    verify_logout_token,
)
from control.authn.id_token import LEEWAY, ExpectedClaims, select_key, token_header
from control.authn.session_opener import SessionRequest
from control.core import Core
from control.errors import AuthenticationError, NotFoundError, ValidationError
from control.model.identity import LinkedIdentity, Terms
from control.model.people import Caller, Membership, Role, TokenKind, User
from control.store import identities, members, people
from control.store.rows import Tx
from protocols.instant import SECOND
from tests.unit.control.authn.test_id_token import (
    EC,
    EXPECTED,
    GONE,
    KEYS,
    NOW,
    RSA,
    signed,
    verify_claims,
)
from tests.unit.control.authn.test_oidc_provider import Idp, idp

__all__ = ["idp"]


@pytest.fixture
async def known(core: Core, idp: Idp) -> User:
    """Ann, whom acme's provider calls `u-1`; and bob, `u-2`, who has a session."""
    await core.federation.federation.configure_provider(
        "acme", idp.issuer, "freehold", "secret", Terms()
    )
    await core.people.users.create_user(None, "acme", "bob", Role.VIEWER, "a password of bob's")

    def change(tx: Tx) -> None:
        for subject, name in (("u-1", "ann"), ("u-2", "bob")):
            identities.put_identity(tx, LinkedIdentity(idp.issuer, subject, "acme", name, 1, 1))

    await core.store.write(change)
    await opened(
        core,
        await core.people.users.get_user("acme", "bob"),
        session_id_digest(idp.issuer, {"sid": "s-9"}),
    )
    return await core.people.users.get_user("acme", "ann")


async def opened(core: Core, user: User, sid: str = "", kind: TokenKind | None = None) -> str:
    """A session's id."""
    way = SessionRequest(kind or TokenKind.BROWSER, trusted=True, sid=sid)
    _, token = await core.federation.federation._session_opener.open_session(user, way)
    return token.id


async def held(core: Core, name: str = "ann") -> set[str]:
    """What the account is signed in with."""
    return {
        token.id for token in await core.store.read(lambda tx: people.list_tokens(tx, "acme", name))
    }


def told(idp: Idp, world: FakeWorld, jti: str = "j-1", **claims: Any) -> str:
    """A logout token."""
    now = world.now() // SECOND
    said = {"iss": idp.issuer, "aud": "freehold", "iat": now, "exp": now + 120, "jti": jti}
    said["events"] = {LOGOUT_EVENT: {}}
    return jwt.encode(said | claims, RSA, "RS256", {"kid": "k-1", "typ": "logout+jwt"})


async def test_a_person_is_signed_out_everywhere(
    core: Core, idp: Idp, world: FakeWorld, known: User
) -> None:
    """Browsers and programs that signed in, also a guest elsewhere; API tokens and others stay."""
    session = await opened(core, known)
    program = await opened(core, known, kind=TokenKind.SESSION)
    await core.people.users.create_organization("beta", "Beta")
    guest = Membership("beta", "acme", "ann", Role.VIEWER, "x", 1)
    await core.store.write(lambda tx: members.put_membership(tx, guest, 1))
    there = SessionRequest(TokenKind.BROWSER, acting="beta", trusted=True)
    _, away = await core.federation.federation._session_opener.open_session(known, there)
    assert await held(core) == {session, program, away.id}
    ann = Caller("acme", "ann", Role.OWNER, session)
    _, api = await core.people.accounts.create_token(ann, "ci", Role.VIEWER, 600)
    who = await core.federation.federation.logouts.end_sessions("acme", told(idp, world, sub="u-1"))
    assert who.actor == "acme/ann"
    assert await held(core) == {api.id}
    assert len(await held(core, "bob")) == 1


async def test_a_live_connection_hears_of_it(
    core: Core, idp: Idp, world: FakeWorld, known: User
) -> None:
    """At once."""
    session = await opened(core, known)
    with core.people.sessions._session_ends.subscribe(session) as event:
        await core.federation.federation.logouts.end_sessions("acme", told(idp, world, sub="u-1"))
        assert event.is_set()


async def test_one_session_of_the_provider(
    core: Core, idp: Idp, world: FakeWorld, known: User
) -> None:
    """Ends what came of it, by its name alone; with the person named, also what is not known of.

    What was opened by a password came of no session of the provider's.
    """
    one, other = (session_id_digest(idp.issuer, {"sid": sid}) for sid in ("s-1", "s-2"))
    unnamed = session_id_digest(idp.issuer, {})
    here, there, plain, own = [await opened(core, known, sid) for sid in (one, other, unnamed, "")]
    end = core.federation.federation.logouts.end_sessions
    assert (await end("acme", told(idp, world, sid="s-1"))).name == "ann"
    assert await held(core) == {there, plain, own}
    here = await opened(core, known, one)
    await end("acme", told(idp, world, "j-2", sid="s-1", sub="u-1"))
    assert here not in await held(core)
    assert await held(core) == {there, own}
    await end("acme", told(idp, world, "j-3", sid="s-2", sub="u-2"))  # not this person's
    await end("acme", told(idp, world, "j-4", sid="s-7"))
    assert (await end("acme", told(idp, world, "j-5", sub="u-7"))).name == ""
    assert await held(core) == {there, own}


async def test_a_token_is_good_once(core: Core, idp: Idp, world: FakeWorld, known: User) -> None:
    """As long as it would count; one that is refused is not used up."""
    end, token = core.federation.federation.logouts.end_sessions, told(idp, world, sub="u-1")
    await end("acme", token)
    session = await opened(core, known)
    for after in (0, 100, 80):
        world.advance(after)
        with pytest.raises(ValidationError, match="logout_token_invalid"):
            await end("acme", token)
    assert session in await held(core)
    later = told(idp, world, "j-2", sub="u-1")
    with pytest.raises(ValidationError):
        await end("acme", told(idp, world, "j-2", sub="u-1", aud="other"))
    await end("acme", later)
    assert await held(core) == set()


async def test_whose_provider_it_is(core: Core, idp: Idp, world: FakeWorld, known: User) -> None:
    """Another organization's is asked for nothing; where there is none, nobody is signed out."""
    await core.people.users.create_organization("beta", "Beta")
    session = await opened(core, known)
    for org in ("beta", "nowhere"):
        with pytest.raises(NotFoundError):
            await core.federation.federation.logouts.end_sessions(org, told(idp, world, sub="u-1"))
    await core.federation.federation.configure_provider(
        "beta", idp.issuer, "freehold", "secret", Terms()
    )
    await core.federation.federation.logouts.end_sessions("beta", told(idp, world, sub="u-1"))
    assert session in await held(core)


async def test_the_providers_session_goes_along(core: Core, known: User, idp: Idp) -> None:
    """From half a session to the whole one, and to another organization."""
    sid = session_id_digest(idp.issuer, {"sid": "s-1"})
    handed = SessionRequest(exchange_code="program:x", sid=sid)
    secret, half = await core.federation.federation._session_opener.open_session(known, handed)
    assert half.kind is TokenKind.HALF
    whole, token = await core.federation.federation._session_opener.exchange_half_session(
        secret, "program:x", lambda *_: SessionRequest()
    )
    assert token.sid == sid
    await core.people.users.create_organization("beta", "Beta")
    guest = Membership("beta", "acme", "ann", Role.VIEWER, "x", 1)
    await core.store.write(lambda tx: members.put_membership(tx, guest, 1))
    _, moved = await core.people.members.switch_organization(
        await core.people.sessions.authenticate(whole), "beta"
    )
    assert moved.sid == sid


async def test_also_where_a_second_factor_comes_between(
    core: Core, world: FakeWorld, known: User, idp: Idp
) -> None:
    """Of ours, after the provider's word."""
    totp = pyotp.TOTP((await core.people.second_factors.begin_enrolment("acme", "ann")).secret)
    await core.people.second_factors.confirm_enrolment(
        "acme", "ann", totp.at(world.now() // SECOND)
    )
    world.advance(30)
    sid = session_id_digest(idp.issuer, {"sid": "s-1"})
    half, _ = await core.federation.federation._session_opener.open_session(
        known, SessionRequest(sid=sid)
    )
    code = totp.at(world.now() // SECOND)
    _, token = await core.people.second_factors.complete_login(half, code, SessionRequest())
    assert token.sid == sid


CLAIMS: dict[str, Any] = {
    "iss": "https://idp.example",
    "aud": "freehold",
    "sub": "u-1",
    "sid": "s-1",
    "exp": NOW + 120,
    "iat": NOW - 5,
    "jti": "j-1",
    "events": {LOGOUT_EVENT: {}},
}


def logout(
    changed: dict[str, Any] | None = None, *, by: Any = RSA, typ: object = "logout+jwt"
) -> str:
    """A token; a claim that is `GONE` is left out."""
    claims = {k: v for k, v in {**CLAIMS, **(changed or {})}.items() if v is not GONE}
    return jwt.encode(claims, by, "RS256" if by is RSA else "ES256", {"kid": "k-1", "typ": typ})


def read(token: str, expected: ExpectedClaims = EXPECTED) -> LogoutToken:
    """Without asking anybody."""
    key = select_key(KEYS, *token_header(token))
    if key is None:
        raise AuthenticationError("id_token_invalid", "no key")
    return verify_logout_token(token, key, expected)


def test_a_good_one() -> None:
    """The person, or the session at the provider, or both; with or without a type."""
    assert read(logout()) == LogoutToken("j-1", "u-1", "s-1")
    assert read(logout({"sid": GONE}, typ="JWT")) == LogoutToken("j-1", "u-1", "")
    assert read(logout({"sub": GONE})) == LogoutToken("j-1", "", "s-1")
    assert read(logout({"events": {LOGOUT_EVENT: {"more": 1}, "other": 2}})).subject == "u-1"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", GONE), ("iss", "https://other.example"),
        ("aud", GONE), ("aud", "other"), ("aud", ["other"]),
        ("exp", GONE), ("exp", NOW - LEEWAY), ("exp", "tomorrow"),
        ("iat", GONE), ("iat", NOW + LEEWAY + 1), ("iat", NOW - MAX_AGE // SECOND - 1),
        ("jti", GONE), ("jti", ""), ("jti", 7), ("jti", "j" * 256),
        ("events", GONE), ("events", LOGOUT_EVENT), ("events", {}), ("events", {LOGOUT_EVENT: 1}),
        ("events", [LOGOUT_EVENT]),
        ("nonce", "n-1"), ("nonce", None),
        ("sub", ""), ("sub", 7), ("sub", "u" * 256), ("sub", "u\0"),
        ("sid", ""), ("sid", 7), ("sid", "s" * 256),
    ],
)  # fmt: skip
def test_each_claim(claim: str, value: object) -> None:
    """Missing or wrong, it is refused."""
    with pytest.raises(AuthenticationError, match="id_token_invalid"):
        read(logout({claim: value}))


def test_it_says_whom() -> None:
    """Neither person nor session: nobody is meant, least of all everybody."""
    with pytest.raises(AuthenticationError):
        read(logout({"sub": GONE, "sid": GONE}))


@pytest.mark.parametrize("typ", ["at+jwt", "id_token", "logout"])
def test_a_token_of_another_kind(typ: str) -> None:
    """Says so in its header."""
    with pytest.raises(AuthenticationError, match="typ"):
        read(logout(typ=typ))


def test_neither_passes_for_the_other() -> None:
    """An ID token has a nonce and no event; a logout token the other way round."""
    with pytest.raises(AuthenticationError):
        read(signed())
    token = logout()
    key = select_key(KEYS, *token_header(token))
    assert key is not None
    with pytest.raises(AuthenticationError, match="nonce"):
        verify_claims(token, key, EXPECTED)


def test_it_is_the_providers() -> None:
    """Signed by another key, or by nobody."""
    unsigned = jwt.encode(CLAIMS, None, "none")
    for token in (logout(by=EC), logout()[:-4] + "AAAA", unsigned, "x", ""):
        with pytest.raises(AuthenticationError, match="id_token_invalid"):
            read(token)
