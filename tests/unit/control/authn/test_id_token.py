"""ID tokens: each claim missing or wrong is a refusal, and so is every trick with the header."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from control.authn.id_token import (
    LEEWAY,
    MAX_TOKEN,
    ExpectedClaims,
    select_key,
    token_header,
    verify_claims,
)
from control.errors import AuthenticationError
from protocols.instant import SECOND

NOW = 1_800_000_000
EXPECTED = ExpectedClaims("https://idp.example", "freehold", "n-1", NOW * SECOND)
CLAIMS: dict[str, Any] = {
    "iss": "https://idp.example",
    "aud": "freehold",
    "sub": "u-1",
    "exp": NOW + 300,
    "iat": NOW - 5,
    "nonce": "n-1",
}
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
GONE = object()


def jwk(private: Any, **fields: object) -> dict[str, Any]:
    """The public half as a provider publishes it."""
    kinds = {RSA: RSAAlgorithm, EC: ECAlgorithm, ED: OKPAlgorithm}
    public: dict[str, Any] = kinds[private].to_jwk(private.public_key(), as_dict=True)
    return {**public, "kid": "k-1", "use": "sig", **fields}


KEYS = [jwk(RSA), jwk(EC, kid="k-2"), jwk(ED, kid="k-3")]


def signed(
    changed: dict[str, Any] | None = None,
    *,
    by: Any = RSA,
    algorithm: str = "RS256",
    header: dict[str, Any] | None = None,
) -> str:
    """A token; a claim that is `GONE` is left out."""
    claims = {k: v for k, v in {**CLAIMS, **(changed or {})}.items() if v is not GONE}
    return jwt.encode(claims, by, algorithm, headers={"kid": "k-1", **(header or {})})


def read(token: str, keys: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """As `ProviderClient` does it, without asking anybody."""
    algorithm, kid = token_header(token)
    key = select_key(KEYS if keys is None else keys, algorithm, kid)
    if key is None:
        raise AuthenticationError("id_token_invalid", "no key")
    return verify_claims(token, key, EXPECTED)


@pytest.mark.parametrize(
    ("by", "algorithm", "kid"),
    [(RSA, "RS256", "k-1"), (RSA, "PS384", "k-1"), (EC, "ES256", "k-2"), (ED, "EdDSA", "k-3")],
)
def test_a_good_token(by: Any, algorithm: str, kid: str) -> None:
    """By each kind of key."""
    assert read(signed(by=by, algorithm=algorithm, header={"kid": kid}))["sub"] == "u-1"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", GONE), ("iss", "https://idp.example/"),
        ("aud", GONE), ("aud", "other"), ("aud", []), ("aud", ["other"]), ("aud", 7),
        ("aud", ["freehold", "other"]),
        ("azp", "other"), ("azp", ""), ("azp", 7),
        ("exp", GONE), ("exp", NOW - LEEWAY), ("exp", "tomorrow"), ("exp", True), ("exp", None),
        ("iat", GONE), ("iat", NOW + LEEWAY + 1), ("iat", "now"),
        ("nbf", NOW + LEEWAY + 1), ("nbf", "now"),
        ("nonce", GONE), ("nonce", "n-2"), ("nonce", ""), ("nonce", ["n-1"]),
        ("sub", GONE), ("sub", ""), ("sub", 7), ("sub", "x" * 256), ("sub", "a\0b"),
    ],
)  # fmt: skip
def test_each_claim_missing_or_wrong(claim: str, value: object) -> None:
    """One at a time, all else as it should be."""
    with pytest.raises(AuthenticationError, match="id_token_invalid"):
        read(signed({claim: value}))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["freehold", "other"], "azp": "freehold"},
        {"azp": "freehold"},
        {"exp": NOW - LEEWAY + 1},
        {"iat": NOW + LEEWAY},
        {"nbf": NOW + LEEWAY},
        {"exp": NOW + 0.5},
    ],
)
def test_what_is_still_right(changed: dict[str, Any]) -> None:
    """Several audiences where we are the party; clocks that differ by a minute."""
    assert read(signed(changed))["sub"] == "u-1"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c", "x5u", "crit"])
def test_a_token_does_not_bring_its_key(name: str) -> None:
    """Nor an extension that we would have to know."""
    with pytest.raises(AuthenticationError, match="refused"):
        read(signed(header={name: jwk(RSA)}))


def test_algorithms_are_ours_to_choose() -> None:
    """`none`; a public key taken for an HMAC secret; another algorithm than the key is for."""
    with pytest.raises(AuthenticationError, match="header"):
        read(jwt.encode(CLAIMS, None, "none"))
    with pytest.raises(AuthenticationError, match="header"):
        read(jwt.encode(CLAIMS, "x" * 64, "HS256", headers={"kid": "k-1"}))
    with pytest.raises(AuthenticationError, match="no key"):
        read(signed(by=EC, algorithm="ES256"))  # k-1 is an RSA key
    with pytest.raises(AuthenticationError, match="no key"):
        read(signed(algorithm="RS512"), [jwk(RSA, alg="RS256")])


@pytest.mark.parametrize(
    "fields",
    [{"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"kty": "EC"}, {"n": "AQAB"},
     {"n": None}, {"kid": "k-9"}],
)  # fmt: skip
def test_keys_that_are_for_something_else(fields: dict[str, Any]) -> None:
    """`use` and `key_ops` are obeyed; a short modulus and another id do not fit."""
    with pytest.raises(AuthenticationError):
        read(signed(), [jwk(RSA, **fields)])


def test_a_short_key_is_not_chosen() -> None:
    """RSA below 2,048 bits counts as no key, whatever it has signed (RFC 7518, 3.3)."""
    numbers = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505  # too short, on purpose
    short = {**RSAAlgorithm.to_jwk(numbers, as_dict=True), "kid": "k-1"}
    assert select_key([short], "RS256", "k-1") is None
    assert select_key([jwk(RSA)], "RS256", "k-1") is not None


def test_a_token_without_a_key_id_needs_a_single_key() -> None:
    """Which of two was meant is not tried out."""
    token = signed(header={"kid": ""})
    assert read(token, [jwk(RSA), jwk(EC)])["sub"] == "u-1"
    with pytest.raises(AuthenticationError, match="no key"):
        read(token, [jwk(RSA), jwk(RSA, kid="k-4")])


def test_a_changed_token() -> None:
    """Another key's signature, other claims, bytes cut off, no token at all."""
    other = rsa.generate_private_key(65537, 2048)
    head, _, tail = signed().split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**CLAIMS, "sub": "root"}).encode()).decode()
    for token in (
        signed(by=other),
        f"{head}.{forged.rstrip('=')}.{tail}",
        signed()[:-8],
        "", "a.b.c", "é.é.é", "x" * (MAX_TOKEN + 1), "..",
    ):  # fmt: skip
        with pytest.raises(AuthenticationError, match="id_token_invalid"):
            read(token)
