"""What protocols.http.h2_machine promises."""

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from protocols.http import h2_events as inbound
from protocols.http.asgi import Headers, MakeOverloadResponse
from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import PREFACE, settings_frame, window_frame
from protocols.http.h2_machine import FIELDS, NO_ERROR, H2Machine
from protocols.http.limits import Limits

REQUEST = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/"),
    (b":authority", b"a"),
]


HELLO = PREFACE + settings_frame([])
BEGUN = HELLO + b"\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82"  # a header block that goes on


class Pair:
    """Our machine and a client, wired together in memory."""

    def __init__(
        self, limits: Limits | None = None, turn_away: MakeOverloadResponse | None = None
    ) -> None:
        self.machine = H2Machine(limits or Limits(), 0.0, turn_away)
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.client.initiate_connection()
        self.events = self.to_client()
        self.to_server()

    def to_server(self) -> list[object]:
        """What the machine makes of the client's bytes."""
        return list(self.machine.feed(self.client.data_to_send(), 0.0))

    def to_client(self) -> list[object]:
        """What the client makes of the machine's bytes."""
        return list(self.client.receive_data(self.machine.take_output()))

    def request(self, *more: tuple[bytes, bytes], end: bool = True) -> int:
        """Start a request; returns its stream."""
        stream: int = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, [*REQUEST, *more], end_stream=end)
        return stream


def kinds(events: list[object], kind: type) -> list[object]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def test_no_more_is_sent_than_the_windows_allow() -> None:
    """The rest waits for WINDOW_UPDATE; `end` holds for the last byte only."""
    pair = Pair()
    stream = pair.request()
    pair.to_server()
    pair.machine.send_headers(stream, 200, [])
    body = b"x" * 100_000
    sent = pair.machine.send_data(stream, body, end=True)
    assert sent == 65_535
    assert not kinds(pair.to_client(), StreamEnded)
    for of in (None, stream):
        pair.client.increment_flow_control_window(65_535, of)
    pair.to_server()
    assert pair.machine.send_data(stream, body[sent:], end=True) == len(body) - sent
    assert kinds(pair.to_client(), StreamEnded)


def test_the_windows_bind_each_by_itself() -> None:
    """RFC 9113 section 6.9.1: a connection with room opens no stream's window, nor the reverse."""
    for opened in ("connection", "stream"):
        pair = Pair()
        stream = pair.request()
        pair.client.increment_flow_control_window(99_999, stream if opened == "stream" else None)
        pair.to_server()
        pair.machine.send_headers(stream, 200, [])
        assert pair.machine.send_data(stream, b"x" * 100_000, end=True) == 65_535


def test_streams_share_the_window_of_their_connection() -> None:
    """RFC 9113 section 6.9.1: what one of them sends the others cannot."""
    pair = Pair()
    pair.machine.feed(settings_frame([(4, 100_000)]), 0.0)
    streams = [pair.request() for _ in range(2)]
    pair.to_server()
    assert [pair.machine.send_data(n, b"x" * 40_000, end=True) for n in streams] == [40_000, 25_535]


def test_body_can_end_without_any_window() -> None:
    """END_STREAM costs no window, not even a negative one."""
    pair = Pair()
    stream = pair.request()
    pair.to_server()
    pair.machine.send_headers(stream, 200, [])
    pair.machine.send_data(stream, b"x" * 100_000, end=False)
    pair.to_client()
    shrink = SettingsFrame(0, {SettingCodes.INITIAL_WINDOW_SIZE: 0})
    pair.machine.feed(shrink.serialize(), 0.0)
    pair.to_client()
    assert pair.machine.send_data(stream, b"x", end=True) == 0
    assert pair.machine.send_data(stream, b"", end=True) == 0
    assert kinds(pair.to_client(), StreamEnded)


