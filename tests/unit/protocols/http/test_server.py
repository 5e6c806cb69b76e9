"""What protocols.http.server promises."""

import errno
import gc
import logging
import os
import socket
from functools import partial
from typing import NoReturn

import pytest
import trio
import trio.testing

from protocols.http import Limits, Listener, ServerHandle, serve
from protocols.http.asgi import App, Receive, Scope, Send
from protocols.http.trusted_proxies import ForwardingHeader, TrustedProxies

Clock = trio.testing.MockClock
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """A small answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def start(nursery: trio.Nursery, app: App, **more: object) -> ServerHandle:
    """A server on a free port."""
    run = partial(serve, app, host="127.0.0.1", port=0, tls=None, **more)  # type: ignore[arg-type]
    handle: ServerHandle = await nursery.start(run)
    return handle


async def dial(handle: ServerHandle) -> trio.SocketStream:
    """A connection to it."""
    return await trio.open_tcp_stream("127.0.0.1", handle.port)


async def ask(stream: trio.SocketStream) -> bytes:
    """One request; its answer in one piece."""
    await stream.send_all(GET)
    return await stream.receive_some()


async def rest(stream: trio.SocketStream) -> bytes:
    """Everything until the end, cleanly or not."""
    data = b""
    try:
        async for piece in stream:
            data += piece
    except trio.BrokenResourceError:
        pass
    return data


async def test_port_is_open_when_serve_has_started(nursery: trio.Nursery, clock: Clock) -> None:
    """Port 0 lets the kernel choose; the handle says what it chose."""
    handle = await start(nursery, hello)
    assert handle.port > 0
    async with await dial(handle) as stream:
        assert (await ask(stream)).endswith(b"hello")


async def test_address_in_use_is_an_error(nursery: trio.Nursery, clock: Clock) -> None:
    """Nothing starts half; the error names the address."""
    handle = await start(nursery, hello)
    with pytest.raises(OSError, match=rf"in use.*127\.0\.0\.1:{handle.port}"):
        await serve(hello, host="127.0.0.1", port=handle.port, tls=None)


async def test_scope_names_both_ends(nursery: trio.Nursery, clock: Clock) -> None:
    """Client and server addresses, the scheme, and no lifespan."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await hello(scope, receive, send)

    handle = await start(nursery, app)
    async with await dial(handle) as stream:
        await ask(stream)
        own = stream.socket.getsockname()[:2]
    assert [scope["type"] for scope in seen] == ["http"]
    assert seen[0]["client"] == own
    assert seen[0]["server"] == ("127.0.0.1", handle.port)
    assert (seen[0]["scheme"], seen[0]["extensions"]) == ("http", {})


async def test_date_comes_from_the_clock_given(nursery: trio.Nursery, clock: Clock) -> None:
    """No clock, no Date; RFC 9110 section 6.6.1."""
    handle = await start(nursery, hello, wall_clock=lambda: 0.0)
    async with await dial(handle) as stream:
        assert b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" in await ask(stream)
    handle = await start(nursery, hello)
    async with await dial(handle) as stream:
        assert b"date:" not in await ask(stream)


