"""HKDF-SHA256 (RFC 5869), extract and expand together."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAX_LENGTH = 255 * 32
"""RFC 5869 section 2.3: L <= 255 * HashLen."""

_SHA256 = SHA256()


def hkdf_sha256(key: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """`length` bytes derived from `key`, independent for every (salt, info).

    `key` must be strong (it is: 256 random bits); this is no password hash. Raises `ValueError`
    when `length` is not in 1..8160.
    """
    if not 1 <= length <= MAX_LENGTH:
        raise ValueError("HKDF-SHA256 gives 1 to 8160 bytes")
    return HKDF(_SHA256, length, salt, info).derive(key)
