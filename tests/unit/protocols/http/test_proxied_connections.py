"""A server behind proxies that name their clients by the PROXY protocol."""

import logging
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from protocols.http import Limits, ServerHandle, serve
from protocols.http.asgi import RESERVATION, Receive, Scope, Send
from protocols.http.limits import MIB
from protocols.http.server_state import refuse_as_json
from protocols.settings.proxies import ProxySettings

Clock = trio.testing.MockClock
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PROXY, OTHER = "127.0.0.2", "127.0.0.3"
SETTINGS = ProxySettings.model_validate({"addresses": [PROXY], "header": "proxy-protocol"})


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the client's address and port."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send(
        {
            "type": "http.response.body",
            "body": b"%s %d" % (scope["client"][0].encode(), scope["client"][1]),
        }
    )


def named(client: str, port: int = 4711) -> bytes:
    """A header of version 1."""
    return b"PROXY TCP4 %s 10.0.0.1 %d 8200\r\n" % (client.encode(), port)


async def start(
    nursery: trio.Nursery, settings: ProxySettings = SETTINGS, **limits: float
) -> ServerHandle:
    """A server on a free port, configured as the agent and the control plane are."""
    app = settings.wrap_app(who, tls=False, refuse=refuse_as_json)
    run = partial(
        serve,
        app,
        host="127.0.0.1",
        port=0,
        tls=None,
        trusts=settings.trust_predicate(),
        limits=Limits(**limits),
    )  # type: ignore[arg-type]
    handle: ServerHandle = await nursery.start(run)
    return handle


async def dial(handle: ServerHandle, local: str = PROXY) -> trio.SocketStream:
    """A connection to it."""
    return await trio.open_tcp_stream("127.0.0.1", handle.port, local_address=local)


async def ask(stream: trio.SocketStream, data: bytes) -> bytes:
    """The body that comes back, empty if the connection ended."""
    await stream.send_all(data)
    return (await stream.receive_some()).partition(b"\r\n\r\n")[2]


async def rest(stream: trio.SocketStream) -> bytes:
    """Everything until the end, cleanly or not."""
    data = b""
    try:
        async for piece in stream:
            data += piece
    except trio.BrokenResourceError:
        pass
    return data


async def test_the_header_names_the_client(nursery: trio.Nursery, clock: Clock) -> None:
    """For all requests of the connection, in one piece with the first one or byte by byte."""
    handle = await start(nursery)
    async with await dial(handle) as stream:
        assert await ask(stream, named("192.0.2.7") + GET) == b"192.0.2.7 4711"
        assert await ask(stream, GET) == b"192.0.2.7 4711"
    async with await dial(handle) as stream:
        for byte in named("192.0.2.8", 1):
            await stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert await ask(stream, GET) == b"192.0.2.8 1"


async def test_no_http_header_is_believed_beside_it(nursery: trio.Nursery, clock: Clock) -> None:
    """Such a proxy does not read HTTP, so a client has written the header itself."""
    handle = await start(nursery)
    said = (
        b"X-Forwarded-For: 203.0.113.1\r\nForwarded: for=203.0.113.1\r\nProxy-Protocol: 1.1.1.1\r\n"
    )
    for client in (b"192.0.2.7", PROXY.encode()):  # also of one that is on the proxy's machine
        async with await dial(handle) as stream:
            request = GET.replace(b"\r\n\r\n", b"\r\n" + said + b"\r\n")
            answer = await ask(stream, named(client.decode()) + request)
            assert answer == client + b" 4711"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"])
async def test_a_connection_of_the_proxy_itself(
    nursery: trio.Nursery, clock: Clock, header: bytes
) -> None:
    """A health check: the client is the proxy."""
    handle = await start(nursery)
    async with await dial(handle) as stream:
        port = stream.socket.getsockname()[1]
        assert await ask(stream, header + GET) == b"%s %d" % (PROXY.encode(), port)


