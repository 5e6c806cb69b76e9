"""One request on HTTP/1.1: the two ASGI callables of its handler, and what they leave open."""

from typing import Protocol

import trio

from protocols.http.asgi import ConnectionInfo, Headers, Message
from protocols.http.coarse_clock import NEVER
from protocols.http.errors import AppError, PeerLeftError, RefusedError
from protocols.http.h1_parser import H1RequestParser, RequestHead
from protocols.http.h1_response import CONTINUE, ResponseEncoder
from protocols.http.response_budget import Reservation
from protocols.http.server_log import log_app_failure
from protocols.http.server_state import ServerState
from protocols.http.transfer_rate import MinimumTransferRate
from protocols.http.transport import Transport

_AHEAD = 64 * 1024  # pipelined bytes held while a handler runs; beyond, TCP holds the peer back


class ExchangeConnection(Protocol):
    """What an exchange needs of its connection."""

    state: ServerState
    transport: Transport
    reader: H1RequestParser
    peer: ConnectionInfo
    draining: bool


class H1Exchange:
    """The two ASGI callables of one request, and what is left to do when its handler has ended."""

    __slots__ = (
        "_admission", "_body", "_connection", "_delivered", "_expects", "_failed", "_held",
        "_inside", "_left", "_pace", "_refusal", "_response", "_transport", "_waiting",
        "is_mutating", "reservation",
    )  # fmt: skip

    def __init__(self, connection: ExchangeConnection, head: RequestHead) -> None:
        self._connection = connection
        self._admission = connection.state.admission
        self.is_mutating = connection.state.is_mutating(head.method, head.target)
        self._inside = True  # counted among the requests in hand
        self._held = 0  # bytes of the body that the app was given
        self._transport = connection.transport
        self._body = head.body
        self._expects = head.expects_continue
        self._delivered = False  # all of the body was handed to the app
        self._left = False  # the app was told that the client left
        self._waiting = False  # a task is inside `_disconnected`
        self._failed = False
        self._refusal: RefusedError | None = None  # the body was not acceptable
        self._pace: MinimumTransferRate | None = None  # there once a body is waited for
        self.reservation = Reservation(
            connection.state.response_budget, self._transport.usage, self
        )
        self._response = ResponseEncoder(
            head.method, head.version, head.keep_alive, connection.state.clock.date_line
        )

    async def receive(self) -> Message:
        """ASGI receive: body messages, then http.disconnect once the client left or was answered.

        Returns without a checkpoint when the body is here already.
        """
        if self._delivered or self._left:
            return await self._disconnected()
        body = self._body
        if body.done:
            self._delivered = True
            return {"type": "http.request", "body": b"", "more_body": False}
        try:
            data = await self._next_body()
        except RefusedError as error:
            self._refusal = error
            data = b""
        except PeerLeftError:
            data = b""
        if not data and not body.done:
            self._left = True
            return {"type": "http.disconnect"}
        if not self._connection.state.body_budget.try_reserve(self._held, len(data)):
            self._refusal = RefusedError(503, "bodies_full", "too many request bodies")
            self._left = True
            return {"type": "http.disconnect"}
        self._held += len(data)
        self._delivered = body.done
        return {"type": "http.request", "body": data, "more_body": not body.done}

    async def send(self, message: Message) -> None:
        """ASGI send. Goes nowhere once the client left. Raises AppError for a broken contract."""
        if self._refusal is not None:
            return
        response = self._response
        if self._connection.draining:
            response.keep_alive = False
        if self._expects and not self._body.done:
            response.keep_alive = False  # the body may come or not: only closing is unambiguous
        data = response.encode(message)
        if not (data or response.done):
            return  # a head waits for what follows
        if response.done:
            self.release_slot()
        if data and not self._transport.gone:
            try:
                await self._transport.send(data, self.reservation)
            except PeerLeftError:
                self._left = True
        if not response.done:
            await trio.lowlevel.checkpoint()  # a stream to a fast reader must not hog the loop
        elif self._waiting:
            self._transport.interrupt_receive()

    def release_slot(self) -> None:
        """No longer in hand: what is left to do is the client's. May be repeated."""
        if self._inside:
            self._inside = False
            self._admission.release_slot(mutating=self.is_mutating)

    @property
    def is_draining(self) -> bool:
        """Whether the server stops."""
        return self._admission.is_draining

    def suspend(self) -> None:
        """The handler waits for something that is not ours to hurry, so it is not in hand."""
        if self._inside:
            self._admission.suspend(mutating=self.is_mutating)

    def resume(self) -> None:
        """It goes on."""
        if self._inside:
            self._admission.resume(mutating=self.is_mutating)

    def release_memory(self) -> None:
        """The handler has ended and holds no body and no answer any more."""
        self.reservation.release()
        if self._held:
            self._connection.state.body_budget.release_body(self._held)
            self._held = 0

    async def refuse_overloaded(self, headers: Headers, body: bytes) -> None:
        """Answer 503 in the handler's place: too many requests are in hand, and not this one."""
        self._inside = False
        await self.send({"type": "http.response.start", "status": 503, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def on_handler_failure(self, error: Exception) -> None:
        """The handler raised: log it; the client gets a 500 if it has nothing yet."""
        self._failed = True
        log_app_failure(error, self._connection.peer, after_disconnect=self._left)

    async def complete(self) -> bool:
        """Finish what the handler left open; whether the connection can carry another request.

        Raises RefusedError when the server has to answer itself.
        """
        response = self._response
        if response.done and self._refusal is None:
            return response.keep_alive and not self._transport.gone and await self._discard()
        if response.done:
            return False
        if response.started:
            self._transport.abort()  # half an answer: only a cut tells the client so
            return False
        if self._refusal is not None:
            raise self._refusal
        if self._left and not self._failed:
            return False
        if not self._failed:
            log_app_failure(AppError("no response"), self._connection.peer)
        raise RefusedError(500, "internal", "internal error")

    async def _next_body(self) -> bytes:
        """More of the body, waiting at the pace that the limits ask for; b"" if it ended early."""
        reader = self._connection.reader
        data = reader.next_body(self._body)
        if data or self._body.done:
            return data
        if self._expects:
            self._expects = False
            await self._transport.send(CONTINUE)
        while not data and not self._body.done:
            received = await self._receive_in_time()
            if not received:
                return b""
            reader.feed(received)
            data = reader.next_body(self._body)
        return data

    async def _receive_in_time(self) -> bytes:
        """One read, at the pace that the limits ask for."""
        transport, shared = self._transport, self._connection.state
        pace = self._pace = self._pace or MinimumTransferRate(shared.limits, shared.clock)
        transport.read_by = shared.clock.deadline_after(pace.begin_wait())
        data = await self._wait_for_client()
        transport.read_by = NEVER
        if not data and transport.read_expired:
            raise RefusedError(408, "body_timeout", "request body did not arrive in time")
        pace.end_wait(len(data))
        return data

    async def _wait_for_client(self) -> bytes:
        self.suspend()
        try:
            return await self._transport.receive()
        finally:
            self.resume()

    async def _disconnected(self) -> Message:
        """Wait until the client leaves or has its answer; hold some of what it pipelines."""
        transport, reader = self._transport, self._connection.reader
        while not (self._left or self._response.done or transport.gone):
            if reader.pending > _AHEAD:
                if transport.peer_left():
                    break
                await trio.sleep(self._connection.state.clock.tick)
                continue
            self._waiting = True
            try:
                data = await transport.receive()
            finally:
                self._waiting = False
            if not data:
                break
            reader.feed(data)
        self._left = self._left or not self._response.done
        return {"type": "http.disconnect"}

    async def _discard(self) -> bool:
        """Read away an unread body, if it is short; else the connection has to end."""
        left = self._connection.state.limits.discard_bytes
        try:
            while not self._body.done:
                data = await self._next_body()
                left -= len(data)
                if left < 0 or not (data or self._body.done):
                    return False
        except RefusedError:
            return False  # its answer is out: there is no second one
        return True
