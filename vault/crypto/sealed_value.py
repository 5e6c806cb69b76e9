"""The sealed value, format 1: where it belongs and what its bytes are (docs/spec/sealed.md).

Pure encoding: `envelope` does the cryptography. A sealed value has two parts that are stored
apart, because they live apart: destroying a version destroys its `WrappedDek` and nothing else,
and a rekey replaces the `WrappedDek` and leaves the `SealedBox` as it is.
"""

from functools import lru_cache
from struct import Struct as Packing
from typing import Self

from msgspec import Struct

from vault.crypto import aead
from vault.crypto.digest import DIGEST_SIZE
from vault.crypto.encoding import length_prefixed
from vault.crypto.errors import MalformedSealed

SEALED_FORMAT = 1
"""First byte of each part. Another byte is another format, never a variation of this one."""

MAX_PLAINTEXT = 16 * 1024 * 1024
"""Sixteen times the largest request body (1 MiB by default): a bound, not a goal."""

COMMITMENT_SIZE = DIGEST_SIZE
WRAP_SIZE = aead.OVERHEAD + aead.KEY_SIZE
MAX_GENERATION = 2**32 - 1
MAX_VERSION = 2**64 - 1

ALGORITHM = b"AES-256-GCM+HKDF-SHA256"
_WRAP_LABEL = b"freehold-wrap-v1"
_BOX_LABEL = b"freehold-box-v1"

_WRAPPED = Packing(f">BI{WRAP_SIZE}s")
_BOX_HEAD = Packing(f">B{COMMITMENT_SIZE}sI")
_U32 = Packing(">I")
_NUMBER = Packing(">IQ")  # a length, then a version
_NUMBERS = Packing(">IQII")  # the same, a length, a generation

WRAPPED_SIZE = _WRAPPED.size
"""Every wrapped DEK is 65 bytes."""


class ValuePlace(Struct, frozen=True):
    """The one place where a sealed value may be opened.

    `version` counts from 1; `field` names which value of that version it is. Names are compared as
    exact UTF-8: whoever builds a place has made them canonical. Raises `ValueError` for an empty
    name or a version outside 1..2^64-1.
    """

    org: str
    vault: str
    secret_id: str
    version: int
    field: str

    def __post_init__(self) -> None:
        if not (self.org and self.vault and self.secret_id and self.field):
            raise ValueError("a place has no empty names")
        if not 1 <= self.version <= MAX_VERSION:
            raise ValueError("versions count from 1 to 2^64-1")

    def wrap_aad(self, generation: int) -> bytes:
        """What the wrapped DEK is bound to: the place and the KEK generation.

        `length_prefixed` of label, org, vault, secret, version, generation, algorithm and field.
        """
        secret_id = self.secret_id.encode()
        return b"".join((
            _head(_WRAP_LABEL, 8, self.org, self.vault),
            _U32.pack(len(secret_id)),
            secret_id,
            _NUMBERS.pack(8, self.version, 4, generation),
            _tail(self.field),
        ))  # fmt: skip

    def box_aad(self) -> bytes:
        """What the box is bound to: the place, and not the generation (decision 3).

        `length_prefixed` of label, org, vault, secret, version, algorithm and field.
        """
        secret_id = self.secret_id.encode()
        return b"".join((
            _head(_BOX_LABEL, 7, self.org, self.vault),
            _U32.pack(len(secret_id)),
            secret_id,
            _NUMBER.pack(8, self.version),
            _tail(self.field),
        ))  # fmt: skip


# A read builds both encodings: what is the same for a whole vault is encoded once.


@lru_cache(maxsize=16)
def _head(label: bytes, count: int, org: str, vault: str) -> bytes:
    """The encoding's beginning: the number of fields and the first three of them."""
    return _U32.pack(count) + length_prefixed([label, org.encode(), vault.encode()])[_U32.size :]


@lru_cache(maxsize=16)
def _tail(field: str) -> bytes:
    """The encoding's end: its last two fields."""
    return length_prefixed([ALGORITHM, field.encode()])[_U32.size :]


class WrappedDek(Struct, frozen=True):
    """A data key under KEK `generation`. Raises `MalformedSealed` for impossible sizes."""

    generation: int
    wrap: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.generation <= MAX_GENERATION:
            raise MalformedSealed("KEK generations count from 1 to 2^32-1")
        if len(self.wrap) != WRAP_SIZE:
            raise MalformedSealed("a wrapped DEK is 60 bytes")

    def to_bytes(self) -> bytes:
        """`0x01 || u32 generation || wrap (60)`: 65 bytes."""
        return _WRAPPED.pack(SEALED_FORMAT, self.generation, self.wrap)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises `MalformedSealed` for anything else."""
        if len(data) != WRAPPED_SIZE:
            raise MalformedSealed("a wrapped DEK part is 65 bytes")
        version, generation, wrap = _WRAPPED.unpack(data)
        if version != SEALED_FORMAT:
            raise MalformedSealed("unknown format of a wrapped DEK")
        return cls(generation, wrap)


class SealedBox(Struct, frozen=True):
    """The ciphertext and the commitment to its key. Raises `MalformedSealed` for bad sizes."""

    commitment: bytes
    ciphertext: bytes

    def __post_init__(self) -> None:
        if len(self.commitment) != COMMITMENT_SIZE:
            raise MalformedSealed("a key commitment is 32 bytes")
        if not aead.OVERHEAD <= len(self.ciphertext) <= aead.OVERHEAD + MAX_PLAINTEXT:
            raise MalformedSealed("a box holds 0 to 16 MiB")

    def to_bytes(self) -> bytes:
        """`0x01 || commitment (32) || u32 length || nonce, ciphertext, tag`."""
        return (
            _BOX_HEAD.pack(SEALED_FORMAT, self.commitment, len(self.ciphertext)) + self.ciphertext
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises `MalformedSealed` for anything else."""
        if len(data) < _BOX_HEAD.size:
            raise MalformedSealed("a box part is cut short")
        version, commitment, length = _BOX_HEAD.unpack_from(data)
        if version != SEALED_FORMAT:
            raise MalformedSealed("unknown format of a box")
        if len(data) - _BOX_HEAD.size != length:
            raise MalformedSealed("a box part is as long as it says")
        return cls(commitment, data[_BOX_HEAD.size :])


class SealedValue(Struct, frozen=True):
    """A whole sealed value: its two parts, which also travel as one string of bytes."""

    dek: WrappedDek
    box: SealedBox

    @property
    def generation(self) -> int:
        """The KEK generation that opens it."""
        return self.dek.generation

    def to_bytes(self) -> bytes:
        """The two parts one after the other; the first has a fixed size."""
        return self.dek.to_bytes() + self.box.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises `MalformedSealed` for anything else."""
        return cls.from_parts(data[:WRAPPED_SIZE], data[WRAPPED_SIZE:])

    @classmethod
    def from_parts(cls, dek: bytes, box: bytes) -> Self:
        """From the bytes of the two parts. Raises `MalformedSealed` if either is not one."""
        return cls(WrappedDek.from_bytes(dek), SealedBox.from_bytes(box))
