"""Refusals beside h2: the client sees plain HTTP/2, and h2 never notices."""

from collections.abc import Iterable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection as Client
from h2.events import DataReceived, Event, RequestReceived, ResponseReceived, StreamEnded
from hyperframe.frame import HeadersFrame

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2 import H2Machine
from protocols.http.limits import Limits
from protocols.http.scope import Headers

ANSWER: tuple[Headers, bytes] = ([(b"retry-after", b"1"), (b"content-length", b"4")], b"busy")
Fields = Iterable[tuple[bytes, bytes]]


def all_but_urgent(fields: Fields) -> tuple[Headers, bytes] | None:
    """What an overloaded server says."""
    return None if (b":path", b"/urgent") in list(fields) else ANSWER


class Line:
    """A client and the machine, past their first request."""

    def __init__(self) -> None:
        self.client = Client(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self.machine = H2Machine(Limits(), 0.0)
        first = self.ask(b"/first")
        self.send()
        self.machine.start(first, 200, [], end=True)
        self.got: list[Event] = []
        self.hear()
        self.send()  # the acknowledgement of our settings

    def ask(self, path: bytes, *, end: bool = True, name: bytes = b"x-any") -> int:
        """Prepare a request with a new header, which enters the table; returns its stream."""
        stream: int = self.client.get_next_available_stream_id()
        fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a")]
        more = [(b":path", path), (name, path + b"!")]
        self.client.send_headers(stream, [*fields, *more], end_stream=end)
        return stream

    def send(self, *, cut: int = 0) -> list[Event]:
        """Give the machine what the client has, in two pieces if `cut`; what it saw of it."""
        data = self.client.data_to_send()
        pieces = [data[:cut], data[cut:]] if cut else [data]
        return [e for piece in pieces for e in self.machine.feed(piece, 0.0, all_but_urgent)]

    def hear(self) -> list[Event]:
        """What the client made of the answer."""
        got = self.client.receive_data(self.machine.output())
        self.got += got
        return got


def test_a_refusal_is_a_whole_answer() -> None:
    """Status, headers, body, end; no event for h2's side."""
    line = Line()
    stream = line.ask(b"/x")
    assert line.send() == []
    got = line.hear()
    response = next(e for e in got if isinstance(e, ResponseReceived))
    assert (b":status", b"503") in response.headers
    assert (b"retry-after", b"1") in response.headers
    assert next(e for e in got if isinstance(e, DataReceived)).data == b"busy"
    assert [e.stream_id for e in got if isinstance(e, StreamEnded)] == [stream]


def test_refused_and_accepted_share_one_table() -> None:
    """Blocks of both kinds, in any order, leave the header table as the client thinks it is."""
    line = Line()
    for turn in range(20):
        line.ask(b"/x%d" % turn, name=b"x-%d" % (turn % 7))
        urgent = line.ask(b"/urgent", name=b"x-%d" % (turn % 5))
        line.ask(b"/y%d" % turn)
        requests = [e for e in line.send() if isinstance(e, RequestReceived)]
        assert [e.stream_id for e in requests] == [urgent]
        assert (b"x-%d" % (turn % 5), b"/urgent!") in (requests[0].headers or ())
        line.machine.start(urgent, 200, [], end=True)
        assert sum(isinstance(e, StreamEnded) for e in line.hear()) == 3


@pytest.mark.parametrize("cut", [1, 8, 9, 10, 20])
def test_frames_that_come_in_pieces_are_left_to_h2(cut: int) -> None:
    """The request is not lost: it is one that the connection may refuse afterwards."""
    line = Line()
    stream = line.ask(b"/x")
    assert [e.stream_id for e in line.send(cut=cut) if isinstance(e, RequestReceived)] == [stream]
    line.ask(b"/z")
    assert line.send() == []


def test_a_request_with_a_body_is_left_to_h2() -> None:
    """Its DATA needs a stream to belong to."""
    line = Line()
    stream = line.ask(b"/x", end=False)
    assert [e.stream_id for e in line.send() if isinstance(e, RequestReceived)] == [stream]


def test_no_more_is_sent_than_the_client_has_room_for() -> None:
    """Bodies count against the connection's window, as all DATA does."""
    line = Line()
    room = line.client.inbound_flow_control_window
    refused = 0
    for _ in range(room // len(ANSWER[1]) + 2):
        line.ask(b"/x")
        if line.send():
            break
        line.client.receive_data(line.machine.output())
        refused += 1
    assert refused == room // len(ANSWER[1])


def test_a_used_number_is_a_violation_still() -> None:
    """h2 meets what is not in order, and ends the connection."""
    line = Line()
    stream = line.ask(b"/x")
    line.send()
    again = HeadersFrame(stream, line.client.encoder.encode([(b":method", b"GET")]))
    again.flags |= {"END_HEADERS", "END_STREAM"}
    with pytest.raises(ProtocolViolationError):
        line.machine.feed(again.serialize(), 0.0, all_but_urgent)


def test_a_broken_block_is_a_violation_still() -> None:
    """What hpack cannot read ends the connection, as without the door."""
    line = Line()
    broken = HeadersFrame(99, b"\xff\xff\xff\xff\x7f")
    broken.flags |= {"END_HEADERS", "END_STREAM"}
    with pytest.raises(ProtocolViolationError):
        line.machine.feed(broken.serialize(), 0.0, all_but_urgent)
