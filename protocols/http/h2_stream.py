"""One HTTP/2 stream: the two ASGI callables of its handler."""

from collections import deque
from typing import Protocol

import trio

from protocols.http.asgi import Headers, Message
from protocols.http.coarse_clock import NEVER
from protocols.http.errors import AppError, RefusedError
from protocols.http.h1_response import CLOSE, NO_BODY, parse_start, split_headers
from protocols.http.h2_machine import CANCEL, INTERNAL_ERROR, NO_ERROR, H2Machine
from protocols.http.h2_request import H2Request
from protocols.http.h2_send_waiters import SendWaiters
from protocols.http.response_budget import PendingWrite, Reservation
from protocols.http.server_state import ServerState
from protocols.http.transfer_rate import MinimumTransferRate
from protocols.http.transport import Transport

_PIECE = 64 * 1024  # queued at a time, between looks at how much is queued already


class StreamConnection(Protocol):
    """What a stream needs of its connection."""

    state: ServerState
    machine: H2Machine
    transport: Transport

    def notify_output(self) -> None:
        """The machine holds new output."""

    async def wait_output_room(self) -> None:
        """Wait until little enough is queued."""

    def drain(self) -> None:
        """Announce the end of the connection; close it once no stream runs."""

    @property
    def send_waiters(self) -> SendWaiters:
        """Who waits for a window."""
        ...


