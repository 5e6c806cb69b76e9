"""HPACK header blocks (RFC 7541) at the cost that answers and repeated questions deserve.

hpack's encoder looks for the best encoding of each field and Huffman-codes what is new: a request
id, new in each answer, costs it more than all else in the answer's head. Here a field is an index
of the static table or a literal, and the dynamic table is given up with the first block.

Decoding is hpack's. A block of nothing but indices leaves the tables as they are, so until another
kind of block comes it means what it meant the last time: clients that ask again send such, some
with the path as a literal among them. The request that it makes is remembered, vetted.
"""

from collections.abc import Iterable
from functools import lru_cache

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.hpack import encode_integer
from hpack.huffman_table import (
    HUFFMAN_COMPLETE,
    HUFFMAN_EMIT_SYMBOL,
    HUFFMAN_FAIL,
    HUFFMAN_TABLE,
)
from hpack.table import HeaderTable

from protocols.http.asgi import Headers
from protocols.http.errors import ProtocolViolationError, RefusedError
from protocols.http.h2_frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM
from protocols.http.h2_request import H2Request, vet_request, with_target
from protocols.http.limits import Limits

_INDEXED = 0x80  # RFC 7541 section 6.1: the first bit of an index, and of no other representation
_LONG_INDEX = 0xFF  # one that goes on in bytes that may look like anything
_NO_TABLE = b"\x20"  # section 6.3: the dynamic table's size is 0 from here on
_VALUE_BITS = 7  # section 5.2
_HUFFMAN = 0x80
_LONG = 0x7F  # a length from here on takes more than one byte
_NAME_BITS = 4  # section 6.2.2, literal without indexing
_PATHS = (0x04, 0x05, 0x14, 0x15)  # :path as such a literal, sections 6.2.2 and 6.2.3
_BLOCKS = 8  # remembered of one connection
_LONGEST = 64  # bytes of a remembered block: as many fields at most

_FIELDS = {
    (name, value): bytes([_INDEXED | number])
    for number, (name, value) in enumerate(HeaderTable.STATIC_TABLE, 1)
}
_NAMES = {name: number for number, (name, _) in reversed([*enumerate(HeaderTable.STATIC_TABLE, 1)])}


