"""Which HTTP/2 streams there are, and what a frame on each of them means (RFC 9113 section 5.1).

The states are told apart as a receiver has to: "open" is open and half-closed (local), in both of
which the client may send; "closed" is split by what closed it, because that decides whether a
frame is late, an error of the stream, or one of the connection.
"""

from enum import Enum, auto

from protocols.http.errors import ProtocolViolationError
from protocols.http.h2_frames import (
    DATA,
    HEADERS,
    MAX_INT31,
    PROTOCOL_ERROR,
    RST_STREAM,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)

_REMEMBERED = 512  # closed streams, twice; a frame that comes later than that is never innocent


class StreamState(Enum):
    """Of one stream, from the server's side."""

    IDLE = auto()
    OPEN = auto()
    HALF_CLOSED = auto()  # (remote): the request is complete
    ENDED = auto()  # both sides ended it
    RESET_HERE = auto()
    RESET_THERE = auto()
    FORGOTTEN = auto()  # long ago, or never opened while a later one was


class FrameAction(Enum):
    """What to do with a frame."""

    TAKE = auto()
    IGNORE = auto()  # on its way when we closed the stream; it still counts for the connection
    CLOSED = auto()  # an error of the stream, STREAM_CLOSED
    CONNECTION_CLOSED = auto()  # the same of the connection
    CONNECTION_PROTOCOL = auto()  # an error of the connection, PROTOCOL_ERROR


_ALWAYS = {StreamState.OPEN: FrameAction.TAKE, StreamState.IDLE: FrameAction.CONNECTION_PROTOCOL}
_LATE = {
    **_ALWAYS,
    StreamState.HALF_CLOSED: FrameAction.CLOSED,
    StreamState.ENDED: FrameAction.CONNECTION_CLOSED,
    StreamState.RESET_HERE: FrameAction.IGNORE,
    StreamState.RESET_THERE: FrameAction.CLOSED,
    StreamState.FORGOTTEN: FrameAction.CONNECTION_CLOSED,
}
_HARMLESS = {
    **dict.fromkeys(StreamState, FrameAction.IGNORE),
    **_ALWAYS,
    StreamState.HALF_CLOSED: FrameAction.TAKE,
}
FRAME_ACTIONS: dict[int, dict[StreamState, FrameAction]] = {
    DATA: _LATE,
    # Section 5.1.1: a number that was passed over cannot be opened any more.
    HEADERS: {
        **_LATE,
        StreamState.IDLE: FrameAction.TAKE,
        StreamState.FORGOTTEN: FrameAction.CONNECTION_PROTOCOL,
    },
    RST_STREAM: _HARMLESS,
    WINDOW_UPDATE: _HARMLESS,
}


class Stream:
    """One stream that is not closed."""

    __slots__ = ("inbound", "number", "outbound", "receiving", "sending", "to_come")

    def __init__(self, number: int, outbound: int, *, receiving: bool, to_come: int) -> None:
        self.number = number
        self.outbound = outbound  # bytes that the client takes now
        self.inbound: ReceiveWindow | None = None  # made with the first DATA
        self.receiving = receiving  # the request is not complete
        self.sending = True  # nor is the response
        self.to_come = to_come  # bytes of the body still to come; -1: not declared

    def count_body(self, size: int) -> bool:
        """`size` bytes of the body came; False if that is more than was declared."""
        if self.to_come < 0:
            return True
        self.to_come -= size
        return self.to_come >= 0


class StreamTable:
    """The live streams of one connection, and how the latest others were closed."""

    __slots__ = ("_before", "_closed", "highest", "live")

    def __init__(self) -> None:
        self.live: dict[int, Stream] = {}
        self.highest = 0  # number that the client has opened
        self._closed: dict[int, StreamState] = {}
        self._before: dict[int, StreamState] = {}  # the generation before

    def open(self, stream: Stream) -> None:
        """The client opens a stream."""
        self.highest = stream.number
        self.live[stream.number] = stream

    def send_window(self, number: int) -> int:
        """How much the client takes on this stream; nothing of one that is over."""
        stream = self.live.get(number)
        return stream.outbound if stream is not None else 0

    def close(self, number: int, how: StreamState) -> None:
        """A live stream, or one that had only just begun, is no more."""
        self.live.pop(number, None)
        if len(self._closed) >= _REMEMBERED:
            self._before, self._closed = self._closed, {}
        self._closed[number] = how

    def state(self, number: int) -> StreamState:
        """What the client's next frame on this stream meets."""
        stream = self.live.get(number)
        if stream is not None:
            return StreamState.OPEN if stream.receiving else StreamState.HALF_CLOSED
        if number > self.highest:
            return StreamState.IDLE
        return self._closed.get(number) or self._before.get(number) or StreamState.FORGOTTEN

    def frame_action(self, kind: int, number: int) -> FrameAction:
        """What to do with a frame; raises ProtocolViolationError if it ends the connection."""
        if not number:
            raise ProtocolViolationError(PROTOCOL_ERROR, "no_stream")
        receipt = FRAME_ACTIONS[kind][self.state(number)]
        if receipt is FrameAction.CONNECTION_CLOSED:
            raise ProtocolViolationError(STREAM_CLOSED, "stream_closed")
        if receipt is FrameAction.CONNECTION_PROTOCOL:
            raise ProtocolViolationError(PROTOCOL_ERROR, "stream_number")
        if kind == HEADERS and number > self.highest and not number % 2:
            raise ProtocolViolationError(PROTOCOL_ERROR, "even_stream")
        return receipt

    def shift_send_windows(self, by: int) -> bool:
        """Section 6.9.2: the initial window changed; False if a window is now too large."""
        for stream in self.live.values():
            stream.outbound += by
            if stream.outbound > MAX_INT31:
                return False
        return True


# What a client may still send (RFC 9113 section 6.9), and when it is told of more.


DEFAULT_WINDOW = 65_535  # section 6.9.2, in force until our SETTINGS have arrived


class ReceiveWindow:
    """The window of a stream or of a connection, as its receiver keeps it.

    `size` is what we grant; a client that has not read our SETTINGS may go by the default.
    """

    __slots__ = ("_half", "_left", "_owed")

    def __init__(self, size: int) -> None:
        self._left = max(size, DEFAULT_WINDOW)
        self._half = max(1, size // 2)
        self._owed = 0  # used, and not granted anew

    def consume(self, size: int) -> bool:
        """`size` bytes arrived; False if that was more than was granted."""
        self._left -= size
        return self._left >= 0

    def replenish(self, size: int) -> int:
        """`size` bytes are used: by how much to open the window now, often 0.

        Half a window at a time: the client always has the other half, or we hold it unused.
        """
        self._owed += size
        if self._owed < self._half:
            return 0
        owed, self._owed = self._owed, 0
        self._left += owed
        return owed
