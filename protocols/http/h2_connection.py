"""One HTTP/2 connection: a reader, a writer, and a task for each stream's handler."""

from collections.abc import Iterable

import trio

from protocols.http.errors import AppError, PeerLeftError, ProtocolViolationError, RefusedError
from protocols.http.events import app_failed, refused, violated
from protocols.http.frames import REQUEST_WORTH
from protocols.http.h2 import (
    NO_ERROR,
    DataReceived,
    Event,
    H2Machine,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from protocols.http.h2_request import vet_request
from protocols.http.h2_stream import H2Stream
from protocols.http.pulse import NEVER
from protocols.http.scope import Headers, Peer, build_scope
from protocols.http.shared import Shared
from protocols.http.transport import Transport

_ANSWER = 128  # bytes, about what a refusal takes beside its body


class H2Connection:
    """Serves one transport until either side ends it.

    Handlers only put frames into the machine; the writer sends what one turn of all of them
    produced at once. A handler is not cancelled because its client left: see H2Stream.
    """

    def __init__(self, shared: Shared, transport: Transport, peer: Peer) -> None:
        self.shared = shared
        self.transport = transport
        self.peer = peer
        self.machine = H2Machine(shared.limits, shared.pulse.now)
        self._streams: dict[int, H2Stream] = {}  # until the handler has ended
        self._output = trio.lowlevel.ParkingLot()  # the writer, while there is nothing to send
        self._room = trio.lowlevel.ParkingLot()  # who waits until less is to be sent
        self._window = trio.lowlevel.ParkingLot()  # who waits for WINDOW_UPDATE
        self._queued = 0  # bytes in the machine, roughly
        self._in_flight = 0  # bytes that the writer is sending
        self._closing = False  # the writer is to end once there is nothing to send
        self._finished = trio.Event()  # the writer has ended
        self._close_at = NEVER  # after the drain's announcement, when nothing runs any more
        self._empty = trio.lowlevel.ParkingLot()  # who waits for the last handler to end
        self._in_block = False  # a header block is coming in

    async def run(self) -> None:
        """Serve until the end; the caller closes the transport."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            try:
                await self._read(nursery)
            except ProtocolViolationError as error:
                violated(error, self.peer)
                self._leave(answers=False)
                await self._close()
            else:
                self._leave(answers=True)
                await self._handlers_end()
                self.machine.goaway(NO_ERROR)
                await self._close()

    def tick(self, now: float) -> None:
        """Enforce time-outs; called once a tick by the server."""
        self.transport.tick(now)
        for stream in self._streams.values():
            stream.tick(now)
        if now >= self._close_at and not self._streams:
            self._close_at = NEVER
            self.transport.interrupt()

    def drain(self) -> None:
        """Announce the end; close once no stream runs and the announcement had time to arrive."""
        if self._close_at == NEVER:
            self.machine.announce_goaway()
            self._close_at = self.shared.pulse.after(0)
            self.wrote(0)

    # What streams need of their connection.

    def wrote(self, size: int) -> None:
        """The machine holds output, about `size` bytes of it new: have it sent this turn."""
        self._queued += size
        if self._output:
            self._output.unpark()

    async def room(self) -> None:
        """Return once little enough is queued; at once if that is so already."""
        limit = self.shared.limits.output_bytes
        while self._queued + self._in_flight > limit and not self.transport.gone:
            await self._room.park()

    async def window_update(self) -> None:
        """Return after the next change of any window, or when there will be none any more."""
        await self._window.park()

    # The reader.

    async def _read(self, nursery: trio.Nursery) -> None:
        """Feed the machine until the peer ends, idles too long, or breaks the protocol."""
        transport, pulse, limits = self.transport, self.shared.pulse, self.shared.limits
        transport.read_by = pulse.after(limits.header_seconds)
        first = True
        while data := await transport.receive():
            if first:
                first = False
                transport.read_by = NEVER
            if self._in_flight:  # answers to what we read pile up behind a slow reader
                self._queued += len(data)
            decide = self._decide if self.shared.admission.full else None
            for event in self.machine.feed(data, pulse.now, decide):
                self._on_event(event, nursery)
            self.wrote(0)
            self._set_deadline()
            await self.room()

    def _set_deadline(self) -> None:
        """A header block has to end in time; a connection without streams idles, PINGs or not."""
        transport, pulse, limits = self.transport, self.shared.pulse, self.shared.limits
        in_block = self.machine.meter.in_block
        if in_block != self._in_block:
            self._in_block = in_block
            transport.read_by = pulse.after(limits.header_seconds) if in_block else NEVER
        if not in_block:
            if self._streams:
                transport.read_by = NEVER
            elif transport.read_by == NEVER:
                transport.read_by = pulse.after(limits.idle_seconds)

    def _on_event(self, event: Event, nursery: trio.Nursery) -> None:
        if isinstance(event, RequestReceived):
            self._on_request(event, nursery)
        elif isinstance(event, DataReceived):
            stream = self._streams.get(event.stream_id)
            if stream is None:
                self.machine.acknowledge(event.stream_id, event.flow_controlled_length)
            else:
                stream.on_data(event.data, event.flow_controlled_length)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.on_end()
        elif isinstance(event, StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.on_left(answers=False)
            self._window.unpark_all()
        elif isinstance(event, WindowUpdated):
            self._window.unpark_all()

    def _on_request(self, event: RequestReceived, nursery: trio.Nursery) -> None:
        """Start the handler, unless as many run as the client may have: reset ones count too."""
        number = event.stream_id
        if len(self._streams) >= self.shared.limits.streams:
            self.machine.refuse(number)
            return
        answer = self.shared.overloaded(_target(event.headers))
        if answer is not None:
            self.wrote(self.machine.turn_away(number, *answer))
            return
        stream = H2Stream(self, number)
        self._streams[number] = stream
        nursery.start_soon(self._handle, stream, event)

    def _decide(self, fields: Iterable[tuple[bytes, bytes]]) -> tuple[Headers, bytes] | None:
        """The refusal of a request before it is one; None to let it in, as `_on_request` will."""
        shared = self.shared
        answer = shared.turn_away(_target(fields)) if shared.admission.full else None
        if answer is not None:
            shared.admission.refuse()
            self._queued += len(answer[1]) + _ANSWER
        return answer

    # Handlers.

    async def _handle(self, stream: H2Stream, event: RequestReceived) -> None:
        try:
            with stream.scope:
                await self._serve(stream, event)
            if stream.useful:
                self.machine.meter.earn(REQUEST_WORTH)
        finally:
            del self._streams[stream.number]
            stream.close()
            if not self._streams:
                self._empty.unpark_all()
                self._set_deadline()

    async def _serve(self, stream: H2Stream, event: RequestReceived) -> None:
        shared = self.shared
        error: RefusedError | None
        try:
            request = vet_request(event.headers or (), shared.limits)
            scope = build_scope(self.peer, "2", request.method, request.target, request.headers)
        except RefusedError as refusal:
            error = refusal
        else:
            stream.begin(request)
            try:
                await shared.app(scope, stream.receive, stream.send)
            except Exception as failure:  # noqa: BLE001 - whatever the app raises ends here, logged
                stream.failed = True
                app_failed(failure, self.peer, after_disconnect=stream.left)
            if stream.useful or stream.left:
                return
            if not stream.failed and not stream.refused:
                app_failed(AppError("no whole response"), self.peer)
            error = stream.refusal()
        if error is not None:
            refused(error, self.peer)
            answer = shared.refusal(error, _target(event.headers))
            await stream.answer(error.status, *answer)

    # The writer, and the end.

    async def _write(self) -> None:
        """Send what the machine holds, whenever it holds something."""
        try:
            while not self.transport.gone:
                self._queued = 0
                data = self.machine.output()
                if data:
                    self._in_flight = len(data)
                    await self.transport.send(data)
                    self._in_flight = 0
                    self._room.unpark_all()
                elif self._closing:
                    break
                else:
                    await self._output.park()
                    await trio.lowlevel.checkpoint()  # whoever woke with us writes first
        except PeerLeftError:
            pass
        finally:
            self._in_flight = 0
            self._finished.set()
            self._leave(answers=False)
            self._room.unpark_all()

    def _leave(self, *, answers: bool) -> None:
        """No more comes in: the handlers are told; their answers may still go out or not."""
        for stream in self._streams.values():
            stream.on_left(answers=answers)
        self._window.unpark_all()

    async def _handlers_end(self) -> None:
        while self._streams:
            await self._empty.park()

    async def _close(self) -> None:
        """Send what is left, then end the connection; handlers may outlive it for a while."""
        self._closing = True
        self._output.unpark()
        await self._finished.wait()
        await self.transport.finish()
        self.transport.abort()


def _target(headers: Iterable[tuple[bytes, bytes]] | None) -> bytes:
    return next((value for name, value in headers or () if name == b":path"), b"")
