"""The link over the network: websockets on TLS on Trio. The one module here with sockets.

trio-websocket runs a reader task that fails by its own exceptions, and waits for handshakes
without end. So each connection has a nursery of its own, every wait on the peer but `receive` is
under a time limit, and what the reader dies of becomes the `TransportError` of its pipe: no
connection can harm another.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeVar, cast

import trio
import trio_websocket as ws

from protocols.client_network import client_network
from protocols.link import limits
from protocols.link.errors import TransportError
from protocols.link_transport import https_request
from protocols.link_transport.connection_admission import AdmissionLimits, ConnectionAdmission
from protocols.link_transport.tls_stream import TlsStream
from protocols.link_transport.websocket import BoundedStream, do_nothing
from protocols.link_transport.websocket import WebSocketTransport as WebSocketTransport

T = TypeVar("T")
Handler = Callable[["WebSocketTransport"], Awaitable[None]]
Report = Callable[[BaseException], None]


async def connect(
    nursery: trio.Nursery,
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    server_name: str | None = None,
) -> WebSocketTransport:
    """An agent's connection; its reader lives in `nursery`, where it never fails.

    `context` brings our certificate and trusts the control plane's authority only; `server_name`
    is what its certificate must say, if not `host`. Raises `TransportError`: `unreachable`, `tls`,
    `refused`, `timeout`, `broken`.
    """
    open_ = partial(_open_client, host, port, context, server_name or host)
    pipe: WebSocketTransport = await nursery.start(_hold, open_)
    return pipe


async def _hold(
    open_: Callable[[trio.Nursery], Awaitable[WebSocketTransport]],
    *,
    task_status: trio.TaskStatus[WebSocketTransport],
) -> None:
    """Own a client's reader until its pipe is closed."""
    pipe = None
    try:
        async with trio.open_nursery() as readers:
            pipe = await _in_time(open_, readers)
            task_status.started(pipe)
            try:
                await pipe.closed.wait()
            finally:
                await pipe.abort()
            readers.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        failure = _only_failure(group)
        if pipe is None:
            raise _as_pipe_error(failure) from failure
        pipe.failure = failure


async def _in_time(open_: Callable[[trio.Nursery], Awaitable[T]], readers: trio.Nursery) -> T:
    with trio.move_on_after(limits.CONNECT_SECONDS):
        return await open_(readers)
    raise TransportError("timeout", "the peer did not finish its handshake in time")


async def _while_connected(wire: BoundedStream, opening: Callable[[], Awaitable[T]]) -> T:
    """The opened websocket, or `TransportError` at once when the peer leaves meanwhile."""
    with trio.CancelScope() as scope:
        wire.on_end = scope.cancel
        opened = await opening()
        wire.on_end = do_nothing
        return opened
    raise TransportError("refused", "the peer closed the connection during the handshake")


async def _open_client(
    host: str, port: int, context: ssl.SSLContext, name: str, readers: trio.Nursery
) -> WebSocketTransport:
    try:
        tcp = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise TransportError("unreachable", "no connection to the control plane") from error
    tls = _secured(tcp, context, server_hostname=name)
    try:
        peer = _known(await _handshake(tls))
        wire = BoundedStream(tls)
        opening = partial(
            ws.wrap_client_stream,
            readers,
            cast("trio.SSLStream[trio.SocketStream]", wire),
            name,
            limits.PATH,
            subprotocols=[limits.SUBPROTOCOL],
            max_message_size=limits.MAX_FRAME,
            receive_buffer_size=None,
        )
        connection = await _while_connected(wire, opening)
        _check_spoken(connection.subprotocol)
    except BaseException:
        await trio.aclose_forcefully(tls)
        raise
    return WebSocketTransport(connection, wire, peer, context)


def _check_spoken(subprotocol: str | None) -> None:
    if subprotocol != limits.SUBPROTOCOL:
        raise TransportError("refused", f"the peer does not speak {limits.SUBPROTOCOL}")


def _secured(tcp: trio.SocketStream, context: ssl.SSLContext, **how: Any) -> TlsStream:
    try:
        return TlsStream(tcp, context, **how)
    except OSError as error:
        raise TransportError("tls", "the peer was gone before the TLS handshake") from error


async def _handshake(tls: TlsStream) -> bytes | None:
    """The peer's certificate, if it shows one."""
    try:
        await tls.do_handshake()
    except trio.BrokenResourceError as error:
        raise TransportError("tls", "the TLS handshake failed") from error
    return tls.getpeercert()


def _known(peer: bytes | None) -> bytes:
    if peer is None:
        raise TransportError("tls", "the peer has no certificate")
    return peer


