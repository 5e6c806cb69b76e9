"""HTTP/2 (RFC 9113) on the h2 library, without I/O: what h2 leaves open is closed here.

h2 validates headers byte by byte in Python; the same rules are regular expressions here, so h2's
own are off. h2 takes a GOAWAY, sent or received, for the end of the connection, while the RFC lets
streams in flight finish; and its compression, which lets the peer choose how large our table grows,
costs more than it saves on answers such as ours (`blocks`).
"""

from collections.abc import Iterable

from h2.config import H2Configuration
from h2.connection import ConnectionState
from h2.connection import H2Connection as Engine
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from protocols.http.blocks import BlockDecoder, BlockEncoder
from protocols.http.errors import ProtocolViolationError
from protocols.http.frames import RESET_COST, FrameMeter
from protocols.http.h2_door import Decide, Door
from protocols.http.limits import Limits
from protocols.http.scope import Headers

__all__ = [
    "DataReceived",
    "Event",
    "H2Machine",
    "RequestReceived",
    "StreamEnded",
    "StreamReset",
    "WindowUpdated",
]

NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0x0, 0x2, 0x7, 0x8  # RFC 9113 section 7
_DEFAULT_WINDOW = 65_535  # RFC 9113 section 6.9.2
_CLOSED_STREAMS = 1_024  # h2 remembers 65,536 a connection, some 6 MiB
_DATA_FRAME = 16 * 1024  # RFC 9113 section 6.5.2: what every peer must accept
_HEAD = 128  # about what the head of an answer takes
_LAST_STREAM = 2**31 - 1


class _Engine(Engine):
    MAX_CLOSED_STREAMS = _CLOSED_STREAMS


class H2Machine:
    """One connection: bytes in, events out; responses in, bytes out."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.meter = FrameMeter(limits, now)
        self._engine = _Engine(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._engine.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
            },
        )
        decoder = BlockDecoder()
        self._engine.encoder, self._engine.decoder = BlockEncoder(), decoder
        self._door = Door(self._engine, decoder)
        # Between the limit and twice as much a request can still be answered with 431.
        self._engine.decoder.max_header_list_size = 2 * limits.header_bytes
        self._engine.initiate_connection()
        if limits.connection_window > _DEFAULT_WINDOW:
            more = limits.connection_window - _DEFAULT_WINDOW
            self._engine.increment_flow_control_window(more)
        self._saved = bytearray()  # output that h2 would drop when a GOAWAY comes in

    def feed(self, data: bytes, now: float, decide: Decide | None = None) -> list[Event]:
        """Events in `data`. Raises ProtocolViolationError; `output` then ends with a GOAWAY.

        With `decide` it is asked about each request that comes whole, and those that it turns away
        are answered without an event.
        """
        engine = self._engine
        self._saved += engine.data_to_send()
        sifting = decide if self.meter.at_boundary else None
        try:
            self.meter.feed(data, now)
            events = engine.receive_data(data) if sifting is None else self._sift(data, sifting)
            for event in events:
                self._look_at(event)
        except ProtocolViolationError as error:
            self.goaway(error.code)
            raise
        except ProtocolError as error:
            raise ProtocolViolationError(int(error.error_code), type(error).__name__) from error
        return events

    def _sift(self, data: bytes, decide: Decide) -> list[Event]:
        events: list[Event] = []
        for rest, answer in self._door.sift(data, decide):
            if rest:
                events += self._engine.receive_data(rest)
            self._saved += answer
        return events

    def output(self) -> bytes:
        """Bytes to be sent now."""
        if not self._saved:
            return self._engine.data_to_send()
        data = bytes(self._saved) + self._engine.data_to_send()
        self._saved.clear()
        return data

    def start(
        self,
        stream: int,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        end: bool = False,
    ) -> None:
        """Send the head of a response (or a 1xx); all of it if `end`."""
        fields = [(b":status", b"%d" % status), *headers]
        self._engine.send_headers(stream, fields, end_stream=end)

    def data(self, stream: int, data: bytes, *, end: bool) -> int:
        """Send as much as the windows allow; returns how much. `end` counts if all of it went."""
        engine = self._engine
        size = len(data)
        allowed = max(0, min(size, engine.local_flow_control_window(stream)))
        if size <= allowed and size <= _DATA_FRAME:
            engine.send_data(stream, data, end_stream=end)
            return size
        for begin in range(0, allowed, _DATA_FRAME):
            stop = min(begin + _DATA_FRAME, allowed)
            engine.send_data(stream, data[begin:stop], end_stream=end and stop == size)
        return allowed

    def acknowledge(self, stream: int, size: int) -> None:
        """Let the peer send `size` more on this stream and on the connection."""
        if size:
            self._engine.acknowledge_received_data(size, stream)

    def reset(self, stream: int, code: int) -> None:
        """End a stream with RST_STREAM; nothing happens if it has ended already."""
        live = self._engine.streams.get(stream)
        if live is not None and not live.closed:
            self._engine.reset_stream(stream, code)

    def refuse(self, stream: int) -> None:
        """Turn a new stream away unprocessed. Raises ProtocolViolationError if this piles up."""
        self.reset(stream, REFUSED_STREAM)
        try:
            self.meter.spend(RESET_COST)
        except ProtocolViolationError as error:
            self.goaway(error.code)
            raise

    def turn_away(self, stream: int, headers: Headers, body: bytes) -> int:
        """Answer a new stream with 503, unprocessed; returns about how many bytes that takes."""
        self.start(stream, 503, headers)
        self.data(stream, body, end=True)
        self.reset(stream, NO_ERROR)  # RFC 9113 section 8.1: the rest of it is not needed
        return len(body) + _HEAD

    def goaway(self, code: int, *, last: int | None = None) -> None:
        """Announce the end; streams up to `last` (default: the newest seen) still finish."""
        frame = GoAwayFrame(0)
        frame.last_stream_id = self._engine.highest_inbound_stream_id if last is None else last
        frame.error_code = code
        self._saved += self._engine.data_to_send()
        self._saved += frame.serialize()

    def announce_goaway(self) -> None:
        """RFC 9113 section 6.8: first a GOAWAY that excludes no stream still under way."""
        self.goaway(NO_ERROR, last=_LAST_STREAM)

    def _look_at(self, event: Event) -> None:
        if isinstance(event, StreamReset) and not event.remote_reset:
            self.meter.spend(RESET_COST)
        elif isinstance(event, ConnectionTerminated):
            self._engine.state_machine.state = ConnectionState.SERVER_OPEN
