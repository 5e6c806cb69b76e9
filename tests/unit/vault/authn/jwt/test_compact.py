"""Tokens that are not exactly what RFC 7515 says are refused before a key is looked for."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.identity_source import SigningKey
from vault.authn.jwt.compact import (
    MAX_TOKEN,
    InvalidTokenError,
    looks_like_token,
    parse_claims,
    parse_token,
)

KEY = SigningKey()
TOKEN = KEY.sign({"sub": "a"})
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")


def encoded(value: Any) -> str:
    """As a part of a token; a text is taken as it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).rstrip(b"=").decode()


def with_header(**changed: object) -> str:
    """A token whose header says this."""
    return ".".join((encoded({"alg": "ES256", **changed}), PAYLOAD, SIGNATURE))


def test_what_is_there() -> None:
    """Algorithm, key id, payload, and what was signed."""
    token = parse_token(TOKEN)
    assert (token.algorithm, token.kid) == ("ES256", "k-1")
    assert token.signed == f"{HEADER}.{PAYLOAD}".encode()
    assert parse_claims(token.payload) == {"sub": "a"}
    assert looks_like_token(TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a.b", f"{TOKEN}.", f"{TOKEN}.x", f" {TOKEN}", f"{TOKEN}\n", f"{TOKEN}=",
        TOKEN.replace(".", ".=", 1), f"{HEADER}..{SIGNATURE}", f"{HEADER}.{PAYLOAD}.",
        f"{HEADER}.{PAYLOAD}.{SIGNATURE[:-1]}+", "x" * (MAX_TOKEN + 1), f"{HEADER}.{PAYLOAD}.é",
    ],
)  # fmt: skip
def test_form(text: str) -> None:
    """Parts, alphabet, padding, white space, length."""
    with pytest.raises(InvalidTokenError):
        parse_token(text)
    assert not looks_like_token(text[:MAX_TOKEN])


def test_every_other_spelling_of_a_signature() -> None:
    """The last character has bits that mean nothing: only the spelling with zeros counts."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    meant = base64.urlsafe_b64decode(SIGNATURE + "==")
    same = [c for c in alphabet if base64.urlsafe_b64decode(f"{SIGNATURE[:-1]}{c}==") == meant]
    assert len(same) == 16
    for character in same:
        text = TOKEN[:-1] + character
        if text == TOKEN:
            parse_token(text)
        else:
            with pytest.raises(InvalidTokenError):
                parse_token(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": "HS256"}, {"alg": "es256"}, {"alg": None},
        {"alg": ["ES256"]}, {"kid": 5}, {"kid": "k" * 600}, {"jwk": KEY.jwk()},
        {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/"}, {"x5c": ["x"]},
        {"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}, {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)  # fmt: skip
def test_header(changed: dict[str, Any]) -> None:
    """Algorithms that are not ours, and headers that bring a key or an extension."""
    with pytest.raises(InvalidTokenError):
        parse_token(with_header(**changed))


@pytest.mark.parametrize(
    "text",
    [
        '{"alg":"none","alg":"ES256"}', "[]", '"ES256"', "5", "{", "", '{"alg":"ES256"}x',
        '{"alg":"ES256","x":NaN}', '\ufeff{"alg":"ES256"}', '{"alg":"ES256","x":"\\ud800"}',
        '{"alg":"ES256","x":' + "[" * 17 + "]" * 17 + "}",
        '{"alg":"ES256","x":' + "[" * 5000 + "]" * 5000 + "}",
        '{"alg":"ES256","x":' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_json(text: str) -> None:
    """Names that come twice, what is no object, numbers that are none, nesting."""
    with pytest.raises(InvalidTokenError):
        parse_token(".".join((encoded(text), PAYLOAD, SIGNATURE)))
    with pytest.raises(InvalidTokenError):
        parse_claims(text.replace('"alg":"none"', '"alg":"x"').encode("utf-8", "surrogatepass"))


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """A text is a token or refused."""
    for each in (text, f"{text}.{PAYLOAD}.{SIGNATURE}", f"{HEADER}.{text}.{SIGNATURE}"):
        try:
            parse_token(each)
        except InvalidTokenError:
            continue


@given(st.binary(max_size=200))
def test_any_payload(data: bytes) -> None:
    """A payload is an object or refused."""
    with suppress(InvalidTokenError):
        assert isinstance(parse_claims(data), dict)
