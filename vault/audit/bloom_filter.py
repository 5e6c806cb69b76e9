"""A Bloom filter: whether a set may hold a member, in a few bits for each of them.

Bloom, Space/time trade-offs in hash coding with allowable errors, CACM 1970; its positions by
double hashing (Kirsch and Mitzenmacher, Less hashing, same performance, ESA 2006) from one CRC-32,
which is no protection: whoever makes members collide makes searches read more, never less.
"""

from collections.abc import Collection
from typing import Final
from zlib import crc32

MAX_BYTES: Final = 16_384  # of one filter; a fuller one says more often that it may hold something
_BITS: Final = 12  # at least, for each member: of 150 strangers one is taken for a member
_HASHES: Final = 4
_MIN_BITS: Final = 64  # bits, and the next power of two is taken
_ONE: Final = ord("1")
_LOW: Final = 15  # bits of the CRC that are left out of the step, where the first position is


def build_filter(members: Collection[bytes]) -> bytes:
    """The filter of these members: a power of two of bits."""
    bits = min(1 << max(_MIN_BITS, len(members) * _BITS).bit_length(), MAX_BYTES * 8)
    digits, mask = bytearray(b"0" * bits), bits - 1  # a digit a bit: each is set in one step
    for member in members:
        place = crc32(member)
        step = place >> _LOW | 1
        for _ in range(_HASHES):
            digits[place & mask] = _ONE
            place += step
    digits.reverse()
    return int(digits, 2).to_bytes(bits // 8, "little")


MATCH_ALL: Final = b"\xff"
"""The filter that may hold whatever is asked for."""


def may_contain(field: bytes, member: bytes) -> bool:
    """False: it is not one of those that the filter was built of. True for what is no filter."""
    mask = len(field) * 8 - 1
    if mask < 0 or len(field) & len(field) - 1:
        return True
    place = crc32(member)
    step = place >> _LOW | 1
    for _ in range(_HASHES):
        if not field[(place & mask) >> 3] & 1 << (place & 7):
            return False
        place += step
    return True
