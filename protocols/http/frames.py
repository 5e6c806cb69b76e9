"""Counting HTTP/2 frames on the raw bytes, before any of them costs h2 or us real work."""

from protocols.http.errors import ProtocolViolationError
from protocols.http.limits import KIB, Limits

FRAME_SIZE_ERROR, ENHANCE_YOUR_CALM = 0x6, 0xB  # RFC 9113 section 7

_PREFACE = 24  # RFC 9113 section 3.4: length of the client's preface
_LARGEST = 16 * 1024  # RFC 9113 section 6.5.2: SETTINGS_MAX_FRAME_SIZE as we leave it
_HEADER = 9  # RFC 9113 section 4.1
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0x0, 0x1, 0x3, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_SMALL = 64  # DATA below this costs more to handle than it carries
RESET_COST = 10
REQUEST_WORTH = 8  # a whole request pays for the WINDOW_UPDATEs and PINGs around it


class FrameMeter:
    """A budget for frames that carry nothing, spent and earned back.

    Free: what opens a stream (streams are bounded) and DATA of some size (flow control bounds
    it). One: everything else. Ten: a reset, ours or theirs, because it throws work away (rapid
    reset, CVE-2023-44487; made-you-reset, CVE-2025-8671). Header blocks that grow by CONTINUATION
    are bounded in bytes (CVE-2024-27316).
    """

    __slots__ = ("_block", "_budget", "_head", "_last", "_limits", "_skip", "in_block")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._budget = float(limits.frame_burst)
        self._last = now
        self._skip = _PREFACE  # bytes until the next frame header
        self._head = b""  # of a frame header that came in part
        self._block = 0
        self.in_block = False  # between HEADERS and its END_HEADERS

    def feed(self, data: bytes, now: float) -> None:
        """Count the frames that begin in `data`. Raises ProtocolViolationError."""
        limits = self._limits
        gain = (now - self._last) * limits.frame_rate
        self._budget = min(limits.frame_burst, self._budget + gain)
        self._last = now
        position, size = 0, len(data)
        while position < size:
            if self._skip:
                step = min(self._skip, size - position)
                self._skip -= step
                position += step
                continue
            head = self._head + data[position : position + _HEADER - len(self._head)]
            position += len(head) - len(self._head)
            if len(head) < _HEADER:
                self._head = head
                return
            self._head = b""
            self._skip = int.from_bytes(head[:3], "big")
            self._count(self._skip, head[3], head[4])

    @property
    def at_boundary(self) -> bool:
        """Whether a frame begins with the next byte, and not one that goes on with a block."""
        return not (self._skip or self._head or self.in_block)

    def spend(self, cost: float) -> None:
        """Take from the budget. Raises ProtocolViolationError when it is used up."""
        self._budget -= cost
        if self._budget < 0:
            raise ProtocolViolationError(ENHANCE_YOUR_CALM, "flood")

    def earn(self, worth: float) -> None:
        """Give back, up to the burst."""
        self._budget = min(self._limits.frame_burst, self._budget + worth)

    def _count(self, length: int, kind: int, flags: int) -> None:
        if length > _LARGEST:  # h2 looks only once it has collected all of the frame
            raise ProtocolViolationError(FRAME_SIZE_ERROR, "frame_too_large")
        if kind == _HEADERS or (kind == _CONTINUATION and self.in_block):
            self._block = length if kind == _HEADERS else self._block + length
            self.in_block = not flags & _END_HEADERS
            if self._block > self._limits.header_bytes:
                raise ProtocolViolationError(ENHANCE_YOUR_CALM, "header_block_too_large")
            if kind == _CONTINUATION:
                self.spend(1)
        elif kind == _DATA and (length >= _SMALL or flags & _END_STREAM):
            self.earn(length / KIB)
        else:
            self.spend(RESET_COST if kind == _RST_STREAM else 1)
