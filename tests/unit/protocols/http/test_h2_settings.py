"""What protocols.http.h2_machine promises."""

import pytest

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    FrameReader,
    parse_settings,
    settings_frame,
)
from protocols.http.h2_machine import initial_window, our_settings
from protocols.http.limits import Limits


def payload(*pairs: tuple[int, int]) -> bytes:
    """Of a SETTINGS frame."""
    return settings_frame(pairs)[9:]


def test_our_limits_are_what_we_announce() -> None:
    """No push, so many streams, so much of a stream, so long a header list."""
    limits = Limits(streams=7, stream_window=70_000, header_bytes=9_000)
    reader = FrameReader()
    reader._greeted = True
    (frame,) = reader.feed(our_settings(limits))
    assert parse_settings(frame.payload) == [(2, 0), (3, 7), (4, 70_000), (6, 9_000)]


def test_the_window_that_counts_is_the_last() -> None:
    """RFC 9113 section 6.5.3: in their order."""
    assert initial_window(payload((4, 5), (1, 0), (4, 2**31 - 1), (4, 7))) == 7
    assert initial_window(payload((2, 1), (5, 16_384), (5, 2**24 - 1), (3, 0), (99, 1))) is None
    assert initial_window(b"") is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (payload((2, 2)), PROTOCOL_ERROR),
        (payload((4, 2**31), (4, 1)), FLOW_CONTROL_ERROR),
        (payload((5, 16_383)), PROTOCOL_ERROR),
        (payload((5, 2**24)), PROTOCOL_ERROR),
        (b"\0\4\0\0\0", FRAME_SIZE_ERROR),
    ],
)
def test_values_that_may_not_be(data: bytes, code: int) -> None:
    """RFC 9113 section 6.5.2, each with its own error."""
    with pytest.raises(ProtocolViolationError) as violated:
        initial_window(data)
    assert violated.value.code == code
