"""vault.crypto.envelope."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vault.crypto import aead, envelope, errors
from vault.crypto.envelope import Kek, open_value_box, rewrap_value, seal_value, unwrap_value_key
from vault.crypto.errors import (
    AuthenticationFailed,
    CommitmentMismatch,
    CryptoError,
    MalformedSealed,
    PlaintextTooLong,
    UnknownGeneration,
)
from vault.crypto.hkdf import hkdf_sha256
from vault.crypto.sealed_value import MAX_PLAINTEXT, SealedBox, SealedValue, ValuePlace

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "sealed.json").read_text())["cases"]

KEY = bytes(range(32))
KEK = Kek(3, KEY)
PLACE = ValuePlace("acme", "prod", "0190f3c2", 7, "value")
SECRET = b"correct horse battery staple"


def open_value(kek: Kek, place: ValuePlace, sealed: SealedValue) -> bytes:
    """Both steps, as the barrier takes them."""
    return open_value_box(unwrap_value_key(kek, place, sealed), place, sealed.box)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Each vector opens to its plaintext, or fails exactly as it says."""
    kek = Kek(case["generation"], bytes.fromhex(case["kek"]))
    place, data = ValuePlace(**case["place"]), bytes.fromhex(case["sealed"])
    if case["expect"] == "success":
        opened = open_value(kek, place, SealedValue.from_bytes(data))
        assert opened.hex() == case["plaintext"]
        return
    with pytest.raises(CryptoError) as caught:
        open_value(kek, place, SealedValue.from_bytes(data))
    assert type(caught.value) is getattr(errors, case["expect"])


def test_the_vectors_cover_each_outcome() -> None:
    """No expectation went missing from the file."""
    assert {case["expect"] for case in VECTORS} == {
        "success",
        "MalformedSealed",
        "AuthenticationFailed",
        "CommitmentMismatch",
        "UnknownGeneration",
    }


@given(st.binary(max_size=2000))
def test_what_was_sealed_opens(plaintext: bytes) -> None:
    """Through its bytes and back, at its place."""
    sealed = SealedValue.from_bytes(seal_value(KEK, PLACE, plaintext).to_bytes())
    assert open_value(KEK, PLACE, sealed) == plaintext


def test_every_bit_counts() -> None:
    """A flip of any bit of a sealed value is refused, whatever its byte means."""
    data = seal_value(KEK, PLACE, SECRET).to_bytes()
    for bit in range(len(data) * 8):
        flipped = (int.from_bytes(data) ^ (1 << bit)).to_bytes(len(data))
        with pytest.raises((AuthenticationFailed, MalformedSealed, UnknownGeneration)):
            open_value(KEK, PLACE, SealedValue.from_bytes(flipped))


def test_every_length_counts() -> None:
    """A cut at any length is refused."""
    data = seal_value(KEK, PLACE, SECRET).to_bytes()
    for length in range(len(data)):
        with pytest.raises(MalformedSealed):
            open_value(KEK, PLACE, SealedValue.from_bytes(data[:length]))


@pytest.mark.parametrize(
    "change",
    [{"org": "x"}, {"vault": "x"}, {"secret_id": "x"}, {"version": 8}, {"field": "x"}],
    ids=lambda change: next(iter(change)),
)
def test_a_value_opens_at_its_place_only(change: dict[str, Any]) -> None:
    """Moved to another org, vault, secret, version or field it neither opens nor rewraps."""
    sealed, elsewhere = seal_value(KEK, PLACE, SECRET), replace(PLACE, **change)
    with pytest.raises(AuthenticationFailed):
        open_value(KEK, elsewhere, sealed)
    with pytest.raises(AuthenticationFailed):
        rewrap_value(KEK, Kek(4, KEY), elsewhere, sealed)


@pytest.mark.parametrize("change", [{"secret_id": "x"}, {"version": 8}, {"field": "x"}], ids=str)
def test_a_box_opens_at_its_place_only(change: dict[str, Any]) -> None:
    """The box alone is bound too: a DEK wrapped anew elsewhere does not carry it there."""
    sealed, elsewhere = seal_value(KEK, PLACE, SECRET), replace(PLACE, **change)
    moved = KEK.wrap(elsewhere, KEK.unwrap(PLACE, sealed.dek))
    with pytest.raises(AuthenticationFailed) as caught:
        open_value(KEK, elsewhere, SealedValue(moved, sealed.box))
    assert type(caught.value) is AuthenticationFailed


