"""HTTP/2 (RFC 9113) from the server's side, without I/O: bytes to events, answers to bytes.

Frames are `h2_frames`, the states of streams are a table in `h2_streams`, header blocks are
`header_blocks`: here is what each kind of frame does. An error of a stream resets it and is an
event, an error of the connection is a ProtocolViolationError. Held against the h2 library by a
differential test (decision 2).
"""

from collections import deque
from collections.abc import Callable, Iterable

from protocols.http import h2_frames
from protocols.http.asgi import Headers, MakeOverloadResponse
from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowOpened,
)
from protocols.http.h2_frame_meter import RESET_COST, FrameMeter
from protocols.http.h2_frames import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    GOAWAY,
    HEADERS,
    INTERNAL_ERROR,
    MAX_FRAME_PAYLOAD,
    MAX_INT31,
    NO_ERROR,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Frame,
    FrameReader,
)
from protocols.http.h2_output import OutputQueue
from protocols.http.h2_request import H2Request
from protocols.http.h2_streams import (
    DEFAULT_WINDOW,
    FrameAction,
    ReceiveWindow,
    Stream,
    StreamState,
    StreamTable,
)
from protocols.http.header_blocks import HeaderBlockDecoder
from protocols.http.limits import Limits

__all__ = ["CANCEL", "INTERNAL_ERROR", "NO_ERROR", "H2Machine"]

FIELDS = 512
"""Header fields that are decoded in one turn of the event loop: some milliseconds."""
_LONG_SETTINGS = 64  # bytes; real clients send six settings, in 36
_PING_SIZE, _PRIORITY_SIZE, _GOAWAY_SIZE = 8, 5, 8