def test_what_is_not_acknowledged_is_not_sent_again() -> None:
    """A handler that does not read holds its client back at the stream's window."""
    pair = Pair(Limits(stream_window=66_000, connection_window=100_000))
    stream = pair.request(end=False)
    for _ in range(4):
        pair.client.send_data(stream, b"x" * 16_000)
    events = pair.to_server()
    assert len(kinds(events, inbound.DataReceived)) == 4
    pair.to_client()
    assert pair.client.local_flow_control_window(stream) == 2_000
    pair.machine.grant_window(stream, 64_000)
    pair.to_client()
    assert pair.client.local_flow_control_window(stream) == 66_000


def test_a_goaway_from_the_client_lets_streams_end() -> None:
    """RFC 9113 section 6.8: it only means that no new stream will come."""
    pair = Pair()
    stream = pair.request()
    pair.to_server()
    pair.machine.send_headers(stream, 200, [])
    pair.client.close_connection()
    pair.to_server()
    pair.machine.send_data(stream, b"late", end=True)
    data = pair.machine.take_output()
    assert b"late" in data
    assert len(data) > 9 + 4 + 9  # the response's head was not dropped either


def test_own_goaway_excludes_no_stream_at_first() -> None:
    """A drain announces itself and goes on answering."""
    pair = Pair()
    stream = pair.request()
    pair.to_server()
    pair.machine.announce_goaway()
    terminated = kinds(pair.to_client(), ConnectionTerminated)[0]
    pair.machine.send_headers(stream, 200, [])
    pair.machine.send_data(stream, b"late", end=True)
    assert b"late" in pair.machine.take_output()
    assert isinstance(terminated, ConnectionTerminated)
    assert (terminated.last_stream_id, int(terminated.error_code)) == (2**31 - 1, NO_ERROR)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        PREFACE + PingFrame(0, b"12345678").serialize(),
        HELLO + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 99,
        HELLO + b"\x00\x00\x05\x00\x00\x00\x00\x00\x00hello",
        HELLO + b"\x00\x00\x03\x01\x05\x00\x00\x00\x01\xff\xff\xff",
        HELLO + b"\x00\x00\x00\x09\x04\x00\x00\x00\x01",
        BEGUN + bytes(3) + b"\xaa" + bytes(5),
        BEGUN + bytes(3) + b"\x09\x04\x00\x00\x00\x03",
        HELLO + b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
    ids=[
        "http1",
        "no_settings",
        "frame_size",
        "data_on_0",
        "hpack",
        "continuation",
        "block_cut",
        "block_mixed",
        "window_0",
    ],
)
def test_violations_are_of_one_kind(data: bytes) -> None:
    """Whatever a peer breaks, one exception says so and a GOAWAY is ready."""
    machine = H2Machine(Limits(), 0.0)
    machine.take_output()
    with pytest.raises(ProtocolViolationError):
        machine.feed(data, 0.0)
    expected = 0 if data[:3] == b"GET" else 17
    acknowledged = 9 if data.startswith(HELLO) and data[33:34] != b"\xff" else 0
    assert len(machine.take_output()) == expected + acknowledged


def test_flood_ends_with_enhance_your_calm() -> None:
    """The client learns why."""
    pair = Pair(Limits(frame_burst=10))
    with pytest.raises(ProtocolViolationError):
        pair.machine.feed(PingFrame(0, b"12345678").serialize() * 20, 0.0)
    terminated = kinds(pair.to_client(), ConnectionTerminated)[0]
    assert isinstance(terminated, ConnectionTerminated)
    assert int(terminated.error_code) == 0xB


def test_peer_does_not_choose_our_memory() -> None:
    """SETTINGS_HEADER_TABLE_SIZE of 1 GiB leaves our answers without a table."""
    pair = Pair()
    pair.client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**30})
    pair.to_server()
    for _ in range(2):
        stream = pair.request()
        pair.to_server()
        pair.machine.send_headers(stream, 200, [(b"x", b"y")], end=True)
        assert kinds(pair.to_client(), ResponseReceived)
    assert pair.client.decoder.header_table_size == 0


def test_refused_streams_are_counted() -> None:
    """Turning streams away is work that a client can ask for only so often."""
    pair = Pair(Limits(frame_burst=35))
    for _ in range(3):
        stream = pair.request()
        pair.to_server()
        pair.machine.refuse_stream(stream)
    stream = pair.request()
    pair.to_server()
    with pytest.raises(ProtocolViolationError):
        pair.machine.refuse_stream(stream)


