"""One HTTP/1.1 connection: requests in order, each handled in this connection's own task."""

import trio

from protocols.http.errors import AppError, PeerLeftError, RefusedError
from protocols.http.events import app_failed, refused
from protocols.http.h1 import RequestHead, RequestReader
from protocols.http.pace import Pace
from protocols.http.pulse import NEVER
from protocols.http.response import CONTINUE, Response, whole
from protocols.http.scope import Message, Peer, build_scope
from protocols.http.shared import Shared
from protocols.http.transport import Transport

_AHEAD = 64 * 1024  # pipelined bytes held while a handler runs; beyond, TCP holds the peer back


class H1Connection:
    """Serves one transport until either side ends it.

    A handler is not cancelled because its client left: `receive` says http.disconnect, what it
    sends goes nowhere, and it has `linger_seconds` to end.
    """

    def __init__(self, shared: Shared, transport: Transport, peer: Peer) -> None:
        self.shared = shared
        self.transport = transport
        self.peer = peer
        self.reader = RequestReader(shared.limits)
        self.draining = False
        self._scope = trio.CancelScope()
        self._handling = False
        self._left_at = NEVER  # when the handler of a client that left is cancelled
        self._idle = True
        self._method = "GET"  # of the request in hand, for the server's own answers

    async def run(self) -> None:
        """Serve until the end; the caller closes the transport."""
        with self._scope:
            try:
                while await self._one_request():
                    pass
            except RefusedError as error:
                await self._answer_refusal(error)
            except PeerLeftError:
                return
            await self.transport.finish()

    def tick(self, now: float) -> None:
        """Enforce time-outs; called once a tick by the server."""
        self.transport.tick(now)
        if not self._handling:
            return
        if self._left_at == NEVER:
            if self.transport.peer_left():
                self._left_at = now + self.shared.limits.linger_seconds
        elif now >= self._left_at:
            self._scope.cancel()

    def drain(self) -> None:
        """Close now if idle, else after the answer in hand."""
        self.draining = True
        if self._idle:
            self.transport.interrupt()

    async def _one_request(self) -> bool:
        """Handle the next request; False when there is none or it was the last."""
        head = await self._next_head()
        if head is None:
            return False
        shared = self.shared
        self._method = head.method
        scope = build_scope(self.peer, head.version, head.method, head.target, head.headers)
        exchange = Exchange(self, head)
        self._handling = True
        try:
            await shared.app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - whatever the app raises ends here, and is logged
            exchange.failed(error)
        finally:
            self._handling = False
            self._left_at = NEVER
        return await exchange.complete()

    async def _next_head(self) -> RequestHead | None:
        reader, transport, pulse = self.reader, self.transport, self.shared.pulse
        self._method = "GET"
        head = reader.next_head()
        if head is not None:  # pipelined: others get their turn in between
            await trio.lowlevel.checkpoint()
            return head
        limits = self.shared.limits
        self._idle = not reader.pending
        if self._idle and self.draining:
            return None
        patience = limits.idle_seconds if self._idle else limits.header_seconds
        transport.read_by = pulse.after(patience)
        while data := await transport.receive():
            reader.feed(data)
            head = reader.next_head()
            if head is not None:
                self._idle = False
                transport.read_by = NEVER
                return head
            if self._idle:
                self._idle = False
                transport.read_by = pulse.after(limits.header_seconds)
        transport.read_by = NEVER
        if reader.pending and transport.read_expired:
            raise RefusedError(408, "header_timeout", "request header did not arrive in time")
        return None

    async def _answer_refusal(self, error: RefusedError) -> None:
        refused(error, self.peer)
        headers, body = self.shared.refuse(error.status, error.code, error.message)
        try:
            await self.transport.send(
                whole(error.status, headers, body, self.shared.pulse.date_line, self._method)
            )
        except PeerLeftError:
            return


class Exchange:
    """The two ASGI callables of one request, and what is left to do when its handler has ended."""

    __slots__ = (
        "_body", "_connection", "_delivered", "_expects", "_failed", "_left", "_pace", "_refusal",
        "_response", "_transport", "_waiting",
    )  # fmt: skip

    def __init__(self, connection: H1Connection, head: RequestHead) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._body = head.body
        self._expects = head.expects_continue
        self._delivered = False  # all of the body was handed to the app
        self._left = False  # the app was told that the client left
        self._waiting = False  # a task is inside `_disconnected`
        self._failed = False
        self._refusal: RefusedError | None = None  # the body was not acceptable
        self._pace = Pace(connection.shared.limits, connection.shared.pulse)
        self._response = Response(
            head.method, head.version, head.keep_alive, connection.shared.pulse.date_line
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
        if data and not self._transport.gone:
            try:
                await self._transport.send(data)
            except PeerLeftError:
                self._left = True
        if not response.done:
            if data:  # a stream to a fast reader must not hog the loop
                await trio.lowlevel.checkpoint()
        elif self._waiting:
            self._transport.interrupt()

    def failed(self, error: Exception) -> None:
        """The handler raised: log it; the client gets a 500 if it has nothing yet."""
        self._failed = True
        app_failed(error, self._connection.peer, after_disconnect=self._left)

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
            app_failed(AppError("no response"), self._connection.peer)
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
        transport, pace = self._transport, self._pace
        transport.read_by = self._connection.shared.pulse.after(pace.wait())
        data = await transport.receive()
        transport.read_by = NEVER
        if not data and transport.read_expired:
            raise RefusedError(408, "body_timeout", "request body did not arrive in time")
        pace.waited(len(data))
        return data

    async def _disconnected(self) -> Message:
        """Wait until the client leaves or has its answer; hold some of what it pipelines."""
        transport, reader = self._transport, self._connection.reader
        while not (self._left or self._response.done or transport.gone):
            if reader.pending > _AHEAD:
                await trio.sleep(self._connection.shared.pulse.tick)
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
        left = self._connection.shared.limits.discard_bytes
        try:
            while not self._body.done:
                data = await self._next_body()
                left -= len(data)
                if left < 0 or not (data or self._body.done):
                    return False
        except RefusedError:
            return False  # its answer is out: there is no second one
        return True
