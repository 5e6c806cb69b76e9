"""The compact serialization of a signed token (RFC 7515, 7.1), taken apart without leniency.

Three parts of unpadded base64url in their one spelling. A header that names an algorithm of ours
and brings neither a key (`jwk`, `jku`, `x5c`, `x5u`) nor an extension (`crit`, `b64`, `zip`,
`enc`). Objects whose names come once, no deeper than `MAX_DEPTH`. So a token has one reading.
"""

import re
from base64 import urlsafe_b64decode
from typing import Any, Final

from msgspec import Struct

from protocols import json_text

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Signatures alone: who can verify must not be able to sign, so no HMAC; `none` is none."""
MAX_TOKEN: Final = 16 * 1024
"""Characters. Tokens of directories with many groups have some 8,000."""
MAX_DEPTH: Final = 16
MAX_KID: Final = 512
_FORBIDDEN_HEADERS: Final = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"})
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_SHAPE: Final = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

Claims = dict[str, Any]


class InvalidTokenError(Exception):
    """A token that proves nothing. `reason` is one of our texts and holds nothing of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CompactToken(Struct, frozen=True):
    """A token in its parts; nothing of it is verified."""

    algorithm: str
    kid: str
    """Empty: it names no key."""
    signed: bytes
    """What the signature is of: header and payload as they were sent."""
    payload: bytes
    signature: bytes


def looks_like_token(text: str) -> bool:
    """Whether a credential has the form of a signed token: a JSON object, and two more parts."""
    return text.startswith("eyJ") and _SHAPE.fullmatch(text) is not None


def parse_token(text: str) -> CompactToken:
    """Take a token apart. Raises `InvalidTokenError`."""
    if len(text) > MAX_TOKEN or not text.isascii():
        raise InvalidTokenError("it is too long, or not all ASCII")
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004  # RFC 7515, 3.1
        raise InvalidTokenError("it has not got three parts")
    header = _decode_object(_decode_base64url(parts[0]), "header")
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if algorithm not in ALGORITHMS:
        raise InvalidTokenError("its algorithm is not allowed")
    if not isinstance(kid, str) or len(kid) > MAX_KID:
        raise InvalidTokenError("its key id is no text, or too long")
    if not _FORBIDDEN_HEADERS.isdisjoint(header):
        raise InvalidTokenError("its header brings a key or an extension")
    return CompactToken(
        algorithm=algorithm,
        kid=kid,
        signed=f"{parts[0]}.{parts[1]}".encode("ascii"),
        payload=_decode_base64url(parts[1]),
        signature=_decode_base64url(parts[2]),
    )


def parse_claims(payload: bytes) -> Claims:
    """The claims of a payload. Raises `InvalidTokenError`."""
    return _decode_object(payload, "payload")


def _decode_base64url(text: str) -> bytes:
    """Unpadded and canonical: what is left over of the last character is zero (RFC 4648, 3.5)."""
    if _BASE64URL.fullmatch(text) is None or len(text) % 4 == 1:
        raise InvalidTokenError("a part is not unpadded base64url")
    unused = {0: 0, 2: 4, 3: 2}[len(text) % 4]  # bits of the last character that must be zero
    if unused and _SEXTETS[text[-1]] & ((1 << unused) - 1):
        raise InvalidTokenError("a part is not unpadded base64url")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


_SEXTETS: Final = {
    character: value
    for value, character in enumerate(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
}


def _decode_object(data: bytes, part: str) -> dict[str, Any]:
    try:
        found = json_text.decode_pairs(data.decode())
        if isinstance(found, json_text.Pairs):
            made: dict[str, Any] = _checked(found, MAX_DEPTH)
            return made
    except (ValueError, RecursionError):
        pass
    raise InvalidTokenError(f"its {part} is not a JSON object with names that come once")


def _checked(value: Any, depth: int) -> Any:
    """The value with objects as dicts. Raises `ValueError`."""
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no text
        return value
    if not isinstance(value, list):
        return value
    if not depth:
        raise ValueError("nested too deep")
    if not isinstance(value, json_text.Pairs):
        return [_checked(each, depth - 1) for each in value]
    made = {_checked(name, depth): _checked(each, depth - 1) for name, each in value}
    if len(made) != len(value):
        raise ValueError("a name comes twice")
    return made
