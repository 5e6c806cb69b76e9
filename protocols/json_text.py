"""JSON that may come from outside, decoded in a time that its length bounds.

msgspec converts a number with a large exponent (`1e300`, `5e-324`) with exact arithmetic, at up to
10 µs each: 2 MB of such numbers would hold the event loop for seconds. Python's `float` takes the
same text in 0.1 µs. msgspec asks for it where no type is given (`Any`); a shape that is decoded
from outside must therefore hold few fields of type `float`, and no list of them.

Every decoder of the product is made here (`tests/architecture/test_json.py`).
"""

import json
from functools import lru_cache
from math import isfinite
from typing import Any, NoReturn, TypeVar, overload

import msgspec

T = TypeVar("T")

_DECODERS = 1024  # shapes; the product has fewer


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("Number out of range")  # as msgspec has it
    return number


def decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder for one shape."""
    return msgspec.json.Decoder(shape, float_hook=_number)


_known = lru_cache(_DECODERS)(decoder)
_plain = decoder(Any).decode


@overload
def decode(data: bytes | str | msgspec.Raw) -> Any: ...
@overload
def decode(data: bytes | str | msgspec.Raw, *, type: type[T]) -> T: ...
@overload
def decode(data: bytes | str | msgspec.Raw, *, type: Any) -> Any: ...
def decode(data: bytes | str | msgspec.Raw, *, type: Any = Any) -> Any:  # noqa: A002  # as msgspec
    """As `msgspec.json.decode`; raises `msgspec.DecodeError` and its `ValidationError`."""
    return _plain(data) if type is Any else _known(type).decode(data)


class Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object in their order. A key may come twice."""


def decode_pairs(text: str) -> Any:
    """As `decode`, with each object as its `Pairs`, so that no key is lost.

    Raises `ValueError`, and `RecursionError` where it is nested too deep.
    """
    return json.loads(
        text, object_pairs_hook=Pairs, parse_float=_number, parse_constant=_number_word
    )


def _number_word(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
