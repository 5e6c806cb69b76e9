"""Envelope encryption of one value: KEK wraps DEK, DEK gives K_enc, K_enc seals the value.

Why it is safe:

* Each version has its own random 256-bit DEK, and so its own K_enc, which encrypts once. A nonce
  cannot repeat under it, whatever the generator does.
* HKDF-SHA256(DEK) gives commitment || K_enc. Both come from one HMAC-SHA256 chain keyed by the
  DEK: two DEKs with the same commitment are a collision of SHA-256, so the commitment fixes the
  DEK and with it K_enc. It is compared before anything is decrypted: a box crafted to open under
  two keys (GCM alone allows that) is refused.
* The wrap is bound to the place and the generation, the box to the place: neither half opens
  anywhere else, and halves of different values do not fit together.
* The commitment shows nothing of K_enc: they are separate outputs of a pseudorandom function.
"""

import hmac
from typing import NoReturn

from vault.crypto import aead
from vault.crypto.aead import AeadKey
from vault.crypto.errors import CommitmentMismatch, PlaintextTooLong, UnknownGeneration
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.random import random_bytes
from vault.crypto.sealed_value import (
    COMMITMENT_SIZE,
    MAX_GENERATION,
    MAX_PLAINTEXT,
    SealedBox,
    SealedValue,
    ValuePlace,
    WrappedDek,
)

DEK_SIZE = 32

_SALT = b"freehold-sealed-v1"
_INFO = b"commitment || K_enc"


class Kek:
    """One generation of the key-encryption key. Does not show, copy or pickle its bytes.

    Raises `ValueError` unless the key is 32 bytes and the generation in 1..2^32-1.
    """

    __slots__ = ("_bytes", "_key", "generation")

    generation: int

    def __init__(self, generation: int, key: bytes) -> None:
        if not 1 <= generation <= MAX_GENERATION:
            raise ValueError("KEK generations count from 1 to 2^32-1")
        self.generation = generation
        self._bytes = key
        self._key = AeadKey(key)

    def export_bytes(self) -> bytes:
        """The key's 32 bytes, for the encoding of the keyring that holds it and nothing else."""
        return self._bytes

    def wrap(self, place: ValuePlace, dek: bytes) -> WrappedDek:
        """`dek` under this KEK, for this place only. Is one use (`kek_uses.KekUseCounter`)."""
        return WrappedDek(self.generation, self._key.seal(dek, place.wrap_aad(self.generation)))

    def unwrap(self, place: ValuePlace, wrapped: WrappedDek) -> bytes:
        """The DEK. Raises `UnknownGeneration` (not ours) or `AuthenticationFailed`."""
        if wrapped.generation != self.generation:
            raise UnknownGeneration(
                f"wrapped by KEK generation {wrapped.generation}, not {self.generation}"
            )
        return self._key.open_(wrapped.wrap, place.wrap_aad(self.generation))

    def __repr__(self) -> str:
        return f"Kek(generation={self.generation})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not copied or pickled")


def seal_value(kek: Kek, place: ValuePlace, plaintext: bytes) -> SealedValue:
    """`plaintext` sealed for `place`. Raises `PlaintextTooLong` above 16 MiB."""
    if len(plaintext) > MAX_PLAINTEXT:
        raise PlaintextTooLong("a sealed value holds at most 16 MiB")
    dek = random_bytes(DEK_SIZE)
    commitment, key = _derive(dek)
    box = SealedBox(commitment, aead.seal(key, plaintext, place.box_aad()))
    return SealedValue(kek.wrap(place, dek), box)


def unwrap_value_key(kek: Kek, place: ValuePlace, sealed: SealedValue) -> bytes:
    """K_enc, which opens the box of this value and nothing else.

    Raises `UnknownGeneration` when `kek` is not the one named in it, `AuthenticationFailed` when
    it was altered or belongs elsewhere, `CommitmentMismatch` (one of those) when its two parts do.
    """
    return _checked(kek.unwrap(place, sealed.dek), sealed.box)


def open_value_box(key: bytes, place: ValuePlace, box: SealedBox) -> bytes:
    """The plaintext, by the key that `unwrap_value_key` gave. Raises `AuthenticationFailed`."""
    return aead.open_(key, box.ciphertext, place.box_aad())


def rewrap_value(old_kek: Kek, new_kek: Kek, place: ValuePlace, sealed: SealedValue) -> SealedValue:
    """The same value under `new_kek`: only the wrapped DEK changes; the box is not touched.

    Checks the wrap and the commitment first, and raises as `unwrap_value_key` does: a rekey must
    not give a damaged wrap a fresh seal. Counts as one use of `new_kek`.
    """
    dek = old_kek.unwrap(place, sealed.dek)
    _checked(dek, sealed.box)
    return SealedValue(new_kek.wrap(place, dek), sealed.box)


def _checked(dek: bytes, box: SealedBox) -> bytes:
    commitment, key = _derive(dek)
    if not hmac.compare_digest(commitment, box.commitment):
        raise CommitmentMismatch("the data key is not the one this value was sealed with")
    return key


def _derive(dek: bytes) -> tuple[bytes, bytes]:
    out = hkdf_sha256(dek, salt=_SALT, info=_INFO, length=COMMITMENT_SIZE + aead.KEY_SIZE)
    return out[:COMMITMENT_SIZE], out[COMMITMENT_SIZE:]
