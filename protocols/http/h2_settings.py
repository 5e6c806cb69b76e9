"""SETTINGS, theirs and ours (RFC 9113 section 6.5.2)."""

from protocols.http import h2_frames
from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import (
    FLOW_CONTROL_ERROR,
    MAX_FRAME_PAYLOAD,
    MAX_INT31,
    PROTOCOL_ERROR,
)
from protocols.http.limits import Limits

ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME_SIZE, MAX_HEADER_LIST = range(2, 7)


def our_settings(limits: Limits) -> bytes:
    """The frame that opens our side of a connection."""
    return h2_frames.settings_frame([
        (ENABLE_PUSH, 0),
        (MAX_STREAMS, limits.streams),
        (INITIAL_WINDOW, limits.stream_window),
        (MAX_HEADER_LIST, limits.header_bytes),
    ])  # fmt: skip


def initial_window(payload: bytes) -> int | None:
    """What a client's settings make of the windows of its streams, if they say anything of it.

    All that it may set is checked, and nothing else of it matters: what we send is small, keeps
    to the smallest frame and no table, and is never pushed. A window that is set again and again in
    one frame is changed once, at the cost of one. Raises ProtocolViolationError.
    """
    window = None
    for name, value in h2_frames.parse_settings(payload):
        if name == INITIAL_WINDOW:
            if value > MAX_INT31:
                raise ProtocolViolationError(FLOW_CONTROL_ERROR, "initial_window")
            window = value
        elif name == ENABLE_PUSH and value > 1:
            raise ProtocolViolationError(PROTOCOL_ERROR, "enable_push")
        elif name == MAX_FRAME_SIZE and not MAX_FRAME_PAYLOAD <= value < 2**24:
            raise ProtocolViolationError(PROTOCOL_ERROR, "max_frame_size")
    return window
