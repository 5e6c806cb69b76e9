"""HPACK header blocks (RFC 7541) at the cost that answers and repeated questions deserve.

hpack's encoder looks for the best encoding of each field and Huffman-codes what is new: a request
id, new in each answer, costs it more than all else in the answer's head. Here a field is an index
of the static table or a literal, and the dynamic table is given up with the first block.

Decoding is hpack's. A block of nothing but indices leaves the tables as they are, so until another
kind of block comes it means what it meant the last time: clients that ask again send such.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from hpack import Decoder, Encoder, HeaderTuple
from hpack.exceptions import HPACKError
from hpack.hpack import encode_integer
from hpack.table import HeaderTable

_INDEXED = 0x80  # RFC 7541 section 6.1: the first bit of an index, and of no other representation
_NO_TABLE = b"\x20"  # section 6.3: the dynamic table's size is 0 from here on
_VALUE_BITS = 7  # section 5.2
_NAME_BITS = 4  # section 6.2.2, literal without indexing
_BLOCKS = 8  # remembered of one connection
_LONGEST = 64  # bytes of a remembered block: as many fields at most

_FIELDS = {
    (name, value): bytes([_INDEXED | number])
    for number, (name, value) in enumerate(HeaderTable.STATIC_TABLE, 1)
}
_NAMES = {name: number for number, (name, _) in reversed([*enumerate(HeaderTable.STATIC_TABLE, 1)])}


class BlockEncoder(Encoder):
    """Encodes without memory, but for that of having said so in its first block."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = False

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:  # noqa: ARG002  # hpack's shape
        """One block. Names are in lower case, names and values are bytes."""
        parts = [] if self._begun else [_NO_TABLE]
        self._begun = True
        for name, value in headers:
            indexed = _FIELDS.get((name, value))
            parts.append(_name(name) + _text(value) if indexed is None else indexed)
        return b"".join(parts)


@lru_cache(maxsize=256)  # an application has few names; one that makes them up only loses time
def _name(name: bytes) -> bytes:
    number = _NAMES.get(name)
    return b"\0" + _text(name) if number is None else bytes(encode_integer(number, _NAME_BITS))


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < (1 << _VALUE_BITS) - 1:
        return b"%c%b" % (size, text)
    return bytes(encode_integer(size, _VALUE_BITS)) + text


class BlockDecoder(Decoder):
    """hpack's decoder, with a memory for blocks of indices alone."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, tuple[HeaderTuple, ...]] = {}
        self._foreseen: list[HeaderTuple] | HPACKError | None = None

    def foresee(self, data: bytes) -> list[HeaderTuple] | None:
        """The fields of the block that comes next; None if it is broken.

        `decode` gives the same for it (or raises what is wrong) without touching the table twice;
        `forget` says that it will not be asked.
        """
        try:
            self._foreseen = fields = self.decode(data, raw=True)
        except HPACKError as error:
            self._foreseen = error
            return None
        return fields

    def forget(self) -> None:
        """The block that was foreseen is dealt with."""
        self._foreseen = None

    def decode(self, data: bytes, raw: bool = False) -> list[HeaderTuple]:
        """The fields of a block. Raises what hpack raises."""
        if (foreseen := self._foreseen) is not None:
            self._foreseen = None
            if isinstance(foreseen, HPACKError):
                raise foreseen
            return foreseen
        if not data or min(data) < _INDEXED:
            self._known.clear()  # a literal may enter the table, and moves what is in it
            return list(super().decode(data, raw=raw))
        known = self._known.get(data) if raw else None
        if known is None:
            known = tuple(super().decode(data, raw=raw))
            if raw and len(data) <= _LONGEST:
                if len(self._known) >= _BLOCKS:
                    self._known.clear()
                self._known[data] = known
        return list(known)
