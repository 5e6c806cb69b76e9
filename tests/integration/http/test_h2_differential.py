"""Our HTTP/2 held against the h2 library: the same frames through both, legal and illegal.

After each frame both must have seen the same (requests, data, ends, resets), must have reset the
same streams, and must agree on whether the connection goes on. Where RFC 9113 gives us reason to
differ, DIFFERENCES names it.
"""

from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.http import h2_events as ours
from protocols.http.errors import ProtocolViolationError, RefusedError
from protocols.http.h2_frames import MAX_INT31 as WIDE
from protocols.http.h2_frames import PREFACE
from protocols.http.h2_machine import H2Machine
from protocols.http.h2_request import H2Request, vet_request
from protocols.http.limits import Limits

LIMITS = Limits(frame_burst=10_000_000, streams=1_000, stream_window=70_000)
BASE = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")]
HELLO = PREFACE + SettingsFrame(0).serialize()

# What a frame does here and does there, and why. "ok", "stream" (reset) and "connection".
DIFFERENCES = {
    # Section 5.1: half-closed (remote) MUST be a stream error; h2 ends the connection.
    ("data", "stream", "connection"),
    ("headers", "stream", "connection"),
    # Section 8.1: trailers end their stream and hold no pseudo-header; h2 as set up here asks not.
    ("headers", "stream", "ok"),
    # Section 5.1: after our own RST_STREAM frames are discarded; h2 resets once more.
    ("data", "ok", "stream"),
    ("headers", "ok", "stream"),
    # Section 5.1: DATA on a stream that was passed over, or is long closed, may end the connection.
    ("data", "connection", "stream"),
    # Section 6.4: RST_STREAM on an idle stream; h2 lets it pass.
    ("reset", "connection", "ok"),
    # Section 6.9: an increment of 0 on a stream is an error of the stream; h2's is wider.
    ("window", "stream", "connection"),
    # Section 5.1: WINDOW_UPDATE and RST_STREAM on a closed stream may be late; h2 resets again.
    ("window", "ok", "stream"),
    ("window", "ok", "connection"),
    ("reset", "ok", "stream"),
    ("reset", "ok", "connection"),
    # RFC 9113 has no tree of dependencies any more, so no stream can depend on itself.
    ("priority", "ok", "connection"),
}


NAMES = {0: "data", 1: "headers", 2: "priority", 3: "reset", 4: "settings", 8: "window"}


def _comparable(request: H2Request | RefusedError) -> H2Request | str:
    return request if isinstance(request, H2Request) else request.code


class Seen:
    """What one side made of some bytes."""

    def __init__(self) -> None:
        self.what: list[tuple[Any, ...]] = []
        self.verdict = "ok"
        self.resets: set[int] = set()

    def look_at(self, output: bytes) -> None:
        """Take down which streams were reset."""
        position = 0
        while position < len(output):
            frame, length = Frame.parse_frame_header(memoryview(output[position : position + 9]))
            position += 9 + length
            if isinstance(frame, RstStreamFrame):
                self.resets.add(frame.stream_id)
        if self.resets and self.verdict == "ok":
            self.verdict = "stream"


class Here:
    """Our machine."""

    def __init__(self) -> None:
        self.machine = H2Machine(LIMITS, 0.0)
        self.machine.feed(HELLO, 0.0)
        self.machine.take_output()

    def feed(self, data: bytes) -> Seen:
        """Events, verdict, resets."""
        seen = Seen()
        try:
            for event in self.machine.feed(data, 0.0):
                if isinstance(event, ours.RequestReceived):
                    seen.what.append(("request", event.stream, _comparable(event.request)))
                    if event.ended:
                        seen.what.append(("end", event.stream))
                elif isinstance(event, ours.WindowOpened):
                    pass
                else:
                    seen.what.append((type(event).__name__, *event))
        except ProtocolViolationError:
            seen.verdict = "connection"
        seen.look_at(self.machine.take_output())
        return seen

    def answer(self, stream: int) -> bytes:
        """A whole answer, small enough for any window; nothing if the stream is no more."""
        self.machine.send_headers(stream, 200, [(b"x", b"y")], end=True)
        return self.machine.take_output()

    def reset(self, stream: int) -> None:
        """Reset by us."""
        self.machine.reset_stream(stream, 2)
        self.machine.take_output()

    def live(self) -> list[int]:
        """Streams that can be answered."""
        return [s.number for s in self.machine.streams.live.values() if s.sending]


