"""A whole server on a free port, certificates, and clients of both protocols."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from protocols.http import Limits, ServerHandle, TlsConfig, serve
from protocols.settings.proxies import ProxySettings

HOST = "agent.test"


class Certificates:
    """A private authority, and the agent's files in a folder that a test may rewrite."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.issue(self.ca)
        self.trust(self.ca)

    def issue(self, ca: trustme.CA) -> None:
        """Write a new server certificate by `ca`."""
        cert = ca.issue_cert(HOST, "127.0.0.1")
        cert.private_key_pem.write_to_path(self.folder / "key.pem")
        cert.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")

    def trust(self, ca: trustme.CA) -> None:
        """Make `ca` the authority for clients."""
        ca.cert_pem.write_to_path(self.folder / "ca.pem")

    def config(self, client_auth: Any = "none") -> TlsConfig:
        """The server's configuration."""
        folder = self.folder
        return TlsConfig(folder / "cert.pem", folder / "key.pem", folder / "ca.pem", client_auth)

    def context(
        self, *protocols: str, identity: trustme.CA | None = None, ca: trustme.CA | None = None
    ) -> ssl.SSLContext:
        """A client's context; `identity` issues it a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        (ca or self.ca).configure_trust(context)
        context.set_alpn_protocols(list(protocols) or ["http/1.1"])
        if identity is not None:
            identity.issue_cert("client.test").configure_cert(context)
        return context


class H2Client:
    """An HTTP/2 client, driven by the h2 library; `raw` sends what no library would."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.engine = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.engine.initiate_connection()
        self.status: dict[int, int] = {}
        self.body: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.goaway: int | None = None
        self.closed = False

    async def raw(self, data: bytes) -> None:
        """Send bytes, after what the engine holds; a peer that closed is noted."""
        try:
            await self.stream.send_all(self.engine.data_to_send() + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.closed = True

    def request(self, *more: tuple[bytes, bytes], end: bool = True, path: bytes = b"/") -> int:
        """Prepare a request; returns its stream."""
        number: int = self.engine.get_next_available_stream_id()
        pseudo = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", path),
            (b":authority", HOST.encode()),
        ]
        self.engine.send_headers(number, [*pseudo, *more], end_stream=end)
        return number

    async def step(self) -> None:
        """Send what is pending, receive once."""
        await self.raw(b"")
        try:
            data = await self.stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.engine.receive_data(data):
            self._on_event(event)

    async def answer(self, number: int) -> tuple[int | None, bytes]:
        """Status and body on a stream; (None, …) if it was reset or the connection ended."""
        while not (number in self.ended or number in self.reset or self.closed):
            await self.step()
        return self.status.get(number), self.body.get(number, b"")

    async def until_closed(self) -> int | None:
        """The code of the GOAWAY, once the server has ended the connection."""
        while not self.closed:
            await self.step()
        return self.goaway

    def _on_event(self, event: object) -> None:
        if isinstance(event, ResponseReceived):
            self.status[event.stream_id] = int(dict(event.headers)[b":status"])
        elif isinstance(event, DataReceived):
            self.body[event.stream_id] = self.body.get(event.stream_id, b"") + event.data
            if event.flow_controlled_length:
                size = event.flow_controlled_length
                self.engine.acknowledge_received_data(size, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self.reset[event.stream_id] = int(event.error_code)
        elif isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code)


Serving = Callable[..., Awaitable[ServerHandle]]
Dial = Callable[..., Awaitable[Any]]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """The files of one agent."""
    return Certificates(tmp_path)


@pytest.fixture
async def serving(nursery: trio.Nursery) -> Serving:
    """Start a server of an app, with TLS or without, within the limits named."""

    async def start(
        app: Any,
        *,
        tls: TlsConfig | None = None,
        websockets_too: bool = False,
        proxies: ProxySettings = ProxySettings(),  # noqa: B008 - frozen
        **limits: Any,
    ) -> ServerHandle:
        run = partial(
            serve,
            app,
            host="127.0.0.1",
            port=0,
            tls=tls,
            limits=Limits(**limits),
            websockets=websockets_too,
            trusts=proxies.trust_predicate(),
        )
        handle: ServerHandle = await nursery.start(run)
        return handle

    return start


@pytest.fixture
async def dial_tls() -> AsyncIterator[Dial]:
    """Open a TLS stream to a server, handshake done; all are closed after the test."""
    opened: list[trio.SocketStream] = []

    async def dial(
        handle: ServerHandle, context: ssl.SSLContext
    ) -> trio.SSLStream[trio.SocketStream]:
        raw = await trio.open_tcp_stream("127.0.0.1", handle.port)
        opened.append(raw)
        stream = trio.SSLStream(raw, context, server_hostname=HOST, https_compatible=True)
        await stream.do_handshake()
        return stream

    yield dial
    for raw in opened:
        raw.socket.close()


@pytest.fixture
def dial_h2(dial_tls: Dial, certificates: Certificates) -> Dial:
    """Connect an HTTP/2 client to a server."""

    async def dial(handle: ServerHandle, context: ssl.SSLContext | None = None) -> H2Client:
        return H2Client(await dial_tls(handle, context or certificates.context("h2")))

    return dial
