"""vault.crypto.encoding."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.encoding import BASE62, base62, base62_width, length_prefixed, length_prefixer

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "length_prefixed.json").read_text())[
    "cases"
]

FIELDS = st.lists(st.binary(max_size=6), max_size=6)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """The encoding is the specified one."""
    fields = [bytes.fromhex(field) for field in case["fields"]]
    assert length_prefixed(fields).hex() == case["encoded"]


@given(FIELDS, st.binary(max_size=6))
def test_prefixed_last(first: list[bytes], last: bytes) -> None:
    """It is the same list, its last field given later."""
    assert length_prefixer(first)(last) == length_prefixed([*first, last])


def decode(data: bytes) -> tuple[list[bytes], bytes]:
    """The list at the front of `data`, and what follows it."""
    count, at, fields = int.from_bytes(data[:4]), 4, []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4])
        fields.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return fields, data[at:]


@given(FIELDS, st.binary(max_size=8))
def test_is_injective_and_prefix_free(fields: list[bytes], rest: bytes) -> None:
    """The list comes back from its encoding whatever follows, so no two lists share one."""
    assert decode(length_prefixed(fields) + rest) == (fields, rest)


@given(st.binary(max_size=40))
def test_base62_is_a_number_of_fixed_width(data: bytes) -> None:
    """The digits are the big-endian number, and the width depends on the length alone."""
    text = base62(data)
    number = 0
    for digit in text:
        number = number * 62 + BASE62.index(digit)
    assert number == int.from_bytes(data)
    assert len(text) == base62_width(len(data))


def test_base62_widths_are_the_least_that_fit() -> None:
    """62^width reaches 256^size and 62^(width-1) does not; a 256-bit secret has 43 digits."""
    for size in range(1, 65):
        width = base62_width(size)
        assert 62 ** (width - 1) < 256**size <= 62**width
    assert base62_width(32) == 43
