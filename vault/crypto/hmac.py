"""HMAC-SHA256 (RFC 2104, FIPS 198-1) with the full 32-byte tag.

Tags are never truncated, so a forgery costs 2^256 guesses, and two messages never share a tag
in practice. The caller makes its message unambiguous: `encoding.length_prefixed` for lists.
"""

from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

TAG_SIZE = 32

_SHA256 = SHA256()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """The 32-byte tag of `data` under `key`. Keys of ours are 32 random bytes."""
    mac = HMAC(key, _SHA256)
    mac.update(data)
    return mac.finalize()


class HmacKey:
    """A key with its two hash states prepared once: for one that is used for every request.

    Does not show, copy or pickle its bytes.
    """

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        self._begun = HMAC(key, _SHA256)

    def tag(self, data: bytes) -> bytes:
        """`hmac_sha256` of `data` under this key."""
        mac = self._begun.copy()
        mac.update(data)
        return mac.finalize()

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")
