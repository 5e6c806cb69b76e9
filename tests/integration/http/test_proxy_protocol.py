"""TLS, HTTP/2 and websockets behind a proxy that forwards connections and names their clients."""

import socket
import ssl
from typing import Any

import pytest
import trio
import trio_websocket as ws

from protocols.http import ServerHandle
from protocols.http.asgi import Receive, Scope, Send
from protocols.settings.proxies import ProxySettings
from tests.integration.http.conftest import HOST, Certificates, H2Client, Serving

PROXIES = ProxySettings.model_validate({"addresses": ["127.0.0.1"], "header": "proxy-protocol"})
GET = b"GET / HTTP/1.1\r\nHost: agent.test\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 8200\r\n"
V2 = (
    bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 0010")
    + socket.inet_aton("192.0.2.7")
    + socket.inet_aton("10.0.0.1")
    + (4711).to_bytes(2)
    + (8200).to_bytes(2)
    + bytes.fromhex("04 0001 00")  # a TLV: NOOP
)
KNOWN = b"https 192.0.2.7 4711"
pytestmark = pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with scheme and client; over a websocket for each message."""
    client, port = scope["client"]
    text = f"{scope['scheme']} {client} {port}"
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": text})


async def start(serving: Serving, certificates: Certificates, **more: Any) -> ServerHandle:
    """A server with TLS that believes this machine's proxies."""
    made: ServerHandle = await serving(app, tls=certificates.config(), proxies=PROXIES, **more)
    return made


async def dial(
    handle: ServerHandle, context: ssl.SSLContext, header: bytes
) -> trio.SSLStream[trio.SocketStream]:
    """A TLS connection behind this header, handshake done."""
    raw = await trio.open_tcp_stream("127.0.0.1", handle.port)
    await raw.send_all(header)
    stream = trio.SSLStream(raw, context, server_hostname=HOST, https_compatible=True)
    await stream.do_handshake()
    return stream


async def test_over_tls(serving: Serving, certificates: Certificates, header: bytes) -> None:
    """The header is ahead of the handshake; the requests behind it are of the client it names."""
    handle = await start(serving, certificates)
    stream = await dial(handle, certificates.context(), header)
    for _ in range(2):
        await stream.send_all(GET)
        assert (await stream.receive_some()).endswith(KNOWN)
    await trio.aclose_forcefully(stream)


async def test_in_pieces(serving: Serving, certificates: Certificates, header: bytes) -> None:
    """Header and handshake may come in any pieces: one byte, or the header and a ClientHello."""
    handle = await start(serving, certificates)
    for joint in (False, True):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificates.context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        async with await trio.open_tcp_stream("127.0.0.1", handle.port) as raw:
            pieces = [header + hello] if joint else [bytes([each]) for each in header + hello]
            for piece in pieces:
                await raw.send_all(piece)
            with trio.fail_after(30):
                while True:
                    incoming.write(await raw.receive_some())
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        continue
                tls.write(GET)
                await raw.send_all(outgoing.read())
                said = b""
                while KNOWN not in said:
                    try:
                        said += tls.read()
                    except ssl.SSLWantReadError:
                        incoming.write(await raw.receive_some())


async def test_http2(serving: Serving, certificates: Certificates, header: bytes) -> None:
    """Each stream is of the client."""
    handle = await start(serving, certificates)
    stream = await dial(handle, certificates.context("h2"), header)
    assert stream.selected_alpn_protocol() == "h2"
    client = H2Client(stream)
    for number in [client.request(), client.request()]:
        assert await client.answer(number) == (200, KNOWN)
    await trio.aclose_forcefully(stream)


async def test_websockets(
    serving: Serving, certificates: Certificates, nursery: trio.Nursery, header: bytes
) -> None:
    """As other requests."""
    handle = await start(serving, certificates, websockets_too=True)
    stream: Any = await dial(handle, certificates.context(), header)
    connection = await ws.wrap_client_stream(nursery, stream, HOST, "/live")
    await connection.send_message("who?")
    with trio.fail_after(30):
        assert await connection.get_message() == "wss 192.0.2.7 4711"
    await connection.aclose()
    await trio.aclose_forcefully(stream)


async def test_of_nobody_else(serving: Serving, certificates: Certificates, header: bytes) -> None:
    """Of a client it is no handshake; of a proxy a handshake alone is no header. Others go on."""
    handle = await start(serving, certificates)
    for local, sent in (("127.0.0.2", header), ("127.0.0.1", b"")):
        raw = await trio.open_tcp_stream("127.0.0.1", handle.port, local_address=local)
        await raw.send_all(sent)
        stream = trio.SSLStream(raw, certificates.context(), server_hostname=HOST)
        with trio.fail_after(30), pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(raw)
    stream = await dial(handle, certificates.context(), header)
    await stream.send_all(GET)
    assert (await stream.receive_some()).endswith(KNOWN)
    await trio.aclose_forcefully(stream)
