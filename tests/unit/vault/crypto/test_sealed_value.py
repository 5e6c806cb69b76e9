"""vault.crypto.sealed_value."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import MalformedSealed
from vault.crypto.sealed_value import MAX_PLAINTEXT, SealedBox, SealedValue, ValuePlace, WrappedDek

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "sealed.json").read_text())["cases"]

PLACE = ValuePlace("acme", "prod", "0190f3c2", 7, "value")

SEALED = st.builds(
    SealedValue,
    st.builds(WrappedDek, st.integers(1, 2**32 - 1), st.binary(min_size=60, max_size=60)),
    st.builds(SealedBox, st.binary(min_size=32, max_size=32), st.binary(min_size=28, max_size=90)),
)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors_decode_to_one_encoding_or_are_malformed(case: dict[str, Any]) -> None:
    """What decodes encodes to the same bytes; what is malformed says so; nothing in between."""
    data = bytes.fromhex(case["sealed"])
    if case["expect"] == "MalformedSealed":
        with pytest.raises(MalformedSealed):
            SealedValue.from_bytes(data)
    else:
        assert SealedValue.from_bytes(data).to_bytes() == data


@given(SEALED)
def test_round_trip(sealed: SealedValue) -> None:
    """Whole or in parts, a sealed value comes back as it was."""
    assert SealedValue.from_bytes(sealed.to_bytes()) == sealed
    assert SealedValue.from_parts(sealed.dek.to_bytes(), sealed.box.to_bytes()) == sealed
    assert sealed.generation == sealed.dek.generation


@given(st.binary(max_size=300))
def test_no_bytes_have_two_readings(data: bytes) -> None:
    """Any bytes are malformed or exactly the encoding of what they decode to."""
    for part in (WrappedDek, SealedBox, SealedValue):
        try:
            value = part.from_bytes(data)
        except MalformedSealed:
            continue
        assert value.to_bytes() == data


@given(SEALED, st.binary(min_size=1, max_size=4))
def test_truncation_and_trailing_bytes_are_malformed(sealed: SealedValue, rest: bytes) -> None:
    """Every cut and every addition is refused, of each part and of the whole."""
    for part in (sealed.dek, sealed.box, sealed):
        data = part.to_bytes()
        for length in range(len(data)):
            with pytest.raises(MalformedSealed):
                type(part).from_bytes(data[:length])
        with pytest.raises(MalformedSealed):
            type(part).from_bytes(data + rest)


def test_parts_are_valid_from_birth() -> None:
    """No part with an impossible size or generation can be made at all."""
    for generation, size in ((0, 60), (2**32, 60), (-1, 60), (1, 59), (1, 61), (1, 0)):
        with pytest.raises(MalformedSealed):
            WrappedDek(generation, bytes(size))
    for commitment, ciphertext in ((31, 28), (33, 28), (32, 27), (32, 28 + MAX_PLAINTEXT + 1)):
        with pytest.raises(MalformedSealed):
            SealedBox(bytes(commitment), bytes(ciphertext))


def test_the_largest_value_fits() -> None:
    """16 MiB is inside the bound, and its length inside the encoding."""
    box = SealedBox(bytes(32), bytes(28 + MAX_PLAINTEXT))
    assert SealedBox.from_bytes(box.to_bytes()) == box


@pytest.mark.parametrize(
    "change",
    [
        {"org": ""},
        {"vault": ""},
        {"secret_id": ""},
        {"field": ""},
        {"version": 0},
        {"version": -1},
        {"version": 2**64},
    ],
    ids=str,
)
def test_a_place_has_all_its_names_and_a_version(change: dict[str, Any]) -> None:
    """Empty names and versions outside 1..2^64-1 are refused."""
    parts = {"org": "o", "vault": "v", "secret_id": "s", "version": 1, "field": "f", **change}
    with pytest.raises(ValueError, match=r"place|versions"):
        ValuePlace(**parts)


NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
PLACES = st.builds(ValuePlace, NAME, NAME, NAME, st.integers(1, 3), NAME)


@given(PLACES, PLACES)
def test_places_share_no_aad(one: ValuePlace, other: ValuePlace) -> None:
    """Two places bind alike only if they are the same; a wrap never binds as a box does."""
    assert (one.box_aad() == other.box_aad()) == (one == other)
    assert (one.wrap_aad(1) == other.wrap_aad(1)) == (one == other)
    assert one.box_aad() != one.wrap_aad(1)


def test_the_generation_binds_the_wrap() -> None:
    """A wrap's number cannot be edited (decision 3 says why the box has none)."""
    assert PLACE.wrap_aad(1) != PLACE.wrap_aad(2)