class There:
    """The h2 library, set up as a server with the same settings."""

    def __init__(self) -> None:
        self.engine = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self.engine.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: LIMITS.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: LIMITS.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: LIMITS.header_bytes,
            },
        )
        self.engine.decoder.max_header_list_size = 2 * LIMITS.header_bytes
        self.engine.initiate_connection()
        self.engine.increment_flow_control_window(LIMITS.connection_window - 65_535)
        self.engine.receive_data(HELLO)
        self.engine.data_to_send()

    def feed(self, data: bytes) -> Seen:
        """Events, verdict, resets."""
        seen = Seen()
        output = b""
        try:
            for event in self.engine.receive_data(data):
                self._on_event(event, seen)
            output = self.engine.data_to_send()
        except ProtocolError:
            seen.verdict = "connection"
        seen.look_at(output)
        return seen

    def answer(self, stream: int) -> None:
        """The same answer."""
        self.engine.send_headers(stream, [(b":status", b"200"), (b"x", b"y")], end_stream=True)
        self.engine.data_to_send()

    def reset(self, stream: int) -> None:
        """The same reset."""
        self.engine.reset_stream(stream, 2)
        self.engine.data_to_send()

    def _on_event(self, event: object, seen: Seen) -> None:
        if isinstance(event, RequestReceived):
            try:
                request: H2Request | RefusedError = vet_request(event.headers or (), LIMITS)
            except RefusedError as error:
                request = error
            seen.what.append(("request", event.stream_id, _comparable(request)))
        elif isinstance(event, DataReceived):
            size = event.flow_controlled_length
            seen.what.append(("DataReceived", event.stream_id, event.data, size))
        elif isinstance(event, StreamEnded):
            seen.what.append(("end", event.stream_id))
        elif isinstance(event, StreamReset):
            seen.what.append(("StreamReset", event.stream_id))
        elif isinstance(event, ConnectionTerminated):  # h2 takes it for the end, section 6.8 not
            self.engine.state_machine.state = ConnectionState.SERVER_OPEN


class Script:
    """Frames as a client with one encoder would send them, rules kept or not."""

    def __init__(self) -> None:
        self.encoder = Encoder()

    def headers(
        self, stream: int, end: bool, cut: int, pad: int, more: list[tuple[bytes, bytes]]
    ) -> bytes:
        """A request, or trailers; in two frames if `cut`."""
        block = self.encoder.encode([*BASE, *more])
        first = block[:cut] if cut else block
        frame = HeadersFrame(stream or 1, first)
        if end:
            frame.flags.add("END_STREAM")
        if pad:
            frame.flags.add("PADDED")
            frame.pad_length = pad
        if not cut:
            frame.flags.add("END_HEADERS")
            return _on(stream, frame)
        rest = ContinuationFrame(stream or 1, block[cut:], flags=["END_HEADERS"])
        return _on(stream, frame) + _on(stream, rest)

    def trailers(self, stream: int, end: bool) -> bytes:
        """A second header block."""
        frame = HeadersFrame(stream or 1, self.encoder.encode([(b"x-sum", b"1")]))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return _on(stream, frame)


def _on(stream: int, frame: Frame) -> bytes:
    """The frame with any number of stream, which hyperframe would not allow."""
    data = frame.serialize()
    return bytes(data[:5]) + stream.to_bytes(4, "big") + bytes(data[9:])


