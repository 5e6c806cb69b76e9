"""Logout tokens: each claim missing or wrong is a refusal, and an ID token is none."""

from typing import Any

import jwt
import pytest

from control.authn.id_token import LEEWAY, ExpectedClaims, select_key, token_header
from control.authn.logout_token import LOGOUT_EVENT, MAX_AGE, LogoutToken, verify_logout_token
from control.errors import AuthenticationError
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