async def test_a_proxy_has_to_send_it(
    nursery: trio.Nursery, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Its connection is closed unanswered else, and the log says why and of which proxy."""
    handle = await start(nursery)
    async with await dial(handle) as stream:
        assert await ask(stream, named("192.0.2.7")[:-2] + b"!\r\n" + GET) == b""
    async with await dial(handle) as stream:
        await stream.send_all(GET)
        assert await rest(stream) == b""
    events = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.__dict__["event"] for record in events] == ["proxy_header_refused"] * 2
    assert events[1].__dict__["facts"]["proxy"] == PROXY
    assert handle.connections() == 0


@pytest.mark.parametrize("header", [named("192.0.2.7"), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"])
async def test_nobody_else_may_send_it(nursery: trio.Nursery, clock: Clock, header: bytes) -> None:
    """From a client it is a malformed request; without it the client is known."""
    handle = await start(nursery)
    async with await dial(handle, OTHER) as stream:
        await stream.send_all(header + GET)
        assert (await rest(stream)).startswith(b"HTTP/1.1 400 ")
    async with await dial(handle, OTHER) as stream:
        assert (await ask(stream, GET)).startswith(OTHER.encode())


async def test_an_http_proxy_does_not_send_it(nursery: trio.Nursery, clock: Clock) -> None:
    """With another `header` it is a malformed request from trusted proxies, too."""
    told = {"addresses": [PROXY], "header": "x-forwarded-for"}
    handle = await start(nursery, ProxySettings.model_validate(told))
    async with await dial(handle) as stream:
        await stream.send_all(named("192.0.2.7") + GET)
        assert (await rest(stream)).startswith(b"HTTP/1.1 400 ")


async def trickle(stream: trio.SocketStream) -> None:
    """A header, a byte each second, as long as somebody takes it."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for byte in named("192.0.2.7"):
            await stream.send_all(bytes([byte]))
            await trio.sleep(1)


async def test_it_has_to_come_in_time(nursery: trio.Nursery, clock: Clock) -> None:
    """As a TLS handshake; a byte now and then does not help."""
    handle = await start(nursery, handshake_seconds=4)
    began = trio.current_time()
    async with await dial(handle) as stream:
        nursery.start_soon(trickle, stream)
        assert await rest(stream) == b""
    assert 4 <= trio.current_time() - began < 8
    async with await dial(handle) as stream:  # it does not count for what comes later
        await stream.send_all(named("192.0.2.7"))
        await trio.sleep(6)
        assert await ask(stream, GET) == b"192.0.2.7 4711"


async def test_the_bound_of_connections_is_each_clients(
    nursery: trio.Nursery, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the proxy's: one client takes no place of the others, and leaves its own again."""
    handle = await start(nursery, connections=8, connections_each=1)
    first, second, other = [await dial(handle) for _ in range(3)]
    assert await ask(first, named("192.0.2.7") + GET) == b"192.0.2.7 4711"
    await second.send_all(named("192.0.2.7", 1) + GET)
    assert await rest(second) == b""
    assert [record.__dict__["event"] for record in caplog.records] == ["client_refused"]
    assert await ask(other, named("192.0.2.8") + GET) == b"192.0.2.8 4711"
    await first.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    again = await dial(handle)
    assert await ask(again, named("192.0.2.7") + GET) == b"192.0.2.7 4711"
    direct = await dial(handle, OTHER)
    assert (await ask(direct, GET)).startswith(OTHER.encode())
    for stream in (second, other, again, direct):
        await stream.aclose()


async def test_the_share_of_memory_is_each_clients(nursery: trio.Nursery, clock: Clock) -> None:
    """What one client's answers hold leaves room for another's behind the same proxy."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (has_room := scope[RESERVATION].take_nowait(MIB)) and scope["path"] == "/all":
            pass
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
        )
        answer = b"room" if has_room else b"full"
        await send({"type": "http.response.body", "body": answer, "more_body": True})
        await receive()  # the end of the request
        await receive()  # the client has left

    trusts = SETTINGS.trust_predicate()
    limits = Limits(answers_bytes=16 * MIB)
    run = partial(serve, app, host="127.0.0.1", port=0, tls=None, trusts=trusts, limits=limits)
    handle = await nursery.start(run)
    said, streams = list[bytes](), list[trio.SocketStream]()
    for client, path in (("192.0.2.7", b"/all"), ("192.0.2.7", b"/"), ("192.0.2.8", b"/")):
        streams.append(stream := await dial(handle))
        said.append(await ask(stream, named(client) + GET.replace(b"/", path, 1)))
    for stream in streams:
        await stream.aclose()
    assert said == [b"full", b"full", b"room"]


async def test_a_drain_does_not_wait_for_it(clock: Clock) -> None:
    """A connection that has named no client yet ends at once."""
    async with trio.open_nursery() as nursery:
        handle = await start(nursery)
        stream = await dial(handle)
        await stream.send_all(named("192.0.2.7")[:5])
        await trio.testing.wait_all_tasks_blocked(0.01)
        began = trio.current_time()
        await handle.drain(5)
        assert await rest(stream) == b""
        await stream.aclose()
    assert trio.current_time() - began < 1
