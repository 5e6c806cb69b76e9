"""Counting HTTP/2 frames before any of them costs real work."""

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    RST_STREAM,
)
from protocols.http.limits import KIB, Limits

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

    __slots__ = ("_block", "_budget", "_last", "_limits")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._budget = float(limits.frame_burst)
        self._last = now
        self._block = 0  # bytes of the header block in hand

    def refill(self, now: float) -> None:
        """Time gives back, up to the burst."""
        if now != self._last:
            gain = (now - self._last) * self._limits.frame_rate
            self._budget = min(self._limits.frame_burst, self._budget + gain)
            self._last = now

    def count_frame(self, kind: int, flags: int, length: int) -> None:
        """A frame arrived. Raises ProtocolViolationError."""
        if kind == HEADERS:
            self._block = 0
            self._grow(length)
        elif kind == DATA and (length >= _SMALL or flags & END_STREAM):
            self.earn(length / KIB)
        else:
            self.spend(RESET_COST if kind == RST_STREAM else 1)
            if kind == CONTINUATION:
                self._grow(length)

    def spend(self, cost: float) -> None:
        """Take from the budget. Raises ProtocolViolationError when it is used up."""
        self._budget -= cost
        if self._budget < 0:
            raise ProtocolViolationError(ENHANCE_YOUR_CALM, "flood")

    def earn(self, worth: float) -> None:
        """Give back, up to the burst."""
        self._budget = min(self._limits.frame_burst, self._budget + worth)

    def _grow(self, length: int) -> None:
        self._block += length
        if self._block > self._limits.header_bytes:
            raise ProtocolViolationError(ENHANCE_YOUR_CALM, "header_block_too_large")
