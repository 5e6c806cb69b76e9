"""One HTTP/2 connection: a reader, a writer, and tasks for the handlers of its streams."""

import trio

from protocols.http.asgi import ConnectionInfo, build_scope
from protocols.http.coarse_clock import NEVER
from protocols.http.errors import AppError, PeerLeftError, ProtocolViolationError, RefusedError
from protocols.http.h2_events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowOpened,
)
from protocols.http.h2_frame_meter import REQUEST_WORTH
from protocols.http.h2_handler_pool import HandlerPool
from protocols.http.h2_machine import NO_ERROR, H2Machine
from protocols.http.h2_request import H2Request
from protocols.http.h2_send_waiters import SendWaiters
from protocols.http.h2_stream import H2Stream
from protocols.http.server_log import log_app_failure, log_h2_violation, log_refusal
from protocols.http.server_state import ServerState
from protocols.http.transport import Transport

Job = tuple[H2Stream, H2Request | RefusedError]


class H2Connection:
    """Serves one transport until either side ends it.

    Handlers only put frames into the machine; the writer sends what one turn of all of them
    produced at once. A handler is not cancelled because its client left: see H2Stream.
    """

    def __init__(self, state: ServerState, transport: Transport, peer: ConnectionInfo) -> None:
        self.state = state
        self.transport = transport
        self.peer = peer
        self.machine = H2Machine(state.limits, state.clock.now, state.turn_away)
        self._streams: dict[int, H2Stream] = {}  # until the handler has ended
        self._writer: trio.lowlevel.Task | None = None  # while there is nothing to send
        self._handlers: HandlerPool[Job] | None = None  # while it runs
        self._room = trio.lowlevel.ParkingLot()  # who waits until less is to be sent
        self.send_waiters = SendWaiters(self.machine)
        self._in_flight = 0  # bytes that the writer is sending
        self._closing = False  # the writer is to end once there is nothing to send
        self._finished = trio.Event()  # the writer has ended
        self._close_at = NEVER  # after the drain's announcement, when nothing runs any more
        self._empty = trio.lowlevel.ParkingLot()  # who waits for the last handler to end
        self._resting = False  # not read for a moment: requests were turned away
        self._in_block = 0  # the number of the header block that is coming in

    async def run(self) -> None:
        """Serve until the end; the caller closes the transport."""
        async with trio.open_nursery() as nursery, HandlerPool(nursery, self._handle) as handlers:
            self._handlers = handlers
            nursery.start_soon(self._write)
            try:
                await self._read(handlers)
            except ProtocolViolationError as error:
                log_h2_violation(error, self.peer)
                self._leave(answers=False)
                await self._close()
            else:
                self._leave(answers=True)
                await self._handlers_end()
                self.machine.send_goaway(NO_ERROR)
                await self._close()

    def tick(self, now: float) -> None:
        """Enforce time-outs; called once a tick by the server."""
        self.transport.tick(now)
        for stream in self._streams.values():
            stream.tick(now)
        if self._handlers is not None:
            self._handlers.trim_idle()
        if now >= self._close_at and not self._streams and not self._resting:
            self._close_at = NEVER
            self.transport.interrupt_receive()

    def drain(self) -> None:
        """Announce the end; close once no stream runs and the announcement had time to arrive."""
        if self._close_at == NEVER:
            self.machine.announce_goaway()
            self._close_at = self.state.clock.deadline_after(0)
            self.notify_output()

    # What streams need of their connection.

    def notify_output(self) -> None:
        """The machine holds output: have it sent, in the next turn of the loop."""
        if self._writer is not None:
            trio.lowlevel.reschedule(self._writer)
            self._writer = None
        elif self._in_flight:
            self.transport.charge_buffered(self.machine.queued_bytes)

    async def wait_output_room(self) -> None:
        """Return once little enough is queued; at once if that is so already."""
        limit = self.state.limits.output_bytes
        while self.machine.queued_bytes + self._in_flight > limit and not self.transport.gone:
            await self._room.park()

    # The reader.

    async def _read(self, handlers: HandlerPool[Job]) -> None:
        """Feed the machine until the peer ends, idles too long, or breaks the protocol."""
        transport, clock, machine = self.transport, self.state.clock, self.machine
        transport.read_by = clock.deadline_after(self.state.limits.header_seconds)
        self.notify_output()
        admission, first = self.state.admission, True
        while data := await transport.receive():
            if first:
                first = False
                transport.read_by = NEVER
            refused = admission.refusals
            self._take(data, handlers)
            while machine.is_behind:
                await trio.lowlevel.checkpoint()
                self._take(b"", handlers)
            if machine.queued_bytes:
                self.notify_output()
            self._set_deadline()
            if machine.queued_bytes + self._in_flight > self.state.limits.output_bytes:
                await self.wait_output_room()
            if admission.refusals > refused:
                self._resting = True
                await self.state.refusal_backoff.wait_end()
                self._resting = False

    def _take(self, data: bytes, handlers: HandlerPool[Job]) -> None:
        """What came: as much of it as is done in one turn."""
        admission, machine = self.state.admission, self.machine
        early, opened = machine.early_refusals.count, False
        for event in machine.feed(data, self.state.clock.now, admission.free_slots):
            if type(event) is RequestReceived:
                self._on_request(event, handlers)
            elif type(event) is WindowOpened:
                opened = True
            else:
                self._on_event(event)
        if opened:
            self.send_waiters.wake_sendable()
        admission.count_refusals(machine.early_refusals.count - early)

    def _set_deadline(self) -> None:
        """A header block has to end in time; a connection without streams idles, PINGs or not."""
        transport, clock, limits = self.transport, self.state.clock, self.state.limits
        in_block = self.machine.open_header_block
        if in_block != self._in_block:
            self._in_block = in_block
            transport.read_by = clock.deadline_after(limits.header_seconds) if in_block else NEVER
        if not in_block:
            if self._streams:
                transport.read_by = NEVER
            elif transport.read_by == NEVER:
                transport.read_by = clock.deadline_after(limits.idle_seconds)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            stream = self._streams.get(event.stream)
            if stream is None:
                self.machine.grant_window(event.stream, event.size)
            else:
                stream.on_data(event.data, event.size)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream)
            if stream is not None:
                stream.on_end()
        elif isinstance(event, StreamReset) and event.stream in self._streams:
            self._streams[event.stream].on_client_left(answers=False)
            self.send_waiters.release(event.stream)

    def _on_request(self, event: RequestReceived, handlers: HandlerPool[Job]) -> None:
        """Start the handler, unless as many run as the client may have: reset ones count too."""
        number, request, ended = event
        if len(self._streams) >= self.state.limits.streams:
            self.machine.refuse_stream(number)
            return
        changes = isinstance(request, H2Request) and self.state.is_mutating(
            request.method, request.target
        )
        answer = self.state.overload_error(_target(request), changes=changes)
        if answer is not None:
            self.machine.refuse_overloaded(number, *answer)
            return
        stream = H2Stream(self, number, ended=ended, mutating=changes)
        self._streams[number] = stream
        handlers.submit((stream, request))

    # Handlers.

    async def _handle(self, job: Job, scope: trio.CancelScope) -> None:
        stream, request = job
        stream.scope = scope
        try:
            await self._serve(stream, request)
        finally:
            if stream.was_answered:
                self.machine.meter.earn(REQUEST_WORTH)
            del self._streams[stream.number]
            stream.close()
            if not self._streams:
                self._empty.unpark_all()
                self._set_deadline()

    async def _serve(self, stream: H2Stream, request: H2Request | RefusedError) -> None:
        shared = self.state
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
                idle_request=stream,
                any_path=shared.any_path,
            )
        except RefusedError as refusal:
            log_refusal(refusal, self.peer)
            answer = await shared.unread_refusal(refusal, _target(request), self.peer.client)
            await stream.send_own_response(*answer)
        else:
            stream.begin(request)
            try:
                await shared.app(scope, stream.receive, stream.send)
            except Exception as failure:  # noqa: BLE001 - whatever the app raises ends here, logged
                stream.failed = True
                log_app_failure(failure, self.peer, after_disconnect=stream.client_left)
            if stream.was_answered or stream.client_left:
                return
            if not stream.failed and not stream.body_refused:
                log_app_failure(AppError("no whole response"), self.peer)
            error = stream.refusal()
            if error is not None:
                log_refusal(error, self.peer)
                await stream.send_own_response(error.status, *shared.refusal(error, target))

    # The writer, and the end.

    async def _write(self) -> None:
        """Send what the machine holds, whenever it holds something."""
        machine, transport = self.machine, self.transport
        try:
            while not transport.gone:
                data = machine.take_output()
                if data:
                    self._in_flight = len(data)
                    await transport.send(data)
                    self._in_flight = 0
                    if self._room:
                        self._room.unpark_all()
                elif self._closing:
                    break
                else:
                    await self._wait_output()
        except PeerLeftError:
            pass
        finally:
            self._in_flight = 0
            self._finished.set()
            self._leave(answers=False)
            self._room.unpark_all()

    async def _wait_output(self) -> None:
        """Wait for `notify_output`. All that handlers write in that turn is then sent."""

        def abort(_raise: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._writer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _leave(self, *, answers: bool) -> None:
        """No more comes in: the handlers are told; their answers may still go out or not."""
        for stream in self._streams.values():
            stream.on_client_left(answers=answers)
        self.send_waiters.release_all()

    async def _handlers_end(self) -> None:
        while self._streams:
            await self._empty.park()

    async def _close(self) -> None:
        """Send what is left, then end the connection; handlers may outlive it for a while."""
        self._closing = True
        self.notify_output()
        await self._finished.wait()
        await self.transport.shutdown()
        self.transport.abort()


def _target(request: H2Request | RefusedError) -> bytes:
    """What it is for, if that is known."""
    return request.target if isinstance(request, H2Request) else b""
