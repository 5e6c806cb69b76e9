"""Ed25519 (RFC 8032), domain-separated.

What is signed is `length_prefixed([LABEL, domain, message])`, so a signature made for one purpose
never verifies for another: a checkpoint cannot be passed off as a policy, even under one key.
Ed25519 needs no randomness to sign, so a weak generator cannot leak the key.
"""

from typing import NoReturn, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import BadSignature
from vault.crypto.random import random_bytes

SEED_SIZE = 32
SIGNATURE_SIZE = 64

_LABEL = b"freehold-signature-v1"


class SigningKey:
    """An Ed25519 private key that does not show, copy or pickle its bytes."""

    __slots__ = ("_key", "public")

    public: bytes
    """The raw 32-byte public key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls.from_seed(random_bytes(SEED_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed. Raises `ValueError` for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, domain: str, message: bytes) -> bytes:
        """The 64-byte signature of exactly these bytes for this purpose."""
        return self._key.sign(_framed(domain, message))

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


def verify_signature(public: bytes, domain: str, message: bytes, signature: bytes) -> None:
    """Return only if `signature` is `public`'s over `message` for `domain`.

    Raises `BadSignature` otherwise, also for a public key or signature of the wrong shape: there
    is no boolean to forget to look at.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _framed(domain, message))
    except (InvalidSignature, ValueError):
        raise BadSignature("not signed by this key for this purpose") from None


def _framed(domain: str, message: bytes) -> bytes:
    return length_prefixed([_LABEL, domain.encode(), message])
