"""HTTP/2 frames (RFC 9113 sections 4 and 6): bytes into frames, frames into bytes.

Only the layout is known here. What a frame means, and whether it may come, is `h2`'s.
"""

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from protocols.http.errors import ProtocolViolationError

# Section 6, in the order of their numbers.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9

ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20

# Section 7.
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 0x5, 0x6, 0x7, 0x8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x9, 0xB

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # section 3.4
MAX_FRAME_PAYLOAD = 16 * 1024  # section 6.5.2: SETTINGS_MAX_FRAME_SIZE as every peer starts with it
MAX_INT31 = 2**31 - 1  # of a stream, and of a window: the top bit is reserved

_HEAD = Struct(">HBBBL")  # section 4.1: 24 bits of length, type, flags, stream
_HEAD_SIZE = 9
NUMBER_BEGINS, NUMBER_ENDS = 5, 9  # where a frame's head holds its stream
_NUMBER = Struct(">L")
_TWO_NUMBERS = Struct(">LL")
_SETTING = Struct(">HL")


class Frame(NamedTuple):
    """One frame; the reserved bit of its stream's number is ignored, as section 4.1 asks."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class FrameReader:
    """Cuts the bytes that a client sends into frames."""

    __slots__ = ("_greeted", "_rest")

    def __init__(self) -> None:
        self._rest = b""  # of a frame that came in part, and of the preface
        self._greeted = False

    @property
    def is_in_headers(self) -> bool:
        """Whether part of a HEADERS or CONTINUATION frame is here, and part is not."""
        rest = self._rest
        return self._greeted and len(rest) > 3 and rest[3] in (HEADERS, CONTINUATION)  # noqa: PLR2004 - the type's place

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes.

        Raises ProtocolViolationError for another preface, and for a frame above LARGEST as soon
        as its head is here: it is never collected.
        """
        if self._rest:
            data = self._rest + data
        position = 0
        if not self._greeted:
            if not self._greet(data):
                return []
            position = len(PREFACE)
        frames: list[Frame] = []
        size = len(data)
        begin = position + _HEAD_SIZE
        while begin <= size:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, position)
            length = high << 8 | low
            if length > MAX_FRAME_PAYLOAD:
                raise ProtocolViolationError(FRAME_SIZE_ERROR, "frame_too_large")
            end = begin + length
            if end > size:
                break
            frames.append(Frame(kind, flags, stream & MAX_INT31, data[begin:end]))
            position = end
            begin = position + _HEAD_SIZE
        self._rest = data[position:] if position < size else b""
        return frames

    def _greet(self, data: bytes) -> bool:
        """Whether all of the preface is here."""
        size = min(len(data), len(PREFACE))
        if data[:size] != PREFACE[:size]:
            raise ProtocolViolationError(PROTOCOL_ERROR, "preface")
        self._greeted = size == len(PREFACE)
        self._rest = data
        return self._greeted


def encode_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame; the payload is no longer than LARGEST."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def unpad(flags: int, payload: bytes) -> bytes:
    """A payload without its padding (section 6.1). Raises ProtocolViolationError."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ProtocolViolationError(FRAME_SIZE_ERROR, "no_pad_length")
    end = len(payload) - payload[0]
    if end < 1:
        raise ProtocolViolationError(PROTOCOL_ERROR, "padding")
    return payload[1:end]


def headers_fragment(flags: int, payload: bytes) -> bytes:
    """What a HEADERS frame holds of its block (section 6.2). Raises ProtocolViolationError."""
    payload = unpad(flags, payload)
    if not flags & HAS_PRIORITY:
        return payload
    if len(payload) < 5:  # noqa: PLR2004 - dependency and weight
        raise ProtocolViolationError(FRAME_SIZE_ERROR, "no_priority")
    return payload[5:]


def require_connection_frame(frame: Frame, reason: str) -> None:
    """Raises ProtocolViolationError for a frame of a stream."""
    if frame.stream:
        raise ProtocolViolationError(PROTOCOL_ERROR, reason)


def require_size(payload: bytes, size: int, reason: str) -> None:
    """Raises ProtocolViolationError for a payload of another size."""
    if len(payload) != size:
        raise ProtocolViolationError(FRAME_SIZE_ERROR, reason)


def parse_number(payload: bytes) -> int:
    """The one 32-bit number of RST_STREAM and WINDOW_UPDATE. Raises ProtocolViolationError."""
    require_size(payload, _NUMBER.size, "not_one_number")
    value: int = _NUMBER.unpack(payload)[0]
    return value


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Identifiers and values of a SETTINGS frame (6.5.1). Raises ProtocolViolationError."""
    if len(payload) % _SETTING.size:
        raise ProtocolViolationError(FRAME_SIZE_ERROR, "settings_size")
    return list(_SETTING.iter_unpack(payload))


def settings_frame(values: Iterable[tuple[int, int]]) -> bytes:
    """SETTINGS (section 6.5)."""
    return encode_frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(*pair) for pair in values]))


def reset_frame(stream: int, code: int) -> bytes:
    """RST_STREAM (section 6.4)."""
    return encode_frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def goaway_frame(last: int, code: int) -> bytes:
    """GOAWAY (section 6.8)."""
    return encode_frame(GOAWAY, 0, 0, _TWO_NUMBERS.pack(last, code))


def window_frame(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE (section 6.9)."""
    return encode_frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))
