"""What protocols.http.h2_streams promises."""

import pytest
from hyperframe.frame import DataFrame

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import (
    DATA,
    HEADERS,
    PROTOCOL_ERROR,
    RST_STREAM,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)
from protocols.http.h2_machine import NO_ERROR
from protocols.http.h2_streams import FrameAction, Stream, StreamState, StreamTable
from protocols.http.limits import Limits
from tests.unit.protocols.http.test_h2_machine import Pair


def table(*numbers: int, receiving: bool = True) -> StreamTable:
    """A table with these streams open."""
    made = StreamTable()
    for number in numbers:
        made.open(Stream(number, 65_535, receiving=receiving, to_come=-1))
    return made


def test_states_follow_what_happened() -> None:
    """RFC 9113 section 5.1, as a receiver sees it."""
    streams = table(1, 3, 9)
    streams.live[3].receiving = False
    streams.close(1, StreamState.RESET_HERE)
    found = {number: streams.state(number) for number in (1, 3, 5, 9, 11)}
    assert found == {
        1: StreamState.RESET_HERE,
        3: StreamState.HALF_CLOSED,
        5: StreamState.FORGOTTEN,  # passed over
        9: StreamState.OPEN,
        11: StreamState.IDLE,
    }


@pytest.mark.parametrize(
    ("kind", "how", "code"),
    [
        (DATA, StreamState.ENDED, STREAM_CLOSED),
        (HEADERS, StreamState.ENDED, STREAM_CLOSED),
        (DATA, StreamState.FORGOTTEN, STREAM_CLOSED),
        (HEADERS, StreamState.FORGOTTEN, PROTOCOL_ERROR),
    ],
)
def test_late_frames_end_the_connection(kind: int, how: StreamState, code: int) -> None:
    """Nobody sends more after END_STREAM by mistake."""
    streams = table(1, 3)
    streams.close(1, how)
    with pytest.raises(ProtocolViolationError) as violated:
        streams.frame_action(kind, 1)
    assert violated.value.code == code


@pytest.mark.parametrize("kind", [DATA, RST_STREAM, WINDOW_UPDATE])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_only_headers_open_a_stream(kind: int, number: int) -> None:
    """Sections 5.1 and 5.1.1."""
    with pytest.raises(ProtocolViolationError) as violated:
        StreamTable().frame_action(kind, number)
    assert violated.value.code == PROTOCOL_ERROR


@pytest.mark.parametrize("number", [0, 2])
def test_a_client_opens_odd_streams(number: int) -> None:
    """Section 5.1.1."""
    assert StreamTable().frame_action(HEADERS, 1) is FrameAction.TAKE
    with pytest.raises(ProtocolViolationError):
        StreamTable().frame_action(HEADERS, number)


@pytest.mark.parametrize("kind", [RST_STREAM, WINDOW_UPDATE])
@pytest.mark.parametrize(
    "how", [StreamState.ENDED, StreamState.RESET_HERE, StreamState.RESET_THERE]
)
def test_what_may_be_late_is_ignored(kind: int, how: StreamState) -> None:
    """Section 5.1, closed."""
    streams = table(1)
    streams.close(1, how)
    assert streams.frame_action(kind, 1) is FrameAction.IGNORE


def test_closed_streams_are_forgotten_in_the_end() -> None:
    """At least the last 512 are known, and never more than 1,024."""
    streams = StreamTable()
    for number in range(1, 20_001, 2):
        streams.open(Stream(number, 1, receiving=False, to_come=-1))
        streams.close(number, StreamState.RESET_HERE)
    assert not streams.live
    assert len(streams._closed) + len(streams._before) <= 1_024
    assert streams.state(19_999 - 2 * 511) is StreamState.RESET_HERE
    assert streams.state(1) is StreamState.FORGOTTEN


def test_windows_shift_together() -> None:
    """Section 6.9.2: also below zero, and not above 2^31-1."""
    streams = table(1, 3)
    assert streams.shift_send_windows(-70_000)
    assert [stream.outbound for stream in streams.live.values()] == [-4_465] * 2
    assert not streams.shift_send_windows(2**31 + 10_000)


def test_declared_lengths_are_kept() -> None:
    """One byte too many is seen; what was not declared may be anything."""
    stream = Stream(1, 0, receiving=True, to_come=10)
    assert stream.count_body(10)
    assert not stream.count_body(1)
    assert Stream(3, 0, receiving=True, to_come=-1).count_body(10**9)


def test_data_of_a_stream_that_is_over_is_counted() -> None:
    """Empty ones take nothing of any window: they would be free for ever."""
    pair = Pair(Limits(frame_burst=100))
    stream = pair.request(end=False)
    pair.to_server()
    pair.machine.reset_stream(stream, NO_ERROR)
    ends = DataFrame(stream, b"", flags=["END_STREAM"]).serialize()
    with pytest.raises(ProtocolViolationError, match="flood"):
        pair.machine.feed(ends * 101, 0.0)