async def _beginning(tls: TlsStream) -> bytes:
    """The first bytes, enough to tell a request from a websocket."""
    head = b""
    while len(head) < len(https_request.METHOD):
        more = await tls.receive_some()
        if not more:
            raise TransportError("refused", "the peer closed the connection during the handshake")
        head += more
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What a server grants; times and sizes are `protocols.link.limits`."""

    connections: int = limits.MAX_CONNECTIONS
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    requests: int = limits.MAX_REQUESTS


class LinkServer:
    """Accepts agents' connections until it is drained; see `serve`."""

    def __init__(
        self,
        handler: Handler,
        listeners: Sequence[trio.SocketListener],
        context: Callable[[], ssl.SSLContext],
        *,
        report: Report,
        bounds: ServerLimits,
        answer: https_request.RequestHandler | None,
    ) -> None:
        """Use `serve`."""
        self._handler = handler
        self._listeners = listeners
        self._context = context
        self._report = report
        self._bounds = bounds
        self._answer = answer
        self._requests = trio.CapacityLimiter(bounds.requests)
        self._admission = ConnectionAdmission(bounds.admission)
        self._accepting = trio.CancelScope()
        self._all = trio.CancelScope()
        self._empty = trio.Event()
        self.ports = [listener.socket.getsockname()[1] for listener in listeners]
        self.connections = 0
        self.refused = 0
        """Connections closed at once because there were too many."""

    async def drain(self, grace: float) -> None:
        """Accept nothing more, and give the handlers `grace` seconds to end; then cancel them.

        Telling the agents (`LinkSession.send_bye`) is the handlers' part.
        """
        self._accepting.cancel()
        with trio.move_on_after(grace):
            while self.connections:
                self._empty = trio.Event()
                await self._empty.wait()
        self._all.cancel()

    async def run(self, *, task_status: trio.TaskStatus[Self]) -> None:
        """Serve until drained or cancelled."""
        with self._all:
            async with trio.open_nursery() as nursery:
                task_status.started(self)
                with self._accepting:
                    await trio.serve_listeners(
                        self._connection, list(self._listeners), handler_nursery=nursery
                    )

    async def _connection(self, tcp: trio.SocketStream) -> None:
        """One connection from its first byte to its last; nothing but cancellation leaves it."""
        if self.connections >= self._bounds.connections:
            self.refused += 1
            await trio.aclose_forcefully(tcp)
            return
        self.connections += 1
        try:
            await self._serve(tcp)
        except BaseExceptionGroup as group:
            self._report(_only_failure(group))
        except Exception as error:  # noqa: BLE001 - reported; one connection must not end the others
            self._report(error)
        finally:
            self.connections -= 1
            if not self.connections:
                self._empty.set()
            await trio.aclose_forcefully(tcp)

    async def _serve(self, tcp: trio.SocketStream) -> None:
        source, context = _source(tcp), self._context()
        await self._admission.wait_first_byte(tcp, client_network(source))
        tls = _secured(tcp, context, server_side=True)
        try:
            async with trio.open_nursery() as readers:
                pipe = await _in_time(partial(self._open, tls, source, context), readers)
                if isinstance(pipe, _PendingRequest):
                    await self._reply(pipe)
                    return
                try:
                    await self._handler(pipe)
                finally:
                    with trio.CancelScope(shield=True):  # bounded by CLOSE_SECONDS
                        await pipe.aclose()
                readers.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(tls)

    async def _open(
        self, tls: TlsStream, source: str, context: ssl.SSLContext, readers: trio.Nursery
    ) -> "WebSocketTransport | _PendingRequest":
        async with self._admission.handshake_slot(client_network(source)):
            peer = await _handshake(tls)
            head = await _beginning(tls)
            wire = BoundedStream(tls, head)
            if head.startswith(https_request.METHOD) and self._answer is not None:
                return _PendingRequest(wire, await https_request.read_request(wire, peer, source))
            return await _accept(wire, _known(peer), context, readers)

    async def _reply(self, request: "_PendingRequest") -> None:
        if self._answer is None:
            raise TransportError("refused", "nobody answers requests")
        async with self._requests:
            with trio.move_on_after(https_request.ANSWER_SECONDS):
                await https_request.write_response(request.wire, await self._answer(request.asked))


@dataclass(frozen=True, slots=True)
class _PendingRequest:
    wire: BoundedStream
    asked: https_request.HttpRequest


async def _accept(
    wire: BoundedStream, peer: bytes, context: ssl.SSLContext, readers: trio.Nursery
) -> WebSocketTransport:
    asking = partial(
        ws.wrap_server_stream,
        readers,
        wire,
        max_message_size=limits.MAX_FRAME,
        receive_buffer_size=None,
    )
    request = await _while_connected(wire, asking)
    try:
        if request.path != limits.PATH:
            await request.reject(404)
            raise TransportError("refused", "another path was asked for")
        if limits.SUBPROTOCOL not in request.proposed_subprotocols:
            await request.reject(400)
            raise TransportError("refused", f"{limits.SUBPROTOCOL} was not offered")
        connection = await request.accept(subprotocol=limits.SUBPROTOCOL)
    except ws.ConnectionClosed as error:
        raise TransportError("closed", "the peer left before it was answered") from error
    return WebSocketTransport(connection, wire, peer, context)


def _source(tcp: trio.SocketStream) -> str:
    try:
        return str(tcp.socket.getpeername()[0])
    except OSError:
        return ""


async def serve(
    nursery: trio.Nursery,
    handler: Handler,
    listeners: Sequence[trio.SocketListener],
    context: Callable[[], ssl.SSLContext],
    *,
    report: Report,
    bounds: ServerLimits | None = None,
    answer: https_request.RequestHandler | None = None,
) -> LinkServer:
    """Serve agents in `nursery`; each connection's `handler` gets its pipe and ends with it.

    `context` is asked for each connection, so that certificates and trust can change live; it must
    verify client certificates and give no session tickets. Who shows none is served by `answer`
    alone: requests by `POST` on the same port; without it there are none. `report` gets what a
    connection failed of: a `TransportError` when the peer is to blame, anything else is the
    handler's.
    """
    server = LinkServer(
        handler, listeners, context, report=report, bounds=bounds or ServerLimits(), answer=answer
    )
    started: LinkServer = await nursery.start(server.run)
    return started


def _only_failure(group: "BaseExceptionGroup[BaseException]") -> BaseException:
    """The failure of a connection. What is no `Exception` (cancellation above all) is raised on."""
    _, fatal = group.split(Exception)
    if fatal is not None:
        raise fatal
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner


def _as_pipe_error(failure: BaseException) -> TransportError:
    if isinstance(failure, TransportError):
        return failure
    if isinstance(failure, ws.ConnectionRejected):
        return TransportError("refused", f"the peer answered {failure.status_code}")
    return TransportError("broken", "the websocket handshake failed")