class H2Machine:
    """One connection: bytes in, events out; responses in, bytes out."""

    def __init__(
        self, limits: Limits, now: float, turn_away: MakeOverloadResponse | None = None
    ) -> None:
        self._limits = limits
        self.meter = FrameMeter(limits, now)
        self._output = OutputQueue()
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()  # that came and were not looked at yet
        self.streams = StreamTable()
        self._decoder = HeaderBlockDecoder(limits)
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, what came so far
        self._ended_blocks = 0
        self._settled = False  # the client's first SETTINGS came
        self._inbound = ReceiveWindow(limits.connection_window)
        self.outbound = self._initial_outbound = DEFAULT_WINDOW  # of the connection, of a stream
        self._events: list[Event] = []
        self.early_refusals = EarlyRefusals(self._decoder, self.streams, self._output, turn_away)
        self._room = 0  # requests that may still become events
        self._window_waiters: dict[int, Callable[[Frame], None]] = {
            DATA: self._on_data,
            HEADERS: self._on_headers,
            PRIORITY: self._on_priority,
            RST_STREAM: self._on_reset,
            SETTINGS: self._on_settings,
            PUSH_PROMISE: self._on_push_promise,
            PING: self._on_ping,
            GOAWAY: self._on_goaway,
            WINDOW_UPDATE: self._on_window_update,
            CONTINUATION: self._on_continuation,
        }
        self._greet()

    @property
    def open_header_block(self) -> int:
        """The number of the header block that has begun to come in and not ended; 0 for none."""
        begun = self._block or self._reader.is_in_headers
        return self._ended_blocks + self.early_refusals.count + 1 if begun else 0

    def feed(self, data: bytes, now: float, free_slots: int = MAX_INT31) -> list[Event]:
        """Events in `data`; requests beyond `free_slots` are refused (`EarlyRefusals`).

        After `FIELDS` header fields it ends early: `is_behind` then, and what is left is taken
        first the next time, for which there need be no `data`.

        Raises ProtocolViolationError; `take_output` then ends with a GOAWAY.
        """
        events = self._events = []
        left, blocks = self._frames, self._decoder
        enough = blocks.decoded + FIELDS
        meter, takers = self.meter, self._window_waiters
        meter.refill(now)
        self._room = free_slots
        try:
            left.extend(self._reader.feed(data))
            while left and blocks.decoded < enough:
                frame = left.popleft()
                kind = frame.kind
                if self._room <= 0 and kind == HEADERS and self._block is None:
                    taken = self.early_refusals.refuse(
                        frame, min(self._initial_outbound, self.outbound)
                    )
                    self.outbound -= taken
                    if taken:
                        continue
                meter.count_frame(kind, frame.flags, len(frame.payload))
                if self._block is not None and kind != CONTINUATION:  # section 6.2
                    raise _broken("interrupted_block")
                if not self._settled and kind != SETTINGS:  # section 3.4
                    raise _broken("no_settings")
                take = takers.get(kind)
                if take is not None:  # section 5.5: of an unknown kind, ignored
                    take(frame)
        except ProtocolViolationError as error:
            left.clear()
            if error.reason != "preface":  # section 3.4: that is no HTTP/2 peer
                self.send_goaway(error.code)
            raise
        return events

    @property
    def is_behind(self) -> bool:
        """Whether `feed` has more to do with what it has been given."""
        return bool(self._frames)

    @property
    def queued_bytes(self) -> int:
        """How many bytes `take_output` would return."""
        return self._output.size

    def take_output(self) -> bytes:
        """Bytes to be sent now."""
        return self._output.take_bytes()

    def send_headers(
        self,
        number: int,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        end: bool = False,
    ) -> None:
        """Send the head of a response (or a 1xx); all of it if `end`."""
        self._output.add_headers(number, status, headers, end=end)
        if end:
            self._sent_all(self.streams.live[number])

    def send_data(self, number: int, data: bytes, *, end: bool) -> int:
        """Send as much as the windows allow; returns how much. `end` counts if all of it went."""
        stream = self.streams.live[number]
        size = len(data)
        allowed = max(0, min(size, stream.outbound, self.outbound))
        if allowed < size:
            data, end = data[:allowed], False
            if not allowed:
                return 0
        stream.outbound -= allowed
        self.outbound -= allowed
        self._output.add_data(number, data, end=end)
        if end:
            self._sent_all(stream)
        return allowed

    def grant_window(self, number: int, size: int) -> None:
        """Let the client send `size` more on this stream and on the connection."""
        if not size:
            return
        self._output.add_window_update(0, self._inbound.replenish(size))
        stream = self.streams.live.get(number)
        if stream is not None and stream.receiving and stream.inbound is not None:
            self._output.add_window_update(number, stream.inbound.replenish(size))

    def reset_stream(self, number: int, code: int) -> None:
        """End a stream with RST_STREAM; nothing happens if it has ended already."""
        if number in self.streams.live:
            self._reset(number, code)

    def refuse_stream(self, number: int) -> None:
        """Turn a new stream away unprocessed. Raises ProtocolViolationError if this piles up."""
        self.reset_stream(number, REFUSED_STREAM)
        try:
            self.meter.spend(RESET_COST)
        except ProtocolViolationError as error:
            self.send_goaway(error.code)
            raise

    def refuse_overloaded(self, number: int, headers: Headers, body: bytes) -> None:
        """Answer a new stream with 503, unprocessed; refuse it where that does not fit a window."""
        stream = self.streams.live[number]
        if len(body) <= min(stream.outbound, self.outbound, MAX_FRAME_PAYLOAD):
            self.outbound -= len(body)
            self._output.add_refusal(number, headers, body)
            self._sent_all(stream)
            self.reset_stream(
                number, NO_ERROR
            )  # RFC 9113 section 8.1: the rest of it is not needed
        else:
            self._reset(number, REFUSED_STREAM)

    def send_goaway(self, code: int, *, last: int | None = None) -> None:
        """Announce the end; streams up to `last` (default: the newest seen) still finish."""
        highest = self.streams.highest if last is None else last
        self._output.add_frames(h2_frames.goaway_frame(highest, code))

    def announce_goaway(self) -> None:
        """RFC 9113 section 6.8: first a GOAWAY that excludes no stream still under way."""
        self.send_goaway(NO_ERROR, last=MAX_INT31)

    # Output.

    def _greet(self) -> None:
        """Our preface (section 3.4), and the rest of the connection's window."""
        self._output.add_frames(our_settings(self._limits))
        self._output.add_window_update(0, max(0, self._limits.connection_window - DEFAULT_WINDOW))

    def _sent_all(self, stream: Stream) -> None:
        stream.sending = False
        if not stream.receiving:
            self.streams.close(stream.number, StreamState.ENDED)

    def _reset(self, number: int, code: int) -> None:
        self.streams.close(number, StreamState.RESET_HERE)
        self._output.add_reset(number, code)

    def _stream_error(self, number: int, code: int) -> None:
        """Section 5.4.2. It throws work away, so it costs what a reset costs."""
        known = number in self.streams.live
        self._reset(number, code)
        if known:
            self._events.append(StreamReset(number))
        self.meter.spend(RESET_COST)

    # Frames of a stream.

    def _on_headers(self, frame: Frame) -> None:
        """Section 6.2."""
        block = h2_frames.headers_fragment(frame.flags, frame.payload)
        if frame.flags & END_HEADERS:
            self._on_block(frame.stream, frame.flags, block)
        else:
            self.streams.frame_action(HEADERS, frame.stream)
            self._block = (frame.stream, frame.flags, bytearray(block))

    def _on_continuation(self, frame: Frame) -> None:
        """Section 6.10."""
        if self._block is None or self._block[0] != frame.stream:
            raise _broken("stray_continuation")
        number, flags, block = self._block
        block += frame.payload
        if frame.flags & END_HEADERS:
            self._block = None
            self._on_block(number, flags, bytes(block))

    def _on_block(self, number: int, flags: int, block: bytes) -> None:
        streams = self.streams
        self._ended_blocks += 1
        receipt = streams.frame_action(HEADERS, number)
        ended = bool(flags & END_STREAM)
        if receipt is FrameAction.TAKE and number > streams.highest:
            request = self._decoder.decode_request(block)
            to_come = request.length if isinstance(request, H2Request) else -1
            stream = Stream(number, self._initial_outbound, receiving=not ended, to_come=to_come)
            streams.open(stream)
            if ended and to_come > 0:
                self._stream_error(number, PROTOCOL_ERROR)
            else:
                self._room -= 1
                self._events.append(RequestReceived(number, request, ended))
            return
        self.meter.spend(1)
        names = self._decoder.field_names(block)  # the table has to follow whatever becomes of it
        if receipt is FrameAction.CLOSED:
            self._stream_error(number, STREAM_CLOSED)
        elif receipt is FrameAction.TAKE:
            if not ended or any(name[:1] == b":" for name in names):  # section 8.1
                self._stream_error(number, PROTOCOL_ERROR)
            else:
                self._received_all(streams.live[number])

    def _on_data(self, frame: Frame) -> None:
        """Sections 6.1 and 6.9."""
        number, size = frame.stream, len(frame.payload)
        receipt = self.streams.frame_action(DATA, number)
        data = h2_frames.unpad(frame.flags, frame.payload)
        if not self._inbound.consume(size):
            raise ProtocolViolationError(FLOW_CONTROL_ERROR, "connection_window")
        if receipt is not FrameAction.TAKE:
            self.meter.spend(1)  # an empty one takes nothing of any window
            self._output.add_window_update(0, self._inbound.replenish(size))
            if receipt is FrameAction.CLOSED:
                self._stream_error(number, STREAM_CLOSED)
            return
        stream = self.streams.live[number]
        if stream.inbound is None:
            stream.inbound = ReceiveWindow(self._limits.stream_window)
        if not stream.inbound.consume(size):
            self._drop_data(number, size, FLOW_CONTROL_ERROR)
        elif not stream.count_body(len(data)):  # section 8.1.1
            self._drop_data(number, size, PROTOCOL_ERROR)
        else:
            self._events.append(DataReceived(number, data, size))
            if frame.flags & END_STREAM:
                self._received_all(stream)

    def _drop_data(self, number: int, size: int, code: int) -> None:
        self._output.add_window_update(0, self._inbound.replenish(size))
        self._stream_error(number, code)

    def _received_all(self, stream: Stream) -> None:
        if stream.to_come > 0:
            self._stream_error(stream.number, PROTOCOL_ERROR)
            return
        stream.receiving = False
        self._events.append(StreamEnded(stream.number))
        if not stream.sending:
            self.streams.close(stream.number, StreamState.ENDED)

    def _on_reset(self, frame: Frame) -> None:
        """Section 6.4."""
        h2_frames.parse_number(frame.payload)
        if self.streams.frame_action(RST_STREAM, frame.stream) is FrameAction.TAKE:
            self.streams.close(frame.stream, StreamState.RESET_THERE)
            self._events.append(StreamReset(frame.stream))

    def _on_window_update(self, frame: Frame) -> None:
        """Section 6.9."""
        by = h2_frames.parse_number(frame.payload) & MAX_INT31
        if not frame.stream:
            if not by:
                raise _broken("no_increment")
            self.outbound += by
            if self.outbound > MAX_INT31:
                raise ProtocolViolationError(FLOW_CONTROL_ERROR, "connection_window")
            self._events.append(WindowOpened())
            return
        if self.streams.frame_action(WINDOW_UPDATE, frame.stream) is not FrameAction.TAKE:
            return
        stream = self.streams.live[frame.stream]
        stream.outbound += by
        if not by:
            self._stream_error(frame.stream, PROTOCOL_ERROR)
        elif stream.outbound > MAX_INT31:
            self._stream_error(frame.stream, FLOW_CONTROL_ERROR)
        else:
            self._events.append(WindowOpened())

    def _on_priority(self, frame: Frame) -> None:
        """Section 6.3: deprecated, and of no effect. 5.4.1 lets us end the connection."""
        if not frame.stream:
            raise _broken("no_stream")
        h2_frames.require_size(frame.payload, _PRIORITY_SIZE, "priority_size")

    def _on_push_promise(self, _frame: Frame) -> None:
        """Section 8.4: not for a client to send."""
        raise _broken("push_promise")

    # Frames of the connection.

    def _on_settings(self, frame: Frame) -> None:
        """Section 6.5. What we send is small and never pushed: only the window matters."""
        h2_frames.require_connection_frame(frame, "settings_of_stream")
        if frame.flags & ACK:
            h2_frames.require_size(frame.payload, 0, "settings_ack_size")
            if not self._settled:
                raise _broken("no_settings")
            return
        self._settled = True
        self.meter.spend(len(frame.payload) // _LONG_SETTINGS)
        window = initial_window(frame.payload)
        if window is not None:
            self._shift_windows(window)
        self._output.add_frames(h2_frames.encode_frame(SETTINGS, ACK, 0))

    def _shift_windows(self, size: int) -> None:
        """Section 6.9.2: a new initial window changes those of all streams."""
        by, self._initial_outbound = size - self._initial_outbound, size
        if not self.streams.shift_send_windows(by):
            raise ProtocolViolationError(FLOW_CONTROL_ERROR, "initial_window")
        self._events.append(WindowOpened())

    def _on_ping(self, frame: Frame) -> None:
        """Section 6.7."""
        h2_frames.require_connection_frame(frame, "ping_of_stream")
        h2_frames.require_size(frame.payload, _PING_SIZE, "ping_size")
        if not frame.flags & ACK:
            self._output.add_frames(h2_frames.encode_frame(PING, ACK, 0, frame.payload))

    def _on_goaway(self, frame: Frame) -> None:
        """Section 6.8: the client will open no more streams, and may not mean to; nothing to do."""
        h2_frames.require_connection_frame(frame, "goaway_of_stream")
        h2_frames.require_size(frame.payload[:_GOAWAY_SIZE], _GOAWAY_SIZE, "goaway_size")


def _broken(reason: str) -> ProtocolViolationError:
    return ProtocolViolationError(PROTOCOL_ERROR, reason)


# SETTINGS, theirs and ours (RFC 9113 section 6.5.2).


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


# HTTP/2 requests that are turned away before anything is made of them: no list, no stream.
#
# Possible where the block leaves the tables as they are and is like one that was read before;
# that is what a client sends that asks again and again, and those make up an overload.


_WHOLE = END_HEADERS | END_STREAM  # flags of a request that is one frame


class EarlyRefusals:
    """Of one connection. Without `turn_away` there are none."""

    __slots__ = ("_blocks", "_output", "_streams", "_turn_away", "count")

    def __init__(
        self,
        blocks: HeaderBlockDecoder,
        streams: StreamTable,
        output: OutputQueue,
        turn_away: MakeOverloadResponse | None,
    ) -> None:
        self._blocks = blocks
        self._streams = streams
        self._output = output
        self._turn_away = turn_away
        self.count = 0

    def refuse(self, frame: Frame, window: int) -> int:
        """Answer HEADERS with 503: how many bytes of the window it took, 0 where it cannot be.

        It has to be a whole request on a new stream, and not urgent. Free to the meter, as all is
        that opens a stream. Raises ProtocolViolationError.
        """
        number, streams = frame.stream, self._streams
        if frame.flags & _WHOLE != _WHOLE or number <= streams.highest or not number % 2:
            return 0
        if self._turn_away is None:
            return 0
        target = self._blocks.peek_target(h2_frames.headers_fragment(frame.flags, frame.payload))
        answer = self._turn_away(target) if target is not None else None
        if answer is None or len(answer[1]) > min(window, MAX_FRAME_PAYLOAD):
            return 0
        streams.highest = number
        streams.close(number, StreamState.ENDED)
        self._output.add_refusal(number, *answer)
        self.count += 1
        return len(answer[1])