def test_overloaded_answer_is_whole_or_none() -> None:
    """503 with its body, and the rest of the request is not needed; no window: REFUSED_STREAM."""
    pair = Pair()
    answer: tuple[Headers, bytes] = ([(b"retry-after", b"1")], b"busy")
    stream = pair.request(end=False)
    pair.to_server()
    pair.machine.refuse_overloaded(stream, *answer)
    got = pair.to_client()
    assert kinds(got, StreamEnded)
    assert [e.error_code for e in got if isinstance(e, StreamReset)] == [0]
    pair.machine.feed(settings_frame([(4, 3)]), 0.0)
    stream = pair.request()
    pair.to_server()
    pair.machine.refuse_overloaded(stream, *answer)
    assert [e.error_code for e in pair.to_client() if isinstance(e, StreamReset)] == [7]


@pytest.mark.parametrize(
    ("declared", "sent", "end"),
    [(3, 4, False), (3, 4, True), (3, 2, True), (3, 0, True), (0, 1, True)],
)
def test_body_that_is_not_as_long_as_declared(declared: int, sent: int, end: bool) -> None:
    """RFC 9113 section 8.1.1: malformed, an error of the stream; nothing of it is the end."""
    pair = Pair()
    stream = pair.request((b"content-length", b"%d" % declared), end=False)
    flags = ["END_STREAM"] if end else []
    data = pair.client.data_to_send() + DataFrame(stream, b"x" * sent, flags=flags).serialize()
    events = pair.machine.feed(data, 0.0)
    assert events[-1] == inbound.StreamReset(stream)
    assert not kinds(list(events), inbound.StreamEnded)
    assert RstStreamFrame(stream, 1).serialize() in pair.machine.take_output()


def test_body_that_never_comes_is_malformed_too() -> None:
    """END_STREAM on the head of a request that declares a body."""
    pair = Pair()
    stream = pair.request((b"content-length", b"3"))
    assert pair.to_server() == [inbound.StreamReset(stream)]


def test_trailers_end_the_request() -> None:
    """They are read, for the table's sake, and not shown."""
    pair = Pair()
    stream = pair.request(end=False)
    pair.client.send_headers(stream, [(b"x-sum", b"1")], end_stream=True)
    assert pair.to_server()[1:] == [inbound.StreamEnded(stream)]
    again = pair.request((b"x-sum", b"1"))
    request = pair.to_server()[0]
    assert isinstance(request, inbound.RequestReceived)
    assert (request.stream, (b"x-sum", b"1") in request.request.headers) == (again, True)  # type: ignore[union-attr]


@pytest.mark.parametrize("trailers", [[(b":path", b"/")], [(b"x", b"y")]])
def test_trailers_are_the_end_and_no_request(trailers: Headers) -> None:
    """RFC 9113 section 8.1: a pseudo-header in them, or more after them, breaks the stream."""
    pair = Pair()
    stream = pair.request(end=False)
    block = pair.client.encoder.encode(trailers)
    frame = HeadersFrame(stream, block, flags=["END_HEADERS"])
    if trailers[0][0] == b":path":
        frame.flags.add("END_STREAM")
    events = pair.machine.feed(pair.client.data_to_send() + frame.serialize(), 0.0)
    assert events[-1] == inbound.StreamReset(stream)


def test_windows_that_overflow() -> None:
    """Section 6.9.1: of a stream its error, of the connection the end."""
    pair = Pair()
    stream = pair.request(end=False)
    pair.to_server()
    assert pair.machine.feed(window_frame(stream, 2**31 - 1), 0.0) == [inbound.StreamReset(stream)]
    with pytest.raises(ProtocolViolationError) as violated:
        pair.machine.feed(window_frame(0, 2**31 - 1), 0.0)
    assert violated.value.code == 3


