"""What protocols.http.h2_frame_meter promises."""

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frame_meter import FrameMeter
from protocols.http.h2_frames import ENHANCE_YOUR_CALM, PREFACE, FrameReader
from protocols.http.limits import Limits

LIMITS = Limits(frame_burst=100, frame_rate=10)


def window_update() -> bytes:
    """A WINDOW_UPDATE of one byte."""
    frame = WindowUpdateFrame(1)
    frame.window_increment = 1
    return frame.serialize()


def priority() -> bytes:
    """A PRIORITY frame."""
    frame = PriorityFrame(1)
    frame.depends_on, frame.stream_weight, frame.exclusive = 0, 1, False
    return frame.serialize()


def unknown() -> bytes:
    """A frame of a type that nobody defined."""
    return b"\x00\x00\x00\xaa\x00\x00\x00\x00\x01"


class Metered:
    """A meter behind a reader, as in a connection."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.meter = FrameMeter(limits, 0.0)
        self.reader = FrameReader()
        self.reader.feed(PREFACE)

    def feed(self, data: bytes, now: float) -> None:
        """Count what is in `data`."""
        self.meter.refill(now)
        for frame in self.reader.feed(data):
            self.meter.count_frame(frame.kind, frame.flags, len(frame.payload))


def affordable(frame: bytes, *, step: int = 0) -> int:
    """How many of `frame` a fresh connection may send at once."""
    fresh = Metered()
    data = frame * 1_000
    step = step or len(frame)
    for begin in range(0, len(data), step):
        try:
            fresh.feed(data[begin : begin + step], 0.0)
        except ProtocolViolationError:
            return begin // len(frame)
    return len(data)


@pytest.mark.parametrize(
    "frame",
    [
        SettingsFrame(0).serialize(),
        PingFrame(0, b"12345678").serialize(),
        DataFrame(1, b"").serialize(),
        DataFrame(1, b"x").serialize(),
        window_update(),
        priority(),
        unknown(),
        ContinuationFrame(1, b"").serialize(),
    ],
    ids=["settings", "ping", "empty", "tiny", "window", "priority", "unknown", "continuation"],
)
@pytest.mark.parametrize("step", [0, 1, 5])
def test_frames_without_use_are_counted(frame: bytes, step: int) -> None:
    """A flood of any of them ends at the burst, however TCP cuts it."""
    assert affordable(frame, step=step) == 100


def test_flood_is_named() -> None:
    """The client gets ENHANCE_YOUR_CALM, the log gets a word."""
    with pytest.raises(ProtocolViolationError) as violated:
        Metered().feed(SettingsFrame(0).serialize() * 101, 0.0)
    assert (violated.value.code, violated.value.reason) == (ENHANCE_YOUR_CALM, "flood")


def test_resets_cost_ten() -> None:
    """Rapid reset throws our work away, so it is dearer."""
    assert affordable(RstStreamFrame(1).serialize()) == 10


def test_budget_comes_back_with_time_and_use() -> None:
    """A client that waits or works is never cut."""
    ping = PingFrame(0, b"12345678").serialize()
    waiting = Metered()
    for second in range(100):
        waiting.feed(ping * 10, float(second + 1))
    working = Metered()
    for _ in range(1_000):
        working.feed(DataFrame(1, b"x" * 1_024).serialize() + ping, 0.0)
    answered = Metered()
    for _ in range(1_000):
        answered.feed(ping * 8, 0.0)
        answered.meter.earn(8)


def test_budget_does_not_grow_above_the_burst() -> None:
    """An hour of silence is no licence for an hour's flood."""
    ping = PingFrame(0, b"12345678").serialize()
    patient = Metered()
    patient.meter.earn(1_000_000)
    with pytest.raises(ProtocolViolationError):
        patient.feed(ping * 102, 3_600.0)


def test_header_block_is_bounded_while_it_grows() -> None:
    """CONTINUATION without end is cut at the bound, not collected (CVE-2024-27316)."""
    fresh = Metered(Limits(header_bytes=10_000))
    fresh.feed(HeadersFrame(1, b"x" * 100).serialize(), 0.0)
    for _ in range(9):
        fresh.feed(ContinuationFrame(1, b"x" * 1_000).serialize(), 0.0)
    with pytest.raises(ProtocolViolationError) as violated:
        fresh.feed(ContinuationFrame(1, b"x" * 1_000).serialize(), 0.0)
    assert violated.value.reason == "header_block_too_large"


def test_each_header_block_is_measured_by_itself() -> None:
    """A new HEADERS frame starts from nothing."""
    fresh = Metered(Limits(header_bytes=1_000))
    frames: list[Frame] = [
        HeadersFrame(1, b"x" * 900, flags=["END_HEADERS"]),
        HeadersFrame(3, b"x" * 500),
        ContinuationFrame(3, b"x" * 500, flags=["END_HEADERS"]),
        HeadersFrame(5, b"x" * 900, flags=["END_HEADERS"]),
    ]
    for frame in frames:
        fresh.feed(frame.serialize(), 0.0)
