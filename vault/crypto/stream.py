"""STREAM over AES-256-GCM: a long plaintext as chunks that cannot be cut, reordered or exchanged.

Source: Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, CRYPTO 2015; as age uses it (https://age-encryption.org/v1). The nonce of a chunk
is its number in 11 bytes, big-endian, and one byte that is 1 for the last chunk and else 0.

Why counted nonces are safe here: a key seals one stream, and the caller cannot set the counter. The
keys of ours are derived from 256 random bits that are drawn for each backup.
"""

from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.crypto.aead import KEY_SIZE, TAG_SIZE
from vault.crypto.errors import AuthenticationFailed

CHUNK_SIZE = 64 * 1024
"""Bytes of plaintext in each chunk but the last, which has 1 to as many; 0 in an empty stream."""
SEALED_CHUNK_SIZE = CHUNK_SIZE + TAG_SIZE


class _Stream:
    """The key of one stream and the number of its next chunk. Does not copy or pickle."""

    __slots__ = ("_aad", "_cipher", "_ended", "_number")

    def __init__(self, key: bytes, aad: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("an AES-256-GCM key is 32 bytes")
        self._cipher = AESGCM(key)
        self._aad = aad
        self._number = 0
        self._ended = False

    def _next_nonce(self, *, last: bool) -> bytes:
        if self._ended:
            raise ValueError("the stream has ended")
        self._ended = last
        nonce = self._number.to_bytes(11) + bytes([last])
        self._number += 1
        return nonce

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


class StreamSealer(_Stream):
    """Seals the chunks of one stream, in their order."""

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        """The sealed chunk. Each but the last has `CHUNK_SIZE` bytes; raises `ValueError`."""
        if len(chunk) > CHUNK_SIZE or (len(chunk) < CHUNK_SIZE and not last):
            raise ValueError("each chunk but the last is full")
        return self._cipher.encrypt(self._next_nonce(last=last), chunk, self._aad)


class StreamOpener(_Stream):
    """Opens the chunks of one stream, in their order."""

    def open_(self, box: bytes, *, last: bool) -> bytes:
        """The plaintext. Raises `AuthenticationFailed` for any other key, chunk, place or aad."""
        try:
            return self._cipher.decrypt(self._next_nonce(last=last), box, self._aad)
        except InvalidTag:
            raise AuthenticationFailed("the chunk does not open at this place") from None
