"""Websockets of a whole server, with a client that is not ours, over TLS and without."""

from typing import Any

import pytest
import trio
import trio_websocket as ws

from protocols.http.asgi import Receive, Scope, Send
from protocols.http.errors import SocketClosedError
from tests.integration.http.conftest import HOST, Certificates, Serving

OFFER = (
    b"GET /live HTTP/1.1\r\nHost: agent.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """A websocket that echoes, fails at `fail`, floods at `flood`; `ok` for a request."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await receive()
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        if text == "fail":
            raise ValueError("the handler's own fault")
        try:
            while text == "flood":
                await send({"type": "websocket.send", "text": "x" * 10_000})
        except SocketClosedError:
            return
        await send({"type": "websocket.send", "text": text})


async def dial(nursery: trio.Nursery, port: int, certificates: Certificates | None = None) -> Any:
    """An open websocket, whose handshake is done."""
    stream: Any = await trio.open_tcp_stream("127.0.0.1", port)
    if certificates is not None:
        stream = trio.SSLStream(stream, certificates.context(), server_hostname=HOST)
    socket = await ws.wrap_client_stream(nursery, stream, HOST, "/live", subprotocols=["a", "b"])
    return socket, stream


async def said(socket: Any, text: str) -> str:
    """What comes back."""
    await socket.send_message(text)
    with trio.fail_after(30):
        answer: str = await socket.get_message()
    return answer


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_long_messages_and_pings_go_both_ways(
    serving: Serving, certificates: Certificates, nursery: trio.Nursery, *, secure: bool
) -> None:
    """Up to the bound, in the subprotocol that was chosen."""
    handle = await serving(app, tls=certificates.config() if secure else None, websockets_too=True)
    socket, stream = await dial(nursery, handle.port, certificates if secure else None)
    assert socket.subprotocol == "a"
    text = "grün" * 12_000
    assert await said(socket, text) == text
    with trio.fail_after(30):
        await socket.ping(b"there?")
    await socket.aclose()
    await trio.aclose_forcefully(stream)


async def test_one_that_fails_leaves_the_others_alone(
    serving: Serving, nursery: trio.Nursery
) -> None:
    """Nor does one that breaks the protocol, floods, or does not read."""
    handle = await serving(app, websockets_too=True, write_seconds=0.3, write_rate=10**6)
    good, stream = await dial(nursery, handle.port)
    failing, second = await dial(nursery, handle.port)
    await failing.send_message("fail")
    async with await trio.open_tcp_stream("127.0.0.1", handle.port) as rude:
        await rude.send_all(OFFER + b"\xff" * 1000)
        async with await trio.open_tcp_stream("127.0.0.1", handle.port) as deaf:
            flood = b"flood"
            await deaf.send_all(OFFER + bytes([0x81, 0x80 | len(flood), 0, 0, 0, 0]) + flood)
            with trio.fail_after(30):
                while handle.connections() > 2:  # failing, and deaf
                    assert await said(good, "still here") == "still here"
                    await trio.sleep(0.05)
    await good.aclose()
    for each in (stream, second):
        await trio.aclose_forcefully(each)


async def test_requests_are_answered_beside_websockets(
    serving: Serving, nursery: trio.Nursery
) -> None:
    """They share a port, and a server that was not asked for websockets speaks HTTP alone."""
    handle = await serving(app, websockets_too=True)
    socket, stream = await dial(nursery, handle.port)
    async with await trio.open_tcp_stream("127.0.0.1", handle.port) as plain:
        await plain.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await plain.receive_some()).endswith(b"ok")
    await socket.aclose()
    await trio.aclose_forcefully(stream)
    silent = await serving(app)
    async with await trio.open_tcp_stream("127.0.0.1", silent.port) as plain:
        await plain.send_all(OFFER)
        assert (await plain.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_a_server_that_stops_says_1012(serving: Serving, nursery: trio.Nursery) -> None:
    """And is gone soon, whether its peers agree or not."""
    handle = await serving(app, websockets_too=True, close_seconds=0.5)
    socket, stream = await dial(nursery, handle.port)
    assert await said(socket, "da") == "da"
    async with await trio.open_tcp_stream("127.0.0.1", handle.port) as stubborn:
        await stubborn.send_all(OFFER)
        await stubborn.receive_some()
        with trio.fail_after(30):
            await handle.drain(8.0)
    with pytest.raises(ws.ConnectionClosed):
        await socket.get_message()
    assert socket.closed.code == 1012
    await trio.aclose_forcefully(stream)
