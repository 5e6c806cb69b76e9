"""One HTTP/1.1 connection: requests in order, each handled in this connection's own task."""

from typing import TYPE_CHECKING

import trio

from protocols.http.errors import PeerLeftError, RefusedError
from protocols.http.events import refused
from protocols.http.h1 import RequestHead, RequestReader
from protocols.http.h1_exchange import Exchange
from protocols.http.pulse import NEVER
from protocols.http.response import whole
from protocols.http.scope import Peer, build_scope
from protocols.http.shared import Shared
from protocols.http.transport import Transport

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

if TYPE_CHECKING:
    from protocols.http.ws_connection import WebSocket


class H1Connection:
    """Serves one transport until either side ends it.

    A handler is not cancelled because its client left: `receive` says http.disconnect, what it
    sends goes nowhere, and it has `linger_seconds` to end.
    """

    def __init__(self, shared: Shared, transport: Transport, peer: Peer) -> None:
        self.shared = shared
        self.transport = transport
        self.peer = peer
        self.reader = RequestReader(shared.limits, secure=peer.scheme == "https")
        self.draining = False
        self._scope = trio.CancelScope()
        self._handling = False
        self._left_at = NEVER  # when the handler of a client that left is cancelled
        self._idle = True
        self._socket: WebSocket | None = None  # what the connection has become
        self._method = "GET"  # of the request in hand, for the server's own answers
        self._target = b""
        self._unsized = False  # the request before has no length, but its method has a body
        self._seen = False  # the application has seen the request in hand

    async def run(self) -> None:
        """Serve until the end; the caller closes the transport."""
        with self._scope:
            try:
                while await self._one_request():
                    pass
            except RefusedError as error:
                if self._unsized:  # what follows is no request but its body: it has its answer
                    refused(error, self.peer)
                else:
                    await self._answer_refusal(error)
            except PeerLeftError:
                return
            await self.transport.finish()

    def tick(self, now: float) -> None:
        """Enforce time-outs; called once a tick by the server."""
        self.transport.tick(now)
        if not self._handling:
            if self._socket is not None:
                self._socket.tick(now)
            return
        if self._left_at == NEVER:
            if self.transport.peer_left():
                self._left_at = now + self.shared.limits.linger_seconds
        elif now >= self._left_at:
            self._scope.cancel()

    def drain(self) -> None:
        """Close now if idle, else after the answer in hand; a websocket says 1012."""
        self.draining = True
        if self._idle or self._socket is not None:
            self.transport.interrupt()

    async def _one_request(self) -> bool:
        """Handle the next request; False when there is none or it was the last."""
        head = await self._next_head()
        if head is None:
            return False
        self._unsized = False
        shared = self.shared
        self._method, self._target = head.method, head.target
        exchange = Exchange(self, head)
        answer = shared.overloaded(head.target, changes=exchange.changes)
        if answer is not None:
            await exchange.turn_away(*answer)
            more = await exchange.complete()
            self._unsized = not head.sized and head.method in _WITH_BODY
            if more:
                await shared.lull.wait()
            return more
        try:
            if head.upgrade and shared.upgrade is not None:
                self._socket = shared.upgrade(self, head, exchange)
                if self._socket is not None:
                    await self._socket.run()
                    return False
            more = await self._handle(head, exchange)
            self._unsized = not head.sized and head.method in _WITH_BODY
            return more
        finally:
            exchange.leave()
            exchange.release()

    async def _handle(self, head: RequestHead, exchange: Exchange) -> bool:
        """Have the application answer; whether the connection can carry another request."""
        scope = build_scope(
            self.peer,
            head.version,
            head.method,
            head.target,
            head.headers,
            reservation=exchange.reservation,
            any_path=self.shared.any_path,
        )
        self._handling = self._seen = True
        try:
            await self.shared.app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - whatever the app raises ends here, and is logged
            exchange.failed(error)
        finally:
            self._handling = False
            self._left_at = NEVER
        return await exchange.complete()

    async def _next_head(self) -> RequestHead | None:
        reader, transport, pulse = self.reader, self.transport, self.shared.pulse
        self._method, self._seen = "GET", False
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
        shared, status = self.shared, error.status
        if self._seen:
            headers, body = shared.refusal(error, self._target)
        else:
            status, headers, body = await shared.unread_refusal(
                error, self._target, self.peer.client
            )
        try:
            await self.transport.send(
                whole(
                    status,
                    [*headers, *error.headers],
                    body,
                    self.shared.pulse.date_line,
                    self._method,
                )
            )
        except PeerLeftError:
            return
