"""The control plane's primitives: digest, randomness, bearer secrets, sealing.

A bearer secret has 256 random bits, so its SHA-256 digest suffices to check it and is worthless to
whoever steals the database (`security.md`, Credentials).
"""

import hmac
import os
from base64 import urlsafe_b64encode
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.errors import TamperedError

SECRET_BYTES: Final = 32
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62_WIDTH: Final = 43  # base62 digits that hold any 32 bytes
_SHA256: Final = SHA256()

SEALING_KEY_BYTES: Final = 32

SigningKey: TypeAlias = Ed25519PrivateKey


def sha256(data: bytes) -> bytes:
    """The 32-byte digest (FIPS 180-4)."""
    return Hash.hash(_SHA256, data)


def is_valid_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this Ed25519 key (32 bytes) has signed exactly this message (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, message, "sha256")


def new_bearer_secret(prefix: str) -> str:
    """A new bearer secret: `prefix_` and 256 bits from the operating system, in base62."""
    return f"{prefix}_{_to_base62(random_bytes(SECRET_BYTES))}"


def _to_base62(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits = []
    for _ in range(_BASE62_WIDTH):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def secret_digest(secret: str) -> bytes:
    """What is stored of a bearer secret, and what it is looked up by."""
    return sha256(secret.encode("utf-8", "surrogatepass"))


def pkce_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636, 4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode())).decode().rstrip("=")


def short_fingerprint(challenge: str) -> str:
    """72 bits of a challenge, for people to compare: too many to find another with the same."""
    return " ".join(challenge[start : start + 4] for start in (0, 4, 8))


def constant_time_equal(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    encoded = (text.encode("utf-8", "surrogatepass") for text in (one, other))
    return hmac.compare_digest(*encoded)


def constant_time_equal_bytes(one: bytes, other: bytes) -> bool:
    """The same, for bytes."""
    return hmac.compare_digest(one, other)


def random_bytes(count: int) -> bytes:
    """From the operating system."""
    return os.urandom(count)


class Sealer:
    """AES-256-GCM for the few values that the control plane itself has to read again.

    Sealed: `01 ‖ nonce (12) ‖ ciphertext and tag`, bound to `place`, a list that is encoded with
    its lengths, so that no value can be moved to another row. Nonces are random: there is about one
    value a person, far from the 2^32 that NIST SP 800-38D (8.3) allows one key.
    """

    FORMAT: Final = b"\x01"

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._key = HKDF(
            algorithm=_SHA256, length=SECRET_BYTES, salt=None, info=b"freehold-control-links-v1"
        ).derive(key)

    def derive_secret(self, prefix: str, *place: str) -> str:
        """A bearer secret derived from the key and `place`: HKDF-SHA256 (RFC 5869)."""
        hkdf = HKDF(algorithm=_SHA256, length=SECRET_BYTES, salt=None, info=_associated_data(place))
        return f"{prefix}_{_to_base62(hkdf.derive(self._key))}"

    def seal(self, plain: bytes, *place: str) -> bytes:
        """The sealed value."""
        nonce = random_bytes(12)
        return self.FORMAT + nonce + self._cipher.encrypt(nonce, plain, _associated_data(place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """The value. Raises `TamperedError` for one that was changed or moved."""
        try:
            aad = _associated_data(place) + sealed[:1].removeprefix(
                self.FORMAT
            )  # another format fails
            return self._cipher.decrypt(sealed[1:13], sealed[13:], aad)
        except (InvalidTag, ValueError):
            raise TamperedError(
                "sealed_value",
                "a stored value cannot be decrypted: restore sealing.key, or enter the value again",
            ) from None


def _associated_data(parts: tuple[str, ...]) -> bytes:
    encoded = [part.encode() for part in ("freehold-control-sealed-v1", *parts)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
