"""One HTTP/2 connection: a reader, a writer, and tasks for the handlers of its streams."""

import trio

from protocols.http.errors import AppError, PeerLeftError, ProtocolViolationError, RefusedError
from protocols.http.events import app_failed, refused, violated
from protocols.http.h2 import NO_ERROR, H2Machine
from protocols.http.h2_blocked import Blocked
from protocols.http.h2_events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowOpened,
)
from protocols.http.h2_handlers import Handlers
from protocols.http.h2_request import Request
from protocols.http.h2_stream import H2Stream
from protocols.http.meter import REQUEST_WORTH
from protocols.http.pulse import NEVER
from protocols.http.scope import Peer, build_scope
from protocols.http.shared import Shared
from protocols.http.transport import Transport

Job = tuple[H2Stream, Request | RefusedError]


class H2Connection:
    """Serves one transport until either side ends it.

    Handlers only put frames into the machine; the writer sends what one turn of all of them
    produced at once. A handler is not cancelled because its client left: see H2Stream.
    """

    def __init__(self, shared: Shared, transport: Transport, peer: Peer) -> None:
        self.shared = shared
        self.transport = transport
        self.peer = peer
        self.machine = H2Machine(shared.limits, shared.pulse.now, shared.turn_away)
        self._streams: dict[int, H2Stream] = {}  # until the handler has ended
        self._writer: trio.lowlevel.Task | None = None  # while there is nothing to send
        self._handlers: Handlers[Job] | None = None  # while it runs
        self._room = trio.lowlevel.ParkingLot()  # who waits until less is to be sent
        self.blocked = Blocked(self.machine)
        self._in_flight = 0  # bytes that the writer is sending
        self._closing = False  # the writer is to end once there is nothing to send
        self._finished = trio.Event()  # the writer has ended
        self._close_at = NEVER  # after the drain's announcement, when nothing runs any more
        self._empty = trio.lowlevel.ParkingLot()  # who waits for the last handler to end
        self._resting = False  # not read for a moment: requests were turned away
        self._in_block = 0  # the number of the header block that is coming in

    async def run(self) -> None:
        """Serve until the end; the caller closes the transport."""
        async with trio.open_nursery() as nursery, Handlers(nursery, self._handle) as handlers:
            self._handlers = handlers
            nursery.start_soon(self._write)
            try:
                await self._read(handlers)
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
        if self._handlers is not None:
            self._handlers.tick()
        if now >= self._close_at and not self._streams and not self._resting:
            self._close_at = NEVER
            self.transport.interrupt()

    def drain(self) -> None:
        """Announce the end; close once no stream runs and the announcement had time to arrive."""
        if self._close_at == NEVER:
            self.machine.announce_goaway()
            self._close_at = self.shared.pulse.after(0)
            self.wrote()

    # What streams need of their connection.

    def wrote(self) -> None:
        """The machine holds output: have it sent, in the next turn of the loop."""
        if self._writer is not None:
            trio.lowlevel.reschedule(self._writer)
            self._writer = None
        elif self._in_flight:
            self.transport.behind(self.machine.queued)

    async def room(self) -> None:
        """Return once little enough is queued; at once if that is so already."""
        limit = self.shared.limits.output_bytes
        while self.machine.queued + self._in_flight > limit and not self.transport.gone:
            await self._room.park()

    # The reader.

    async def _read(self, handlers: Handlers[Job]) -> None:
        """Feed the machine until the peer ends, idles too long, or breaks the protocol."""
        transport, pulse, machine = self.transport, self.shared.pulse, self.machine
        transport.read_by = pulse.after(self.shared.limits.header_seconds)
        self.wrote()
        admission, first = self.shared.admission, True
        while data := await transport.receive():
            if first:
                first = False
                transport.read_by = NEVER
            refused = admission.refused
            self._take(data, handlers)
            while machine.is_behind:
                await trio.lowlevel.checkpoint()
                self._take(b"", handlers)
            if machine.queued:
                self.wrote()
            self._set_deadline()
            if machine.queued + self._in_flight > self.shared.limits.output_bytes:
                await self.room()
            if admission.refused > refused:
                self._resting = True
                await self.shared.lull.wait()
                self._resting = False

    def _take(self, data: bytes, handlers: Handlers[Job]) -> None:
        """What came: as much of it as is done in one turn."""
        admission, machine = self.shared.admission, self.machine
        early, opened = machine.early.count, False
        for event in machine.feed(data, self.shared.pulse.now, admission.room):
            if type(event) is RequestReceived:
                self._on_request(event, handlers)
            elif type(event) is WindowOpened:
                opened = True
            else:
                self._on_event(event)
        if opened:
            self.blocked.wake()
        admission.refuse(machine.early.count - early)

    def _set_deadline(self) -> None:
        """A header block has to end in time; a connection without streams idles, PINGs or not."""
        transport, pulse, limits = self.transport, self.shared.pulse, self.shared.limits
        in_block = self.machine.in_block
        if in_block != self._in_block:
            self._in_block = in_block
            transport.read_by = pulse.after(limits.header_seconds) if in_block else NEVER
        if not in_block:
            if self._streams:
                transport.read_by = NEVER
            elif transport.read_by == NEVER:
                transport.read_by = pulse.after(limits.idle_seconds)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            stream = self._streams.get(event.stream)
            if stream is None:
                self.machine.acknowledge(event.stream, event.size)
            else:
                stream.on_data(event.data, event.size)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream)
            if stream is not None:
                stream.on_end()
        elif isinstance(event, StreamReset) and event.stream in self._streams:
            self._streams[event.stream].on_left(answers=False)
            self.blocked.release(event.stream)

    def _on_request(self, event: RequestReceived, handlers: Handlers[Job]) -> None:
        """Start the handler, unless as many run as the client may have: reset ones count too."""
        number, request, ended = event
        if len(self._streams) >= self.shared.limits.streams:
            self.machine.refuse(number)
            return
        changes = isinstance(request, Request) and self.shared.changes(
            request.method, request.target
        )
        answer = self.shared.overloaded(_target(request), changes=changes)
        if answer is not None:
            self.machine.turn_away(number, *answer)
            return
        stream = H2Stream(self, number, ended=ended, changes=changes)
        self._streams[number] = stream
        handlers.start((stream, request))

    # Handlers.

    async def _handle(self, job: Job, scope: trio.CancelScope) -> None:
        stream, request = job
        stream.scope = scope
        try:
            await self._serve(stream, request)
        finally:
            if stream.useful:
                self.machine.meter.earn(REQUEST_WORTH)
            del self._streams[stream.number]
            stream.close()
            if not self._streams:
                self._empty.unpark_all()
                self._set_deadline()

    async def _serve(self, stream: H2Stream, request: Request | RefusedError) -> None:
        shared = self.shared
        try:
            if isinstance(request, RefusedError):
                raise request
            method, target, headers = request.method, request.target, list(request.headers)
            scope = build_scope(
                self.peer,
                "2",
                method,
                target,
                headers,
                reservation=stream.reservation,
                any_path=shared.any_path,
            )
        except RefusedError as refusal:
            refused(refusal, self.peer)
            answer = await shared.unread_refusal(refusal, _target(request), self.peer.client)
            await stream.answer(*answer)
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
                await stream.answer(error.status, *shared.refusal(error, target))

    # The writer, and the end.

    async def _write(self) -> None:
        """Send what the machine holds, whenever it holds something."""
        machine, transport = self.machine, self.transport
        try:
            while not transport.gone:
                data = machine.output()
                if data:
                    self._in_flight = len(data)
                    await transport.send(data)
                    self._in_flight = 0
                    if self._room:
                        self._room.unpark_all()
                elif self._closing:
                    break
                else:
                    await self._something_to_send()
        except PeerLeftError:
            pass
        finally:
            self._in_flight = 0
            self._finished.set()
            self._leave(answers=False)
            self._room.unpark_all()

    async def _something_to_send(self) -> None:
        """Wait for `wrote`. All that handlers write in the turn that calls it is then sent."""

        def abort(_raise: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._writer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _leave(self, *, answers: bool) -> None:
        """No more comes in: the handlers are told; their answers may still go out or not."""
        for stream in self._streams.values():
            stream.on_left(answers=answers)
        self.blocked.release_all()

    async def _handlers_end(self) -> None:
        while self._streams:
            await self._empty.park()

    async def _close(self) -> None:
        """Send what is left, then end the connection; handlers may outlive it for a while."""
        self._closing = True
        self.wrote()
        await self._finished.wait()
        await self.transport.finish()
        self.transport.abort()


def _target(request: Request | RefusedError) -> bytes:
    """What it is for, if that is known."""
    return request.target if isinstance(request, Request) else b""