async def test_refusals_are_worded_by_the_owner(nursery: trio.Nursery, clock: Clock) -> None:
    """`refuse` gives headers and body of the server's own answers."""
    asked = []

    def refuse(status: int, code: str, message: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        asked.append((status, code, message))
        return [(b"x-refused", b"yes")], b"<no>"

    handle = await start(nursery, hello, refuse=refuse)
    async with await dial(handle) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        data = await rest(stream)
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\nx-refused: yes\r\n")
    assert data.endswith(b"<no>")
    assert [(status, code) for status, code, _ in asked] == [(400, "bad_host")]


async def test_a_refusal_of_what_was_not_read_does_not_wait_for_ever(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """An application that does not answer: 503, and who has left holds no connection."""
    waiting, over = trio.Event(), trio.Event()

    def told(connections: int) -> None:
        if not connections:
            over.set()

    async def refuse_unread(error: object, client: object) -> NoReturn:
        waiting.set()
        await trio.sleep_forever()
        raise AssertionError

    limits = Limits(linger_seconds=1)
    handle = await start(
        nursery, hello, refuse_unread=refuse_unread, limits=limits, on_connections=told
    )
    gone = await dial(handle)
    await gone.send_all(b"BAD\r\n\r\n")
    await waiting.wait()
    await gone.aclose()
    async with await dial(handle) as stream:
        await stream.send_all(b"BAD\r\n\r\n")
        with trio.fail_after(60):
            assert (await rest(stream)).startswith(b"HTTP/1.1 503 ")
    with trio.fail_after(60):
        await over.wait()


async def test_connections_are_counted_and_told(nursery: trio.Nursery, clock: Clock) -> None:
    """`connections` and `on_connections` agree, and return to nothing."""
    told: list[int] = []
    handle = await start(nursery, hello, on_connections=told.append)
    one, two = await dial(handle), await dial(handle)
    await ask(one)
    await ask(two)
    assert handle.connections() == 2
    await one.aclose()
    await two.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert handle.connections() == 0
    assert told[-1] == 0
    assert max(told) == 2


async def test_connections_are_bounded(
    nursery: trio.Nursery, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Above the bound a connection is closed at once; those before it go on."""
    handle = await start(nursery, hello, limits=Limits(connections=2))
    one, two = await dial(handle), await dial(handle)
    await ask(one)
    await ask(two)
    three = await dial(handle)
    assert await rest(three) == b""
    assert (await ask(one)).endswith(b"hello")
    await two.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    four = await dial(handle)
    assert (await ask(four)).endswith(b"hello")
    assert caplog.records[0].__dict__["event"] == "connection_refused"
    for stream in (one, three, four):
        await stream.aclose()


async def test_our_own_fault_in_one_connection_stays_there(
    nursery: trio.Nursery,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even a bug in the server ends one connection and is logged; the others never know."""
    handle = await start(nursery, hello)
    healthy = await dial(handle)
    await ask(healthy)
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "freehold.http"):
        patch.setattr("protocols.http.server.H1Connection", lambda *_: 1 // 0)
        broken = await dial(handle)
        assert await rest(broken) == b""
    assert caplog.records[0].__dict__["event"] == "connection_failed"
    assert "ZeroDivisionError" in caplog.text
    assert (await ask(healthy)).endswith(b"hello")
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert handle.connections() == 1
    for stream in (healthy, broken):
        await stream.aclose()


async def test_exception_group_from_a_handler_stays_there(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """A handler's nursery may fail with a group; the client gets its 500."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def fail() -> None:
            raise ValueError

        async with trio.open_nursery() as inner:
            inner.start_soon(fail)
            inner.start_soon(trio.sleep_forever)

    handle = await start(nursery, app)
    async with await dial(handle) as stream:
        assert (await ask(stream)).startswith(b"HTTP/1.1 500")
    async with await dial(handle) as stream:
        assert (await ask(stream)).startswith(b"HTTP/1.1 500")


async def test_half_an_answer_ends_in_a_reset(nursery: trio.Nursery, clock: Clock) -> None:
    """Where the end of the connection ends the body, a clean end would make half look whole."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    handle = await start(nursery, app)
    async with await dial(handle) as stream:
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        with pytest.raises(trio.BrokenResourceError):
            [_ async for _ in stream]


async def test_exhaustion_is_waited_out(
    nursery: trio.Nursery,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without descriptors for a new connection the server goes on and tries again."""
    handle = await start(nursery, hello)
    real = Listener.accept
    left = [2]

    def accept(self: Listener) -> socket.socket | None:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return real(self)

    monkeypatch.setattr(Listener, "accept", accept)
    with caplog.at_level(logging.ERROR, "freehold.http"):
        async with await dial(handle) as stream:
            assert (await ask(stream)).endswith(b"hello")
    assert [record.__dict__["event"] for record in caplog.records] == ["accept_failed"] * 2


async def test_drain_ends_serve(clock: Clock) -> None:
    """After a drain nothing listens, nothing is open, and `serve` has returned."""
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, hello)
        stream = await dial(handle)
        await ask(stream)
        await handle.drain(5)
    assert handle.connections() == 0
    assert await rest(stream) == b""
    await stream.aclose()
    with pytest.raises(OSError, match="all attempts"):
        await dial(handle)


async def test_drain_waits_for_answers_in_flight(clock: Clock) -> None:
    """An answer that takes less than the grace is whole."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep(4)
        await hello(scope, receive, send)

    async with trio.open_nursery() as nursery:
        handle = await start(nursery, app)
        stream = await dial(handle)
        await stream.send_all(GET)
        await trio.testing.wait_all_tasks_blocked(0.01)
        began = trio.current_time()
        nursery.start_soon(handle.drain, 10)
        data = await rest(stream)
        await stream.aclose()
    assert data.endswith(b"hello")
    assert b"connection: close\r\n" in data
    assert trio.current_time() - began < 8


async def test_drain_cuts_what_outlives_its_grace(clock: Clock) -> None:
    """A handler without end is cancelled, once; the drain takes no longer than it was given."""
    cancelled = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with trio.open_nursery() as nursery:
        handle = await start(nursery, app)
        stream = await dial(handle)
        await stream.send_all(GET)
        await trio.testing.wait_all_tasks_blocked(0.01)
        began = trio.current_time()
        nursery.start_soon(handle.drain, 1)
        await handle.drain(5)
        assert await rest(stream) == b""
        await stream.aclose()
    assert cancelled.is_set()
    assert trio.current_time() - began <= 1


async def test_cancelling_serve_closes_everything(clock: Clock) -> None:
    """No socket and no task outlives the server."""
    gc.collect()  # what earlier tests have left
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    async with trio.open_nursery() as nursery:
        handle = await start(nursery, hello)
        streams = [await dial(handle) for _ in range(20)]
        for stream in streams:
            await ask(stream)
        nursery.cancel_scope.cancel()
    for stream in streams:
        await trio.aclose_forcefully(stream)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count


async def test_one_client_does_not_take_all_connections(
    nursery: trio.Nursery, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each address has its own bound below that of all; what ends makes room for what comes."""
    handle = await start(nursery, hello, limits=Limits(connections=4, connections_each=2))
    one, two = await dial(handle), await dial(handle)
    await ask(one)
    await ask(two)
    refused = await dial(handle)
    assert await rest(refused) == b""
    other = await trio.open_tcp_stream("127.0.0.1", handle.port, local_address="127.0.0.2")
    assert (await ask(other)).endswith(b"hello")
    await two.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    again = await dial(handle)
    assert (await ask(again)).endswith(b"hello")
    assert caplog.records[0].__dict__["event"] == "client_refused"
    for stream in (one, refused, other, again):
        await stream.aclose()


async def test_a_proxy_has_the_connections_of_its_clients(
    nursery: trio.Nursery, clock: Clock
) -> None:
    """No bound but that of all counts where `trusts` says so."""
    limits = Limits(connections=4, connections_each=1)
    trusts = TrustedProxies(["127.0.0.1"], ForwardingHeader.X_FORWARDED_FOR).trust
    handle = await start(nursery, hello, limits=limits, trusts=trusts)
    streams = [await dial(handle) for _ in range(3)]
    for stream in streams:
        assert (await ask(stream)).endswith(b"hello")
    for stream in streams:
        await stream.aclose()
