"""Verification of an ID token (OpenID Connect Core 1.0, 3.1.3.7).

Pure: the key is given. PyJWT checks the signature with the one algorithm that the header names and
we allow; every claim is checked here, by our own clock and without a default. A header that brings
its own key (`jwk`, `jku`, `x5c`, `x5u`) or an extension (`crit`) is refused.
"""

from typing import Any, Final

import jwt
from msgspec import Struct

from control.crypto import constant_time_equal
from control.errors import AuthenticationError
from protocols.instant import SECOND

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
)  # fmt: skip
MAX_TOKEN: Final = 32 * 1024  # characters
LEEWAY: Final = 60  # seconds that clocks may differ
MAX_SUBJECT: Final = 255  # OpenID Connect Core 1.0, section 2
MIN_RSA_BITS: Final = 2048  # RFC 7518, 3.3
_FORBIDDEN_HEADERS: Final = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"})
# All that PyJWT would check by the system's clock or only where it is there is checked below.
_UNCHECKED: Final = jwt.types.Options(
    verify_exp=False,
    verify_nbf=False,
    verify_iat=False,
    verify_aud=False,
    verify_iss=False,
    verify_sub=False,
    verify_jti=False,
)

Claims = dict[str, Any]


class ExpectedClaims(Struct, frozen=True):
    """What the token has to say; `now` in Unix nanoseconds."""

    issuer: str
    client_id: str
    nonce: str
    now: int


def token_header(token: str) -> tuple[str, str]:
    """Algorithm and key id of the token's header. Raises `AuthenticationError`."""
    if len(token) > MAX_TOKEN:
        raise token_error("it is too long")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise token_error("it is none") from None
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if (
        algorithm not in ALGORITHMS
        or not isinstance(kid, str)
        or _FORBIDDEN_HEADERS & header.keys()
    ):
        raise token_error("its header is refused")
    return str(algorithm), kid


def select_key(keys: list[dict[str, Any]], algorithm: str, kid: str) -> jwt.PyJWK | None:
    """The key with this id, or the only usable one if the token names none."""
    fitting = [
        jwk for jwk in keys if _is_usable_key(jwk, algorithm) and kid in ("", jwk.get("kid", ""))
    ]
    if len(fitting) != 1:
        return None
    try:
        return jwt.PyJWK(fitting[0], algorithm)
    except jwt.PyJWTError:
        return None


def verify_claims(token: str, key: jwt.PyJWK, expected: ExpectedClaims) -> Claims:
    """Signature and claims checked; the claims. Raises `AuthenticationError`."""
    claims = verified_payload(token, key)
    check_parties(claims, expected)
    check_times(claims, expected.now // SECOND)
    nonce, subject = claims.get("nonce"), claims.get("sub")
    if not isinstance(nonce, str) or not constant_time_equal(nonce, expected.nonce):
        raise token_error("nonce")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or "\0" in subject:
        raise token_error("sub")
    return claims


def verified_payload(token: str, key: jwt.PyJWK) -> Claims:
    """The payload if the key has signed it; no claim is checked. Raises `AuthenticationError`."""
    try:
        claims: Claims = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            options=_UNCHECKED,
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        raise token_error("its signature does not count") from None
    return claims


def token_error(what: str) -> AuthenticationError:
    """An error that contains nothing of the token."""
    return AuthenticationError("id_token_invalid", f"the provider's token is refused: {what}")


def _is_usable_key(jwk: dict[str, Any], algorithm: str) -> bool:
    """Whether the key is for checking signatures of this algorithm (RFC 7517, 4.2 to 4.4)."""
    kind = {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]] if algorithm != "EdDSA" else "OKP"
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == kind
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and jwk.get("alg", algorithm) == algorithm
        and (kind != "RSA" or _modulus_bits(jwk.get("n")) >= MIN_RSA_BITS)
    )


def _modulus_bits(modulus: object) -> int:
    """Length of a base64url modulus, to within a byte."""
    return len(modulus) * 6 if isinstance(modulus, str) else 0


def check_parties(claims: Claims, expected: ExpectedClaims) -> None:
    """Check issuer, audience and authorized party. Raises `AuthenticationError`."""
    if claims.get("iss") != expected.issuer:
        raise token_error("iss")
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or expected.client_id not in named:
        raise token_error("aud")
    party = claims.get("azp")
    if (len(named) > 1 or party is not None) and party != expected.client_id:
        raise token_error("azp")


def check_times(claims: Claims, now: int) -> None:
    """Check the token's times; `now` in seconds. Raises `AuthenticationError`."""
    if not _is_number(claims.get("exp")) or now >= claims["exp"] + LEEWAY:
        raise token_error("exp")
    if not _is_number(claims.get("iat")) or claims["iat"] > now + LEEWAY:
        raise token_error("iat")
    not_before = claims.get("nbf", 0)
    if not _is_number(not_before) or not_before > now + LEEWAY:
        raise token_error("nbf")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