class HeaderBlockEncoder:
    """Encodes without memory, but for that of having said so in its first block."""

    __slots__ = ("_begin",)

    def __init__(self) -> None:
        self._begin = _NO_TABLE

    def encode(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The head of a response. Names are in lower case."""
        parts = [self._begin, _status(status)]
        self._begin = b""
        for field in headers:
            indexed = _FIELDS.get(field)
            if indexed is None:
                name, value = field
                size = len(value)
                parts.append(_name(name))
                parts.append(b"%c" % size if size < _LONG else _length(size))
                parts.append(value)
            else:
                parts.append(indexed)
        return b"".join(parts)


@lru_cache(maxsize=512)
def _status(status: int) -> bytes:
    value = b"%d" % status
    return _FIELDS.get((b":status", value)) or _name(b":status") + b"%c" % len(value) + value


@lru_cache(maxsize=256)  # an application has few names; one that makes them up only loses time
def _name(name: bytes) -> bytes:
    number = _NAMES.get(name)
    if number is None:
        return b"\0" + _length(len(name)) + name
    return bytes(encode_integer(number, _NAME_BITS))


def _length(size: int) -> bytes:
    return bytes(encode_integer(size, _VALUE_BITS))


class HeaderBlockDecoder:
    """Requests out of header blocks; raises ProtocolViolationError for what is no such block."""

    __slots__ = ("_decoder", "_known", "_limits", "decoded")

    def __init__(self, limits: Limits) -> None:
        # Between the limit and twice as much a request can still be answered with 431.
        self._decoder = Decoder(max_header_list_size=2 * limits.header_bytes)
        self._limits = limits
        self.decoded = 0  # fields so far, but for those of remembered blocks
        self._known: dict[tuple[bytes, bytes | None], H2Request] = {}

    def decode_request(self, block: bytes) -> H2Request | RefusedError:
        """The request that a block stands for, or why it is refused."""
        key, path = _split(block)
        known = self._known.get(key) if key is not None else None
        try:
            if known is not None:
                return known if path is None else self._with_other_path(known, path)
            request = vet_request(self._decode(block, keep=key is not None), self._limits)
        except RefusedError as error:
            return error
        if key is not None and len(block) <= _LONGEST + len(path or b""):
            if len(self._known) >= _BLOCKS:
                self._known.clear()
            self._known[key] = request
        return request

    def peek_target(self, block: bytes) -> bytes | None:
        """What a request asks for that is like one before; None where more has to be decoded."""
        key, path = _split(block)
        known = self._known.get(key) if key is not None else None
        if known is None or path is None:
            return known and known.target
        try:
            return _huffman(path[1:]) if path[0] & _HUFFMAN else path[1:]
        except ValueError:
            return None

    def field_names(self, block: bytes) -> list[bytes]:
        """The names of the fields of a block that is no request."""
        return [name for name, _ in self._decode(block, keep=_split(block)[0] is not None)]

    def _with_other_path(self, known: H2Request, path: bytes) -> H2Request:
        """The same request for the path of this literal."""
        try:
            target = _huffman(path[1:]) if path[0] & _HUFFMAN else path[1:]
        except ValueError as error:
            raise ProtocolViolationError(COMPRESSION_ERROR, "huffman") from error
        return with_target(known, target, self._limits)

    def _decode(self, block: bytes, *, keep: bool) -> Headers:
        if not keep:
            self._known.clear()  # a literal may enter the table, and moves what is in it
        try:
            fields = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise ProtocolViolationError(ENHANCE_YOUR_CALM, "header_list") from error
        except (HPACKError, IndexError, TypeError) as error:  # as h2 expects of hpack
            raise ProtocolViolationError(COMPRESSION_ERROR, type(error).__name__) from error
        found = [(bytes(name), bytes(value)) for name, value in fields]
        self.decoded += len(found)
        return found


@lru_cache(maxsize=4_096)  # paths, of less than 127 bytes each
def _huffman(value: bytes) -> bytes:
    return huffman_decode(value)


def _split(block: bytes) -> tuple[tuple[bytes, bytes | None] | None, bytes | None]:
    """The indices before and after the one literal path, and that literal.

    Without a literal there is no behind: (block, None), None. (None, None) for a block of any other
    kind.
    """
    if not block:
        return None, None
    if min(block) >= _INDEXED:
        return (block, None), None
    for begin, byte in enumerate(block):  # noqa: B007 - its end is what is looked for
        if byte < _INDEXED:
            break
    if block[begin] not in _PATHS or begin + 1 >= len(block):
        return None, None
    size = block[begin + 1] & _LONG
    end = begin + 2 + size
    head, tail = block[:begin], block[end:]
    if size == _LONG or end > len(block) or (tail and min(tail) < _INDEXED) or _LONG_INDEX in head:
        return None, None
    return (head, tail), block[begin + 1 : end]


# HPACK's Huffman code (RFC 7541 section 5.2 and appendix B), decoded a byte at a time.
#
# hpack walks its table by half bytes, a quarter of a microsecond a character. Here two of its
# steps are one, made when it is first needed: at most 65,536 of them, some hundreds for what
# paths are made of.


_STATE = 8  # a step's key is the state before it, shifted by so much, and the byte
# The state afterwards, shifted; what the byte completes; whether the text may end here.
_Step = tuple[int, bytes, bool]
_steps: dict[int, _Step] = {}


def huffman_decode(code: bytes) -> bytes:
    """The text that `code` stands for. Raises ValueError for what stands for none."""
    state, complete = 0, True
    texts = []
    for byte in code:
        state, text, complete = _steps.get(state | byte) or _step(state | byte)
        texts.append(text)
    if not complete:
        raise ValueError("Huffman code ends within a symbol, or with more padding than there is")
    return b"".join(texts)


def _step(key: int) -> _Step:
    state, text, complete = key >> _STATE, b"", False
    for half in (key >> 4 & 0xF, key & 0xF):
        state, flags, symbol = HUFFMAN_TABLE[state * 16 + half]
        if flags & HUFFMAN_FAIL:
            raise ValueError("Huffman code holds the symbol that ends it")
        if flags & HUFFMAN_EMIT_SYMBOL:
            text += bytes([symbol])
        complete = bool(flags & HUFFMAN_COMPLETE)
    step = _steps[key] = state << _STATE, text, complete
    return step