class H2Stream:
    """Request body in, response out, for one handler.

    A handler is not cancelled because its client left or reset the stream: `receive` says
    http.disconnect, what it sends goes nowhere, and it has `linger_seconds` to end.
    """

    __slots__ = (
        "_arrival",
        "_body",
        "_connection",
        "_deaf",
        "_delivered",
        "_done",
        "_ended",
        "_expects",
        "_head",
        "_headers",
        "_held",
        "_inside",
        "_is_mutating",
        "_left_at",
        "_limits",
        "_machine",
        "_pace",
        "_received",
        "_refusal",
        "_silent",
        "_started",
        "_status",
        "_to_come",
        "client_left",
        "failed",
        "number",
        "reservation",
        "scope",
    )  # fmt: skip

    def __init__(
        self, connection: StreamConnection, number: int, *, ended: bool, mutating: bool
    ) -> None:
        self.number = number
        self.scope: trio.CancelScope | None = None  # once the handler runs
        self.client_left = False  # the client will not send more, or does not want the answer
        self.failed = False  # the handler raised
        self._connection = connection
        self._machine = connection.machine
        self._limits = connection.state.limits
        self._left_at = NEVER
        self._deaf = False  # nothing can be answered any more
        # Data, and what it took of the window. Like what follows, made for a body only.
        self._body: deque[tuple[bytes, int]] | None = None if ended else deque()
        self._arrival: trio.lowlevel.ParkingLot | None = None
        self._pace: MinimumTransferRate | None = None
        self._received = 0
        self._ended = ended
        self._delivered = False
        self._expects = False
        self._head = False
        self._refusal: RefusedError | None = None
        self._status = 0
        self._headers: Headers = []
        self._silent = False
        self._to_come = -1  # declared bytes still to be sent; -1: not declared
        self._started = False
        self._done = False
        self._is_mutating = mutating
        self._inside = True  # counted among the requests in hand
        self._held = 0  # bytes of the body that have come
        self.reservation = Reservation(
            connection.state.response_budget, connection.transport.usage, self
        )

    def begin(self, request: H2Request) -> None:
        """The request was found acceptable."""
        self._head = request.method == "HEAD"
        self._expects = request.expects_continue

    # From the connection.

    def on_data(self, data: bytes, size: int) -> None:
        """DATA arrived; it took `size` of the windows."""
        self._received += len(data)
        if self._received > self._limits.body_bytes and self._refusal is None:
            self._refuse(RefusedError(413, "body_too_large", "request body is too large"))
        elif self._refusal is None and not self._take(len(data)):
            self._refuse(RefusedError(503, "bodies_full", "too many request bodies"))
        if self._refusal is not None or self._done or not data or self._body is None:
            self._machine.grant_window(self.number, size)
        else:
            self._body.append((data, size))
        self._arrived()

    def on_end(self) -> None:
        """The request is complete."""
        self._ended = True
        self._arrived()

    def on_client_left(self, *, answers: bool) -> None:
        """The client reset the stream or ended the connection."""
        self._deaf = self._deaf or not answers
        if not self.client_left:
            self.client_left = True
            self._left_at = self._connection.state.clock.deadline_after(self._limits.linger_seconds)
            self.reservation.withdraw()
        self._arrived()

    def release_slot(self) -> None:
        """No longer in hand: what is left to do is the client's. May be repeated."""
        if self._inside:
            self._inside = False
            self._connection.state.admission.release_slot(mutating=self._is_mutating)

    @property
    def is_draining(self) -> bool:
        """Whether the server stops."""
        return self._connection.state.admission.is_draining

    def suspend(self) -> None:
        """The handler waits for something that is not ours to hurry, so it is not in hand."""
        if self._inside:
            self._connection.state.admission.suspend(mutating=self._is_mutating)

    def resume(self) -> None:
        """It goes on."""
        if self._inside:
            self._connection.state.admission.resume(mutating=self._is_mutating)

    def tick(self, now: float) -> None:
        """A handler whose client left has had its time."""
        if now >= self._left_at and self.scope is not None:
            self.scope.cancel()

    # For the handler.

    async def receive(self) -> Message:
        """ASGI receive: body messages, then http.disconnect once the client left or was answered.

        Returns without a checkpoint when the body is here already.
        """
        while not self._body:
            if self.client_left or self._done or self._refusal is not None:
                return {"type": "http.disconnect"}
            if self._ended and not self._delivered:
                return self._deliver(b"")
            await self._wait()
        data, size = self._body.popleft()
        if not self._deaf:
            self._machine.grant_window(self.number, size)
            self._connection.notify_output()
        return self._deliver(data)

    async def send(self, message: Message) -> None:
        """ASGI send. Goes nowhere once the client left. Raises AppError for a broken contract."""
        kind = message["type"]
        if kind == "http.response.body":
            if not self._status:
                raise AppError("response body before its start")
            if self._done:
                raise AppError("response body after its end")
            more = message.get("more_body", False)
            await self._send_body(message.get("body", b""), more=more)
            if more:  # a stream to a fast reader must not hog the loop
                await trio.lowlevel.checkpoint()
        elif kind == "http.response.start":
            if self._status:
                raise AppError("response started twice")
            self._status, self._headers = parse_start(message)
        else:
            raise AppError("unknown kind of ASGI message")

    # After the handler.

    @property
    def was_answered(self) -> bool:
        """Whether the client has a whole answer, and still wanted it."""
        return self._done and not self.client_left

    @property
    def body_refused(self) -> bool:
        """Whether the server refused the request's body while the handler ran."""
        return self._refusal is not None

    def refusal(self) -> RefusedError | None:
        """What the server has to answer itself, because the handler did not."""
        if self._started:
            return None
        if self._refusal is not None:
            return self._refusal
        if self.client_left and not self.failed:
            return None
        return RefusedError(500, "internal", "internal error")

    async def send_own_response(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the server's own answer."""
        self._refusal = None
        self._status, self._headers = status, headers
        await self._send_body(body, more=False)

    def close(self) -> None:
        """The handler has ended: let go of what it did not read or finish."""
        self.release_slot()
        self.reservation.release()
        if self._held:
            self._connection.state.body_budget.release_body(self._held)
            self._held = 0
        if self._deaf:
            return
        self._drop_body()
        if self._done and self._ended:
            return
        # RFC 9113 section 8.1: after a whole answer the rest of the request is not needed.
        self._machine.reset_stream(self.number, NO_ERROR if self._done else INTERNAL_ERROR)
        self._connection.notify_output()

    # Receiving.

    def _deliver(self, data: bytes) -> Message:
        self._delivered = self._ended and not self._body
        return {"type": "http.request", "body": data, "more_body": not self._delivered}

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._arrival.unpark_all()

    async def _wait(self) -> None:
        """Wait for something to happen; for a body at the pace that the limits ask for."""
        if self._arrival is None:
            self._arrival = trio.lowlevel.ParkingLot()
        if self._ended:
            await self._arrival.park()
            return
        if self._pace is None:
            self._pace = MinimumTransferRate(self._limits, self._connection.state.clock)
        if self._expects:
            self._expects = False
            self._machine.send_headers(self.number, 100, ())
            self._connection.notify_output()
        before = self._received
        with trio.move_on_after(self._pace.begin_wait()) as scope:
            await self._client(self._arrival)
        self._pace.end_wait(self._received - before)
        if scope.cancelled_caught and self._received == before:
            self._refuse(RefusedError(408, "body_timeout", "request body did not arrive in time"))

    async def _client(self, arrival: trio.lowlevel.ParkingLot) -> None:
        self.suspend()
        try:
            await arrival.park()
        finally:
            self.resume()

    def _take(self, size: int) -> bool:
        if not self._connection.state.body_budget.try_reserve(self._held, size):
            return False
        self._held += size
        return True

    def _refuse(self, error: RefusedError) -> None:
        self._refusal = error
        self._drop_body()
        self._arrived()

    def _drop_body(self) -> None:
        while self._body:
            _, size = self._body.popleft()
            self._machine.grant_window(self.number, size)

    # Sending.

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        if not more:
            self.release_slot()
        if self._refusal is not None:
            return
        if not self._started:
            self._start(len(data), more)
        if self._to_come >= 0 and not self._silent:
            self._to_come -= len(data)
            if self._to_come < 0 or (self._to_come and not more):
                raise AppError("response body does not have its declared length")
        if not (self._deaf or self._silent) and (data or not (more or self._done)):
            await self._write(data, end=not more)
        self._done = not more
        if self._done:
            self._arrived()
            if CLOSE in self._headers:
                self._connection.drain()

    def _start(self, size: int, more: bool) -> None:
        """Send the head, which ends the stream when no body follows."""
        fields, _, length, dated = split_headers(self._headers)
        headers = [(name.lower(), value) for name, value in fields]
        date = self._connection.state.clock.date
        if date and not dated:
            headers.append((b"date", date))
        self._silent = self._head or self._status in NO_BODY
        if length is None and not more and self._status not in NO_BODY:
            length = b"%d" % size
        if length is not None and self._status != 204:  # noqa: PLR2004 - RFC 9110 section 8.6
            headers.append((b"content-length", length))
            self._to_come = int(length)
            if not (self._silent or more) and self._to_come != size:
                raise AppError("response body does not have its declared length")
        self._started = True
        if self._deaf:
            return
        self._silent = self._silent or (size == 0 and not more)
        self._machine.send_headers(self.number, self._status, headers, end=self._silent)
        self._connection.notify_output()

    async def _write(self, data: bytes, *, end: bool) -> None:
        """Put `data` on the stream as its windows open; a reader too slow for that is reset."""
        sent = 0
        if len(data) <= _PIECE:
            sent = self._machine.send_data(self.number, data, end=end)
            self._connection.notify_output()
            if sent == len(data):
                return
        allowed = (len(data) - sent) / self._limits.write_rate + self._limits.write_seconds
        with trio.move_on_after(allowed) as scope:
            answers, caller = (
                self._connection.state.response_budget,
                self._connection.transport.usage,
            )
            self.reservation.give_back()
            unread = answers.track_write(len(data), scope.cancel, caller)
            answers.grant_queued()
            try:
                await self._write_slowly(data, sent, unread, end=end)
            finally:
                unread.finish()
                self._connection.send_waiters.wake_sendable()
        if scope.cancelled_caught:
            self._machine.reset_stream(self.number, CANCEL)
            self._connection.notify_output()
            self.on_client_left(answers=False)

    async def _write_slowly(
        self, data: bytes, position: int, unread: PendingWrite, *, end: bool
    ) -> None:
        while position < len(data) and not self._deaf:
            rest = position + _PIECE
            piece = data[position:rest]
            sent = self._machine.send_data(self.number, piece, end=end and rest >= len(data))
            blocked = sent < len(piece)
            del piece  # not held while it waits
            self._connection.notify_output()
            position += sent
            unread.note_progress(sent)
            await self._connection.wait_output_room()
            if blocked:
                if self.client_left:  # no window will open any more
                    self.on_client_left(answers=False)
                else:
                    await self._connection.send_waiters.wait_sendable(
                        self.number, len(data) - position
                    )
