"""The control plane's primitives: a digest, randomness, and the bearer secrets made of both.

A bearer secret holds 256 random bits, so its SHA-256 digest is as good as the secret to whoever
wants to check it and worth nothing to whoever steals the database (`security.md`, Credentials).
"""

import hmac
import os
from base64 import urlsafe_b64encode
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash

SECRET_BYTES: Final = 32
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_WIDTH: Final = 43  # base62 digits that hold any 32 bytes
_SHA256: Final = SHA256()

SigningKey: TypeAlias = Ed25519PrivateKey


def sha256(data: bytes) -> bytes:
    """The 32-byte digest (FIPS 180-4)."""
    return Hash.hash(_SHA256, data)


def mint(prefix: str) -> str:
    """A new bearer secret: `prefix_` and 256 bits from the operating system, in base62."""
    number = int.from_bytes(os.urandom(SECRET_BYTES), "big")
    digits = []
    for _ in range(_WIDTH):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def digest_of(secret: str) -> bytes:
    """What is stored of a bearer secret, and what it is looked up by."""
    return sha256(secret.encode("utf-8", "surrogatepass"))


def csrf_of(secret: str) -> str:
    """What a page of ours sends back to show that it is one: it follows from the session's secret.

    43 characters of base64url; who reads it (only our own origin can) does not learn the secret.
    """
    digest = sha256(b"freehold-csrf-v1\0" + secret.encode("utf-8", "surrogatepass"))
    return urlsafe_b64encode(digest).decode().rstrip("=")


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    encoded = (text.encode("utf-8", "surrogatepass") for text in (one, other))
    return hmac.compare_digest(*encoded)
