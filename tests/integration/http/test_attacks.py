"""Attacks, each with a healthy client of both protocols going on beside it."""

import contextlib
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from protocols.http.asgi import Receive, Scope, Send

Fixture = Callable[..., Awaitable[Any]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CALM = 0xB  # ENHANCE_YOUR_CALM
GROWTH = 24 * 1024  # KiB that any one attack may add to the highest resident size


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer with its length; /early does not read, /wait waits for the end."""
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    size = 0
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


def resident() -> int:
    """Highest resident size of this process so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count


async def until(true: Callable[[], bool]) -> None:
    """Return once the server's other tasks have made it `true`."""
    with trio.fail_after(30):
        while not true():
            await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.fixture
async def target(
    serving: Fixture, dial_tls: Fixture, dial_h2: Fixture, certificates: Any
) -> AsyncIterator[Any]:
    """A server under attack. Its healthy clients are asked before, and again after."""
    handle = await serving(app, tls=certificates.config())
    one = await dial_tls(handle, certificates.context())
    two = await dial_h2(handle)

    async def check() -> None:
        with trio.fail_after(30):
            await one.send_all(GET)
            assert (await one.receive_some()).endswith(b"\r\n\r\n0")
            assert await two.answer(two.request()) == (200, b"0")

    await check()
    memory = resident()
    yield handle
    await check()
    assert resident() - memory < GROWTH
    await one.aclose()
    await two.stream.aclose()
    await until(lambda: not handle.connections())


def priority() -> bytes:
    """A PRIORITY frame."""
    frame = PriorityFrame(1)
    frame.depends_on, frame.stream_weight, frame.exclusive = 0, 1, False
    return frame.serialize()


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    frame = WindowUpdateFrame(stream)
    frame.window_increment = increment
    return frame.serialize()


@pytest.mark.parametrize(
    "frame",
    [
        SettingsFrame(0).serialize(),
        SettingsFrame(0, {1: 4096}).serialize(),
        PingFrame(0, b"12345678").serialize(),
        priority(),
        window_update(0, 1),
        b"\x00\x00\x00\xaa\x00\x00\x00\x00\x00",
    ],
    ids=["settings", "settings-value", "ping", "priority", "window", "unknown"],
)
async def test_frame_floods(target: Any, dial_h2: Fixture, frame: bytes) -> None:
    """Frames without use: GOAWAY with ENHANCE_YOUR_CALM (CVE-2019-9512, -9513, -9515)."""
    client = await dial_h2(target)
    await client.raw(frame * 1_500)
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_empty_data_flood(target: Any, dial_h2: Fixture) -> None:
    """DATA frames of nothing that never end their stream (CVE-2019-9518)."""
    client = await dial_h2(target)
    stream = client.request(end=False)
    await client.raw(DataFrame(stream, b"").serialize() * 1_500)
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_rapid_reset(target: Any, dial_h2: Fixture) -> None:
    """Open and cancel, again and again (CVE-2023-44487)."""
    client = await dial_h2(target)
    for _ in range(600):
        stream = client.request(path=b"/wait")
        client.engine.reset_stream(stream)
        if client.closed:
            break
        await client.raw(b"")
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_made_you_reset(target: Any, dial_h2: Fixture) -> None:
    """Make the server reset its own streams by overflowing their windows (CVE-2025-8671)."""
    client = await dial_h2(target)
    for _ in range(300):
        stream = client.request(path=b"/wait")
        await client.raw(window_update(stream, 2**31 - 1))
        if client.closed:
            break
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_continuation_flood(target: Any, dial_h2: Fixture) -> None:
    """A header block without end (CVE-2024-27316)."""
    client = await dial_h2(target)
    await client.raw(HeadersFrame(1, b"\x82").serialize())
    piece = ContinuationFrame(1, b"\x40\x01x\x7f\x00" * 200).serialize()
    for _ in range(60):
        await client.raw(piece)
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_empty_continuation_flood(target: Any, dial_h2: Fixture) -> None:
    """The same without any bytes."""
    client = await dial_h2(target)
    await client.raw(HeadersFrame(1, b"\x82").serialize())
    await client.raw(ContinuationFrame(1, b"").serialize() * 1_500)
    assert await client.until_closed() is not None
    await client.stream.aclose()


async def test_hpack_bomb(target: Any, dial_h2: Fixture) -> None:
    """A few bytes that unpack to megabytes (CVE-2016-6581)."""
    client = await dial_h2(target)
    client.request(*[(b"x-bomb", b"x" * 3_900)] * 10_000)
    await client.raw(b"")
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_huge_frame(target: Any, dial_h2: Fixture) -> None:
    """Sixteen megabytes in one frame: refused by its header, not collected."""
    client = await dial_h2(target)
    await client.raw(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
    assert await client.until_closed() == 0x6  # FRAME_SIZE_ERROR
    await client.stream.aclose()


async def test_window_overflow_of_the_connection(target: Any, dial_h2: Fixture) -> None:
    """RFC 9113 section 6.9.1: more than 2^31-1 is a connection error."""
    client = await dial_h2(target)
    await client.raw(window_update(0, 2**31 - 1) * 2)
    assert await client.until_closed() == 0x3  # FLOW_CONTROL_ERROR
    await client.stream.aclose()


async def test_stray_resets(target: Any, dial_h2: Fixture) -> None:
    """RST_STREAM on streams that are gone costs what any reset costs."""
    client = await dial_h2(target)
    assert (await client.answer(client.request()))[0] == 200
    await client.raw(RstStreamFrame(1).serialize() * 300)
    assert await client.until_closed() == CALM
    await client.stream.aclose()


async def test_more_streams_than_allowed(target: Any, dial_h2: Fixture) -> None:
    """The 101st concurrent stream is refused (RFC 9113 section 5.1.2), and the others go on."""
    client = await dial_h2(target)
    allow_any_number(client)
    streams = [client.request(path=b"/wait") for _ in range(150)]
    await client.answer(streams[-1])
    assert client.reset == dict.fromkeys(streams[100:], 7)  # REFUSED_STREAM
    client.engine.reset_stream(streams[0])
    await client.raw(b"")
    assert not client.closed
    await client.stream.aclose()


async def test_very_many_more_streams_than_allowed(target: Any, dial_h2: Fixture) -> None:
    """Who goes on against all refusals is cut off."""
    client = await dial_h2(target)
    allow_any_number(client)
    for _ in range(600):
        client.request(path=b"/wait")
    await client.raw(b"")
    assert await client.until_closed() == CALM
    await client.stream.aclose()


def allow_any_number(client: Any) -> None:
    """Have the client's library ignore our limit of streams."""
    client.engine.remote_settings.acknowledge()
    client.engine.remote_settings[3] = 10_000
    client.engine.remote_settings.acknowledge()


async def test_data_after_an_early_answer(target: Any, dial_h2: Fixture) -> None:
    """Rude clients that go on after their answer: the trap that ends Hypercorn after 24."""
    for _ in range(30):
        client = await dial_h2(target)
        stream = client.request(end=False, path=b"/early")
        await client.answer(stream)
        await client.raw(DataFrame(stream, b"x" * 1_000).serialize())
        await client.raw(DataFrame(stream, b"x" * 1_000, flags=["END_STREAM"]).serialize())
        assert (await client.answer(client.request()))[0] == 200
        await client.stream.aclose()


async def test_clients_that_end_with_streams_in_flight(
    target: Any, dial_h2: Fixture, certificates: Any
) -> None:
    """No task and no descriptor is left of them, however abruptly they went."""
    before = descriptors()
    for round_ in range(60):
        client = await dial_h2(target)
        for _ in range(8):
            client.request(path=b"/wait")
        await client.raw(b"")
        if round_ % 2:
            await trio.aclose_forcefully(client.stream)
        else:
            await client.raw(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
            await client.stream.aclose()
    await until(lambda: target.connections() <= 2 and descriptors() <= before)
    assert trio.lowlevel.current_statistics().tasks_living < 40


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n" + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nX: y\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: y\rGET / HTTP/1.1\r\n\r\n" + GET,
    ],
)
async def test_smuggled_requests(
    target: Any, dial_tls: Fixture, certificates: Any, raw: bytes
) -> None:
    """One refusal, no second answer, the connection closed."""
    stream = await dial_tls(target, certificates.context())
    await stream.send_all(raw)
    got = b""
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in stream:
            got += data
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.count(b"HTTP/1.1") == 1
    await stream.aclose()


async def test_endless_header(target: Any, dial_tls: Fixture, certificates: Any) -> None:
    """Headers without end are refused at the bound, and little of them is held."""
    stream = await dial_tls(target, certificates.context())
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n")
    with contextlib.suppress(trio.BrokenResourceError):
        for number in range(10_000):
            await stream.send_all(b"X-%d: %b\r\n" % (number, b"y" * 1_000))
    await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_above_the_limit(
    target: Any, dial_tls: Fixture, certificates: Any, chunked: bool
) -> None:
    """100 MB in chunks are refused on their way; declared, before their first byte."""
    stream = await dial_tls(target, certificates.context())
    if chunked:
        await stream.send_all(
            b"POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        with contextlib.suppress(trio.BrokenResourceError):
            for _ in range(1_600):
                await stream.send_all(piece)
    else:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 413")
    await trio.aclose_forcefully(stream)


async def test_crowd_of_slow_clients(serving: Fixture) -> None:
    """Slowloris from many connections: all cut in time, a healthy client served throughout."""
    handle = await serving(app, header_seconds=0.5, idle_seconds=0.5, close_seconds=0.2)
    crowd = [await trio.open_tcp_stream("127.0.0.1", handle.port) for _ in range(100)]
    for stream in crowd:
        await stream.send_all(b"GET / HTTP/1.1\r\nX-")
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", handle.port) as healthy:
            while handle.connections() > 1:
                await healthy.send_all(GET)
                assert (await healthy.receive_some()).endswith(b"0")
    for stream in crowd:
        await stream.aclose()


async def test_slow_readers_of_large_answers(serving: Fixture) -> None:
    """Clients that never read their answers are cut; one that reads gets its own."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 8_000_000})

    limits = {"write_seconds": 0.5, "write_rate": 100_000_000, "close_seconds": 0.2}
    handle = await serving(large, **limits)
    crowd = [await trio.open_tcp_stream("127.0.0.1", handle.port) for _ in range(10)]
    for stream in crowd:
        await stream.send_all(GET)
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", handle.port) as healthy:
            await healthy.send_all(GET)
            size = 0
            while size < 8_000_000:
                size += len(await healthy.receive_some())
            await until(lambda: handle.connections() == 1)
    for stream in crowd:
        await stream.aclose()
