"""One HTTP/1.1 connection: requests in order, each handled in this connection's own task."""

from typing import TYPE_CHECKING

import trio

from protocols.http.asgi import ConnectionInfo, build_scope
from protocols.http.coarse_clock import NEVER
from protocols.http.errors import PeerLeftError, RefusedError
from protocols.http.h1_exchange import H1Exchange
from protocols.http.h1_parser import H1RequestParser, RequestHead
from protocols.http.h1_response import encode_whole_response
from protocols.http.server_log import log_refusal
from protocols.http.server_state import ServerState
from protocols.http.transport import Transport

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

if TYPE_CHECKING:
    from protocols.http.ws_connection import UpgradeConnection, WebSocket


class H1Connection:
    """Serves one transport until either side ends it.

    A handler is not cancelled because its client left: `receive` says http.disconnect, what it
    sends goes nowhere, and it has `linger_seconds` to end.
    """

    def __init__(
        self,
        state: ServerState,
        transport: Transport,
        peer: ConnectionInfo,
        upgrade_connection: "UpgradeConnection | None" = None,
    ) -> None:
        """`upgrade_connection` serves offers to speak another protocol; None ignores them."""
        self.state = state
        self.transport = transport
        self.peer = peer
        self.reader = H1RequestParser(state.limits, secure=peer.scheme == "https")
        self.draining = False
        self._upgrade_connection = upgrade_connection
        self._scope = trio.CancelScope()
        self._handling = False
        self._exchange: H1Exchange | None = None  # of the request that a handler works on
        self._left_at = NEVER  # when the handler of a client that left is cancelled
        self._idle = True
        self._socket: WebSocket | None = None  # what the connection has become
        self._method = "GET"  # of the request in hand, for the server's own answers
        self._target = b""
        self._unsized = False  # the request before has no length, but its method has a body
        self._requests_seen = False  # the application has seen the request in hand

    async def run(self) -> None:
        """Serve until the end; the caller closes the transport."""
        with self._scope:
            try:
                while await self._one_request():
                    pass
            except RefusedError as error:
                if self._unsized:  # what follows is no request but its body: it has its answer
                    log_refusal(error, self.peer)
                else:
                    await self._answer_refusal(error)
            except PeerLeftError:
                return
            await self.transport.shutdown()

    def tick(self, now: float) -> None:
        """Enforce time-outs; called once a tick by the server."""
        self.transport.tick(now)
        if not self._handling:
            if self._socket is not None:
                self._socket.tick(now)
            return
        if self._left_at == NEVER:
            if self.transport.peer_left():
                self._left_at = now + self.state.limits.linger_seconds
                if self._exchange is not None:
                    self._exchange.reservation.withdraw()
        elif now >= self._left_at:
            self._scope.cancel()

    def drain(self) -> None:
        """Close now if idle, else after the answer in hand; a websocket says 1012."""
        self.draining = True
        if self._idle or self._socket is not None:
            self.transport.interrupt_receive()

    async def _one_request(self) -> bool:
        """Handle the next request; False when there is none or it was the last."""
        head = await self._next_head()
        if head is None:
            return False
        self._unsized = False
        shared = self.state
        self._method, self._target = head.method, head.target
        exchange = H1Exchange(self, head)
        answer = shared.overload_error(head.target, changes=exchange.is_mutating)
        if answer is not None:
            await exchange.refuse_overloaded(*answer)
            more = await exchange.complete()
            self._unsized = not head.sized and head.method in _WITH_BODY
            if more:
                await shared.refusal_backoff.wait_end()
            return more
        try:
            if head.upgrade and self._upgrade_connection is not None:
                self._socket = self._upgrade_connection(self, head, exchange)
                if self._socket is not None:
                    await self._socket.run()
                    return False
            more = await self._handle(head, exchange)
            self._unsized = not head.sized and head.method in _WITH_BODY
            return more
        finally:
            exchange.release_slot()
            exchange.release_memory()

    async def _handle(self, head: RequestHead, exchange: H1Exchange) -> bool:
        """Have the application answer; whether the connection can carry another request."""
        scope = build_scope(
            self.peer,
            head.version,
            head.method,
            head.target,
            head.headers,
            reservation=exchange.reservation,
            idle_request=exchange,
            any_path=self.state.any_path,
        )
        self._handling = self._requests_seen = True
        self._exchange = exchange
        try:
            await self.state.app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - whatever the app raises ends here, and is logged
            exchange.on_handler_failure(error)
        finally:
            self._handling, self._exchange = False, None
            self._left_at = NEVER
        return await exchange.complete()

    async def _next_head(self) -> RequestHead | None:
        reader, transport, clock = self.reader, self.transport, self.state.clock
        self._method, self._requests_seen = "GET", False
        head = reader.next_head()
        if head is not None:  # pipelined: others get their turn in between
            await trio.lowlevel.checkpoint()
            return head
        limits = self.state.limits
        self._idle = not reader.pending
        if self._idle and self.draining:
            return None
        patience = limits.idle_seconds if self._idle else limits.header_seconds
        transport.read_by = clock.deadline_after(patience)
        while data := await transport.receive():
            reader.feed(data)
            head = reader.next_head()
            if head is not None:
                self._idle = False
                transport.read_by = NEVER
                return head
            if self._idle:
                self._idle = False
                transport.read_by = clock.deadline_after(limits.header_seconds)
        transport.read_by = NEVER
        if reader.pending and transport.read_expired:
            raise RefusedError(408, "header_timeout", "request header did not arrive in time")
        return None

    async def _answer_refusal(self, error: RefusedError) -> None:
        log_refusal(error, self.peer)
        shared, status = self.state, error.status
        if self._requests_seen:
            headers, body = shared.refusal(error, self._target)
        else:
            status, headers, body = await shared.unread_refusal(
                error, self._target, self.peer.client
            )
        try:
            await self.transport.send(
                encode_whole_response(
                    status,
                    [*headers, *error.headers],
                    body,
                    self.state.clock.date_line,
                    self._method,
                )
            )
        except PeerLeftError:
            return
