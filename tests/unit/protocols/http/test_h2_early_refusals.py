"""protocols.http.h2_machine: a refusal before a stream is made."""

import pytest
from h2.events import ResponseReceived, StreamEnded, StreamReset

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_events import RequestReceived
from protocols.http.h2_frames import (
    CANCEL,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    encode_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from protocols.http.server_state import overload_response
from tests.unit.protocols.http.test_h2_machine import Pair, kinds


def full(pair: Pair, *, room: int = 0) -> list[object]:
    """What the machine makes of the client's bytes when so many requests may still come in."""
    return list(pair.machine.feed(pair.client.data_to_send(), 0.0, room))


def test_without_room_a_request_like_one_before_is_answered_at_once() -> None:
    """503 as a whole answer and no event; the stream is over, and the connection goes on."""
    pair = Pair(turn_away=overload_response)
    before = [pair.request(), pair.request()]  # the second one's block leaves the table as it is
    pair.to_server()
    stream = pair.request()
    assert (full(pair), pair.machine.early_refusals.count) == ([], 1)
    got = pair.to_client()
    (answer,) = kinds(got, ResponseReceived)
    assert (b":status", b"503") in answer.headers
    assert (b"retry-after", b"1") in answer.headers
    assert [event.stream_id for event in kinds(got, StreamEnded)] == [stream]
    assert not kinds(got, StreamReset)
    late = reset_frame(stream, CANCEL) + window_frame(stream, 1)  # they crossed our answer
    assert pair.machine.feed(late, 0.0) == []
    for number in before:
        pair.machine.send_headers(number, 204, [], end=True)
    assert len(kinds(pair.to_client(), StreamEnded)) == 2
    pair.request()
    assert len(kinds(pair.to_server(), RequestReceived)) == 1


def test_the_table_of_headers_follows_whatever_is_refused() -> None:
    """A block that adds to it is read in full, room or not, and what comes later means the same."""
    pair = Pair(turn_away=overload_response)
    pair.request(), pair.request()
    pair.to_server()
    for number in range(40):
        pair.request((b"x-new", b"value %d" % number), (b"x-again", b"value %d" % (number // 2)))
        pair.request()
        full(pair)
    pair.request((b"x-new", b"value 39"))
    (event,) = kinds(pair.to_server(), RequestReceived)
    assert (b"x-new", b"value 39") in event.request.headers


def test_no_more_are_let_in_than_there_is_room_for() -> None:
    """Of those that came in one read, the first."""
    pair = Pair(turn_away=overload_response)
    pair.request(), pair.request()
    pair.to_server()
    streams = [pair.request() for _ in range(5)]
    let_in = kinds(full(pair, room=2), RequestReceived)
    assert [event.stream for event in let_in] == streams[:2]
    assert pair.machine.early_refusals.count == 3


def test_what_cannot_be_refused_early_is_an_event() -> None:
    """A request with a body, an urgent one, and one whose answer does not fit the window."""
    pair = Pair(turn_away=lambda target: None if target == b"/" else ([], b"busy"))
    pair.request(), pair.request()
    pair.to_server()
    pair.request()
    assert len(kinds(full(pair), RequestReceived)) == 1
    pair = Pair(turn_away=lambda _target: ([], b"busy"))
    pair.request(), pair.request()
    pair.to_server()
    pair.request(end=False)
    assert len(kinds(full(pair), RequestReceived)) == 1
    pair.machine.feed(settings_frame([(4, 3)]), 0.0)
    pair.request()
    assert (len(kinds(full(pair), RequestReceived)), pair.machine.early_refusals.count) == (1, 0)


def test_a_block_that_was_refused_is_not_the_next_one() -> None:
    """Else the next one that comes in pieces had no more time than was left to this one."""
    pair = Pair(turn_away=overload_response)
    pair.request(), pair.request()
    pair.to_server()
    pair.request()
    assert full(pair) == []
    pair.machine.feed(encode_frame(HEADERS, END_STREAM | END_HEADERS, 7, b"\x82")[:-1], 0.0, 0)
    assert pair.machine.open_header_block == 4


def test_refusing_early_takes_from_the_windows() -> None:
    """The connection's is as the client has it."""
    pair = Pair(turn_away=lambda _target: ([], b"x" * 1000))
    pair.request(), pair.request()
    pair.to_server()
    refused = 0
    for _ in range(80):
        pair.request()
        refused += not full(pair)
        pair.to_client()  # raises when more comes than it allowed
    assert refused == 65


@pytest.mark.parametrize("number", [0, 2, 5])
def test_without_room_a_stream_has_to_be_new_all_the_same(number: int) -> None:
    """No stream, one of the server's, and one that was refused: errors of the connection."""
    pair = Pair(turn_away=overload_response)
    pair.request(), pair.request()
    pair.to_server()
    pair.request()
    assert full(pair) == []
    block = bytes([0x82, 0x87, 0x84, 0xBE])
    with pytest.raises(ProtocolViolationError):
        pair.machine.feed(encode_frame(HEADERS, END_STREAM | END_HEADERS, number, block), 0.0, 0)