def _raw(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def _data(stream: int, size: int, pad: int, end: bool) -> bytes:
    frame = DataFrame(stream or 1, b"x" * size)
    if pad:
        frame.flags.add("PADDED")
        frame.pad_length = pad
    if end:
        frame.flags.add("END_STREAM")
    return _on(stream, frame)


STREAMS = st.sampled_from([1, 3, 5, 7, 9, 1, 3, 5, 0, 2])
FIELDS = st.lists(
    st.sampled_from([(b"x-a", b"1"), (b"x-b", b"2" * 40), (b"cookie", b"c"), (b"accept", b"*/*")]),
    max_size=3,
)
STEPS = st.one_of(
    st.tuples(
        st.just("headers"), STREAMS, st.booleans(), st.sampled_from([0, 0, 0, 2]),
        st.sampled_from([0, 0, 5]), FIELDS,
    ),
    st.tuples(st.just("trailers"), STREAMS, st.booleans()),
    st.tuples(
        st.just("data"), STREAMS, st.sampled_from([0, 1, 100, 16_000]), st.sampled_from([0, 0, 9]),
        st.booleans(),
    ),
    st.tuples(st.just("reset"), STREAMS, st.sampled_from([b"\0\0\0\x08", b"\0\0\0\0", b"\0"])),
    st.tuples(
        st.just("window"), STREAMS,
        st.sampled_from([1, 1_000, 0, WIDE]).map(lambda n: n.to_bytes(4, "big")) | st.just(b"1"),
    ),
    st.tuples(
        st.just("settings"), st.sampled_from([0, 0, 0, 1]),
        st.lists(
            st.sampled_from([
                (1, 0), (1, 4_096), (1, 2**30), (2, 0), (2, 1), (2, 2), (3, 5), (4, 0), (4, 100),
                (4, 70_000), (4, WIDE), (4, 2**31), (5, 16_384), (5, 16_383), (5, 2**24 - 1),
                (5, 2**24), (6, 100), (99, 7),
            ]),
            max_size=2,
            unique_by=lambda pair: pair[0],  # h2 keeps the last of each only, section 6.5.3 all
        ),
    ),
    st.tuples(st.just("raw"), st.sampled_from([
        PingFrame(0, b"12345678").serialize(),
        PingFrame(0, b"12345678", flags=["ACK"]).serialize(),
        _raw(6, 0, 0, b"1234567"),
        _raw(6, 0, 1, b"12345678"),
        GoAwayFrame(0).serialize(),
        _raw(7, 0, 1, bytes(8)),
        _raw(7, 0, 0, bytes(7)),
        _raw(5, 4, 1, bytes(4) + b"\x82"),
        _raw(9, 4, 1, b"\x82"),
        _raw(9, 4, 0, b"\x82"),
        _raw(0xAA, 0xFF, 3, b"anything"),
        _raw(4, 1, 0, b""),
        _raw(4, 1, 0, bytes(6)),
        _raw(4, 0, 0, bytes(5)),
        _raw(0, 8, 1, b"\x05abc"),
        _raw(0, 8, 1, b""),
        _raw(1, 0x24, 11, b"\0\0\0"),
        _raw(1, 5, 13, b"\xff\xff\xff\xff\x7f"),
        _raw(1, 5, 13, b"\x82\xbe"),
        _raw(1, 1, 15, b"\x82"),
    ])),
    st.tuples(st.just("priority"), STREAMS, st.sampled_from([5, 5, 4]), STREAMS),
    st.tuples(st.just("answer"), STREAMS),
    st.tuples(st.just("reset-here"), STREAMS),
)  # fmt: skip


def _bytes_of(script: Script, step: tuple[Any, ...]) -> bytes:
    kind, *rest = step
    make: dict[str, Callable[..., bytes]] = {
        "headers": script.headers,
        "trailers": script.trailers,
        "data": _data,
        "reset": lambda stream, payload: _raw(3, 0, stream, payload),
        "window": lambda stream, payload: _raw(8, 0, stream, payload),
        "settings": lambda stream, pairs: _raw(
            4, 0, stream, b"".join(n.to_bytes(2, "big") + v.to_bytes(4, "big") for n, v in pairs)
        ),
        "raw": lambda data: data,
        "priority": lambda stream, size, on: _raw(
            2, 0, stream, (on.to_bytes(4, "big") + b"\x10")[:size]
        ),
    }
    return make[kind](*rest)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=25))
def test_same_frames_same_meaning(steps: list[tuple[Any, ...]]) -> None:
    """Frame by frame, until the connection ends or a named difference has led them apart."""
    here, there, script = Here(), There(), Script()
    for step in steps:
        kind = step[0]
        if kind in ("answer", "reset-here"):
            if step[1] in here.live():
                act = "answer" if kind == "answer" else "reset"
                getattr(here, act)(step[1])
                getattr(there, act)(step[1])
            continue
        data = _bytes_of(script, step)
        mine, theirs = here.feed(data), there.feed(data)
        if mine.verdict != theirs.verdict:
            name = NAMES.get(data[3], "other")
            assert (name, mine.verdict, theirs.verdict) in DIFFERENCES, (step, mine.what)
            return
        if mine.verdict == "connection":
            return
        assert _normal(mine) == _normal(theirs), step
        assert mine.resets == theirs.resets, step


def _normal(seen: Seen) -> list[tuple[Any, ...]]:
    """Ends by one name."""
    return [("end", *rest) if name == "StreamEnded" else (name, *rest) for name, *rest in seen.what]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"/", b"/v1/secret/data/a", b"/x?y=1", b"/" + b"z" * 200]), FIELDS
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 400),
)
def test_bytes_may_come_cut_anywhere(
    requests: list[tuple[bytes, list[tuple[bytes, bytes]]]], step: int
) -> None:
    """Whatever pieces TCP makes of them, the same requests come out, and h2's are the same."""
    encoder, data = Encoder(), b""
    for number, (path, more) in enumerate(requests):
        fields = [(name, path if name == b":path" else value) for name, value in BASE]
        frame = HeadersFrame(2 * number + 1, encoder.encode([*fields, *more]))
        frame.flags |= {"END_HEADERS", "END_STREAM"}
        data += frame.serialize()
    here, there = Here(), There()
    pieces = [data[begin : begin + step] for begin in range(0, len(data), step)]
    mine = [item for piece in pieces for item in here.feed(piece).what]
    theirs = there.feed(data).what
    assert mine == theirs
    assert sum(item[0] == "request" for item in mine) == len(requests)