def test_a_foreign_dek_fails_before_anything_is_decrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`CommitmentMismatch`, and the box's decryption is never called."""
    one, other = seal_value(KEK, PLACE, b"one"), seal_value(KEK, PLACE, b"other")

    def never(*_: object) -> bytes:
        raise AssertionError("decrypted before the commitment was checked")

    monkeypatch.setattr(aead, "open_", never)
    with pytest.raises(CommitmentMismatch):
        open_value(KEK, PLACE, SealedValue(one.dek, other.box))


def test_a_box_that_opens_under_the_key_needs_the_commitment_all_the_same() -> None:
    """The right DEK and an authentic box with another commitment are refused."""
    sealed = seal_value(KEK, PLACE, SECRET)
    with pytest.raises(CommitmentMismatch):
        open_value(KEK, PLACE, SealedValue(sealed.dek, SealedBox(bytes(32), sealed.box.ciphertext)))


def test_the_key_and_the_commitment_are_halves_of_hkdf() -> None:
    """K_enc is the second half of HKDF-SHA256(DEK), the commitment the first."""
    sealed = seal_value(KEK, PLACE, SECRET)
    dek = KEK.unwrap(PLACE, sealed.dek)
    out = hkdf_sha256(dek, salt=b"freehold-sealed-v1", info=b"commitment || K_enc", length=64)
    assert sealed.box.commitment == out[:32]
    assert aead.open_(out[32:], sealed.box.ciphertext, PLACE.box_aad()) == SECRET


def test_no_two_seals_share_a_dek_a_commitment_or_a_nonce() -> None:
    """The same value sealed 2,000 times at one place gives nothing twice."""
    seals = [seal_value(KEK, PLACE, SECRET) for _ in range(2000)]
    nonces = [s.dek.wrap[:12] for s in seals] + [s.box.ciphertext[:12] for s in seals]
    assert len({KEK.unwrap(PLACE, s.dek) for s in seals}) == 2000
    assert len({s.box.commitment for s in seals}) == 2000
    assert len(set(nonces)) == 4000


def test_rewrap_changes_the_wrapped_dek_alone() -> None:
    """The box is the same object; the new KEK opens the value and the old one does not."""
    sealed, new = seal_value(KEK, PLACE, SECRET), Kek(4, KEY[::-1])
    again = rewrap_value(KEK, new, PLACE, sealed)
    assert again.box is sealed.box
    assert again.generation == 4
    assert open_value(new, PLACE, again) == SECRET
    with pytest.raises(UnknownGeneration):
        open_value(KEK, PLACE, again)
    with pytest.raises(UnknownGeneration):
        rewrap_value(KEK, new, PLACE, again)


def test_rewrap_does_not_bless_a_damaged_value() -> None:
    """A wrap that does not belong to its box is refused, not wrapped anew."""
    one, other = seal_value(KEK, PLACE, b"one"), seal_value(KEK, PLACE, b"other")
    with pytest.raises(CommitmentMismatch):
        rewrap_value(KEK, Kek(4, KEY), PLACE, SealedValue(one.dek, other.box))


def test_a_generation_is_not_renamed() -> None:
    """A wrap of generation 3 whose number is edited to 4 does not open under 4, same key or not."""
    sealed = seal_value(KEK, PLACE, SECRET)
    renamed = SealedValue(replace(sealed.dek, generation=4), sealed.box)
    with pytest.raises(AuthenticationFailed):
        open_value(Kek(4, KEY), PLACE, renamed)


def test_values_have_a_bound() -> None:
    """16 MiB is sealed and opened; a byte more is `PlaintextTooLong`."""
    plaintext = bytes(MAX_PLAINTEXT)
    assert open_value(KEK, PLACE, seal_value(KEK, PLACE, plaintext)) == plaintext
    with pytest.raises(PlaintextTooLong):
        seal_value(KEK, PLACE, plaintext + b"\0")


@pytest.mark.parametrize(("generation", "size"), [(0, 32), (2**32, 32), (1, 16), (1, 33)])
def test_a_kek_is_valid_from_birth(generation: int, size: int) -> None:
    """Another key size or generation is `ValueError`."""
    with pytest.raises(ValueError, match=r"generations|32 bytes"):
        Kek(generation, bytes(size))


def test_a_kek_does_not_show_itself() -> None:
    """Its repr names the generation; copy and pickle refuse; only `export` gives the bytes."""
    assert repr(KEK) == "Kek(generation=3)"
    assert KEK.export_bytes() == KEY
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            leak(KEK)


def test_nothing_public_takes_a_nonce_or_a_dek() -> None:
    """The module's functions are these, and none has such a parameter."""
    for function in (seal_value, open_value, rewrap_value):
        names = set(function.__annotations__) - {"return"}
        assert names <= {"kek", "old_kek", "new_kek", "place", "plaintext", "sealed"}
    assert envelope.DEK_SIZE == 32
