"""A link's server over real sockets, and agents that come to it."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trustme

from protocols.link.errors import TransportError
from protocols.link_transport.network import (
    LinkServer,
    ServerLimits,
    WebSocketTransport,
    connect,
    serve,
)

HOST = "127.0.0.1"


class Authority:
    """One CA, a server's and an agent's certificate by it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.server = self._context(ssl.PROTOCOL_TLS_SERVER, HOST)
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.agent = self._context(ssl.PROTOCOL_TLS_CLIENT, "agent.test")

    def _context(self, side: int, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        self.ca.configure_trust(context)
        self.ca.issue_cert(name).configure_cert(context)
        return context


AUTHORITY = Authority()


@dataclass
class Site:
    """A running server and what it reported."""

    server: LinkServer
    nursery: trio.Nursery
    reports: list[BaseException] = field(default_factory=list)

    async def connect(self, context: ssl.SSLContext | None = None) -> WebSocketTransport:
        """An agent's connection to it."""
        return await connect(self.nursery, HOST, self.server.ports[0], context or AUTHORITY.agent)

    async def idle(self) -> None:
        """Until it has no connection."""
        while self.server.connections:  # noqa: ASYNC110 - the end of a peer has no event here
            await trio.sleep(0.01)

    async def dial(self) -> trio.SSLStream[trio.SocketStream]:
        """A TLS connection that speaks no websocket yet."""
        tcp = await trio.open_tcp_stream(HOST, self.server.ports[0])
        tls = trio.SSLStream(tcp, AUTHORITY.agent, server_hostname=HOST)
        await tls.do_handshake()
        return tls


async def echo(pipe: WebSocketTransport) -> None:
    """Sends back what comes, until the peer goes."""
    while True:
        try:
            await pipe.send(await pipe.receive())
        except TransportError:
            return


@asynccontextmanager
async def serving(
    handler: Callable[[WebSocketTransport], Awaitable[None]] = echo,
    bounds: ServerLimits | None = None,
) -> AsyncIterator[Site]:
    """A server on a free port; it and all its connections are gone after the block."""
    listeners = await trio.open_tcp_listeners(0, host=HOST)
    reports: list[BaseException] = []
    async with trio.open_nursery() as nursery:
        server = await serve(
            nursery,
            handler,
            listeners,
            lambda: AUTHORITY.server,
            report=reports.append,
            bounds=bounds,
        )
        with trio.fail_after(30):
            yield Site(server, nursery, reports)
        nursery.cancel_scope.cancel()