def test_data_beyond_the_windows() -> None:
    """What was not granted: the stream is reset, or the connection ends, by which window it is."""
    limits = Limits(stream_window=100_000, connection_window=150_000)
    pair = Pair(limits)
    streams = [pair.request(end=False) for _ in range(2)]
    pair.to_server()
    piece = 10_000
    for _ in range(10):
        pair.machine.feed(DataFrame(streams[0], b"x" * piece).serialize(), 0.0)
    over = pair.machine.feed(DataFrame(streams[0], b"x").serialize(), 0.0)
    assert over == [inbound.StreamReset(streams[0])]
    for _ in range(4):
        pair.machine.feed(DataFrame(streams[1], b"x" * piece).serialize(), 0.0)
    with pytest.raises(ProtocolViolationError) as violated:
        pair.machine.feed(DataFrame(streams[1], b"x" * 9_999 + b"yz").serialize(), 0.0)
    assert violated.value.code == 3


def test_data_on_its_way_when_we_reset_is_given_back() -> None:
    """Section 5.1: it is thrown away, and still counts for the connection."""
    pair = Pair(Limits(stream_window=200_000, connection_window=70_000))
    stream = pair.request(end=False)
    pair.to_server()
    pair.machine.reset_stream(stream, NO_ERROR)
    for _ in range(100):
        pair.machine.feed(DataFrame(stream, b"x" * 10_000).serialize(), 0.0)
    assert window_frame(0, 40_000) in pair.machine.take_output()


def test_blocks_that_begin_are_seen_one_by_one() -> None:
    """A header block that is not whole, or a frame of one, has to end in time: each by itself."""
    pair = Pair()
    data = HeadersFrame(1, b"\x82").serialize()
    numbers = []
    for piece in (data[:5], data[5:], ContinuationFrame(1, b"", flags=["END_HEADERS"]).serialize()):
        pair.machine.feed(piece, 0.0)
        numbers.append(pair.machine.open_header_block)
    pair.machine.feed(HeadersFrame(3, b"\x82", flags=["END_HEADERS"]).serialize() + data[:4], 0.0)
    assert [*numbers, pair.machine.open_header_block] == [1, 1, 0, 3]


def test_settings_of_great_length_are_no_bargain() -> None:
    """Thousands of settings in a frame cost what many frames of them do (CVE-2019-9515)."""
    pair = Pair(Limits(frame_burst=1_000))
    frame = settings_frame([(4, 1), (4, 2**31 - 1)] * 1_300)
    pair.machine.feed(frame, 0.0)
    with pytest.raises(ProtocolViolationError) as violated:
        pair.machine.feed(frame * 4, 0.0)
    assert violated.value.reason == "flood"


def test_header_blocks_that_open_nothing_are_counted() -> None:
    """On a stream that we reset they are discarded, but each has to be decoded."""
    pair = Pair(Limits(frame_burst=100))
    stream = pair.request(end=False)
    pair.to_server()
    pair.machine.reset_stream(stream, NO_ERROR)
    frame = HeadersFrame(stream, b"\x82", flags=["END_HEADERS"]).serialize()
    assert pair.machine.feed(frame * 90, 0.0) == []
    with pytest.raises(ProtocolViolationError):
        pair.machine.feed(frame * 20, 0.0)


def test_header_fields_are_decoded_a_few_at_a_time() -> None:
    """However many blocks come at once: in between others have their turn. None is lost."""
    pair = Pair()
    fields = [(b"x-%d" % n, b"value") for n in range(90)]
    streams = [pair.request(*fields) for _ in range(50)]
    found, most = [], 0
    data = pair.client.data_to_send()
    while data or pair.machine.is_behind:
        events = kinds(list(pair.machine.feed(data, 0.0)), inbound.RequestReceived)
        most = max(most, sum(len(event.request.headers) for event in events))
        found += [event.stream for event in events]
        data = b""
    assert found == streams
    assert most <= FIELDS + 91


def test_what_breaks_the_protocol_leaves_nothing_to_do() -> None:
    """Frames behind the one that is wrong are not looked at."""
    machine = H2Machine(Limits(), 0.0)
    with pytest.raises(ProtocolViolationError):
        machine.feed(BEGUN + PingFrame(0).serialize() * 3, 0.0)
    assert not machine.is_behind
