"""Injective encodings: two different inputs never give the same bytes."""

from collections.abc import Callable, Sequence
from struct import Struct

_U32 = Struct(">I")

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_BITS_PER_DIGIT = 5.954196310386875
"""log2(62)."""


def length_prefixed(fields: Sequence[bytes]) -> bytes:
    """`u32 count || (u32 length || field)*`, big-endian.

    A joined string ("a/b" + "c" against "a" + "b/c") lets one list pass for another; here the
    count and the lengths fix where each field ends, so the encoding is injective, and prefix-free
    too: anything may follow it. Raises `struct.error` for a field of 4 GiB or more.
    """
    pack = _U32.pack
    parts = [pack(len(fields))]
    for field in fields:
        parts.append(pack(len(field)))
        parts.append(field)
    return b"".join(parts)


def length_prefixer(first: Sequence[bytes]) -> Callable[[bytes], bytes]:
    """`length_prefixed([*first, last])` as a function of `last`: the rest is packed once."""
    pack = _U32.pack
    head = b"".join(
        [pack(len(first) + 1), *(part for field in first for part in (pack(len(field)), field))]
    )
    return lambda last: head + pack(len(last)) + last


def base62_width(size: int) -> int:
    """How many base62 digits hold any string of `size` bytes: 43 for 32."""
    return int(size * 8 / _BITS_PER_DIGIT) + 1


def base62(data: bytes) -> str:
    """`data` as one big-endian number in base62, padded with zeros to `base62_width(len(data))`.

    The fixed width makes it injective for each length, and leaks no leading zeros by length.
    """
    number = int.from_bytes(data, "big")
    digits = []
    for _ in range(base62_width(len(data))):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))
