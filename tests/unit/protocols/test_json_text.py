"""Tests of the decoder for JSON from outside."""

import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import json_text

COUNT = 20_000
FACTOR = 8.0  # times what a plain number costs; without the hook it is over 40
NUMBERS = ["1e300", "-1e308", "5e-324", "1.7976931348623157e308", "2.2250738585072014e-308"]


def cost(number: str) -> float:
    """Seconds of CPU that a list of this number takes, at best."""
    data = ("[" + ",".join([number] * COUNT) + "]").encode()
    best = math.inf
    for _ in range(5):
        began = time.thread_time()
        json_text.decode(data)
        best = min(best, time.thread_time() - began)
    return best


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_costs_much_more_than_a_plain_one(number: str) -> None:
    """A body's cost is bounded by its length, whatever numbers it holds."""
    assert cost(number) < FACTOR * cost("1.5")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_one_that_is_written(number: float) -> None:
    """As Python reads it, to the last bit, and written again it is the same."""
    text = repr(number)
    found = json_text.decode(text)
    assert found == float(text)
    assert math.copysign(1, found) == math.copysign(1, number)
    assert json_text.decode(msgspec.json.encode(found)) == number


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e99999999", "1" * 400 + ".0"])
def test_a_number_that_no_float_holds_is_refused(text: str) -> None:
    """It would become an infinity, which JSON cannot say."""
    with pytest.raises(msgspec.ValidationError, match="out of range"):
        json_text.decode(f"[{text}]")


@pytest.mark.parametrize("text", ["1", "-7", str(2**70), "9" * 400])
def test_whole_numbers_stay_whole(text: str) -> None:
    """However large, within Python's bound on digits."""
    found = json_text.decode(text)
    assert found == int(text)
    assert type(found) is int


def test_shapes_are_kept_to() -> None:
    """As `msgspec.json.decode` does."""
    assert json_text.decode(b'{"a":1.0}', type=dict[str, Any]) == {"a": 1.0}
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        json_text.decode(b'["a"]', type=list[int])
    with pytest.raises(msgspec.DecodeError):
        json_text.decode(b"[1")
