"""AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front.

A box is `nonce (12) || ciphertext || tag (16)`.

Why random nonces are safe here: GCM breaks when a key meets a nonce twice. With 96 random bits
and at most 2^32 boxes under one key the chance of that is below 2^-32 (SP 800-38D section 8.3);
`kek_uses.KekUseCounter` keeps every KEK under that ceiling, and a data key seals exactly once. No
function takes a nonce, so no caller can repeat one.

GCM does not commit to its key: one box may open under two keys chosen by whoever made it. What
needs that property stores a key commitment beside the box (`envelope`).
"""

from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.errors import AuthenticationFailed
from vault.crypto.random import random_bytes

KEY_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16
OVERHEAD = NONCE_SIZE + TAG_SIZE


class AeadKey:
    """A key with its schedule expanded once: worth keeping for a key that is used often.

    Does not show, compare, copy or pickle its bytes. Raises `ValueError` unless given 32 bytes.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("an AES-256-GCM key is 32 bytes")
        self._cipher = AESGCM(key)

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """A fresh box holding `plaintext`, bound to `aad`."""
        nonce = random_bytes(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, plaintext, aad)

    def open_(self, box: bytes, aad: bytes) -> bytes:
        """What was sealed. Raises `AuthenticationFailed` for any other key, box or aad."""
        if len(box) < OVERHEAD:
            raise AuthenticationFailed("shorter than an empty box")
        try:
            return self._cipher.decrypt(box[:NONCE_SIZE], box[NONCE_SIZE:], aad)
        except InvalidTag:
            raise AuthenticationFailed("the box does not open with this key and context") from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """`AeadKey(key).seal(plaintext, aad)`, for a key that is used once."""
    return AeadKey(key).seal(plaintext, aad)


def open_(key: bytes, box: bytes, aad: bytes) -> bytes:
    """`AeadKey(key).open_(box, aad)`, for a key that is used once."""
    return AeadKey(key).open_(box, aad)
