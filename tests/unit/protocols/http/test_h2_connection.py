"""What protocols.http.h2_connection promises."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from hyperframe.frame import HeadersFrame, PingFrame, SettingsFrame

from protocols.http.asgi import App, Receive, Scope, Send
from protocols.http.h2_connection import H2Connection
from protocols.http.limits import Limits

Clock = trio.testing.MockClock
Dial = Callable[..., Awaitable[Any]]
LULL = Limits().delay_seconds / 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()


@pytest.fixture
def dial(wired: Callable[..., Awaitable[Any]], h2_client: Callable[[Any], Any]) -> Dial:
    """An HTTP/2 client of an app, within the limits named."""

    async def start(app: App, **limits: float) -> Any:
        return h2_client(await wired(app, H2Connection, **limits))

    return start


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """A small answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def waiting(go: trio.Event) -> App:
    """The same once `go` is set."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await hello(scope, receive, send)

    return app


async def test_one_turn_is_one_send(dial: Dial, clock: Clock) -> None:
    """Answers of many handlers that run in the same turn leave together."""
    client = await dial(hello)
    await client.answer(client.request())
    await trio.testing.wait_all_tasks_blocked()
    streams = [client.request() for _ in range(20)]
    await client.flush()
    data = await client.wire.stream.receive_some()
    assert data.count(b"hello") == len(streams)


async def test_all_of_many_large_header_blocks_are_answered(dial: Dial, clock: Clock) -> None:
    """Those too that came with more than is decoded in one turn."""
    client = await dial(hello)
    more = [(b"x-%d" % n, b"value") for n in range(90)]
    streams = [client.request(*more) for _ in range(40)]
    for stream in streams:
        assert (await client.answer(stream)).body == b"hello"


async def test_reset_streams_count_while_their_handlers_run(dial: Dial, clock: Clock) -> None:
    """Rapid reset does not multiply handlers: no more run than streams are allowed."""
    running = 0
    most = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await trio.sleep_forever()
        finally:
            running -= 1

    client = await dial(app, streams=5, linger_seconds=8)
    streams = []
    for _ in range(30):
        stream = client.request()
        client.engine.reset_stream(stream)
        streams.append(stream)
        await client.flush()
    last = client.request()
    assert (await client.answer(last)).reset == 7  # REFUSED_STREAM
    assert most == 5
    await trio.sleep(10)
    assert running == 0


async def test_violation_tells_handlers_and_closes_before_they_end(
    dial: Dial, clock: Clock
) -> None:
    """The socket of a client that broke the protocol does not wait for the handlers."""
    told = trio.Event()
    go = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        told.set()
        await go.wait()
        await hello(scope, receive, send)

    client = await dial(app)
    client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    await client.wire.send(b"\x00\x00\x00\x09\x04\x00\x00\x00\x01")
    await told.wait()
    await client.wire.rest()
    assert not client.wire.ended.is_set()
    go.set()
    await client.wire.ended.wait()


async def test_client_that_leaves_leaves_nothing_behind(dial: Dial, clock: Clock) -> None:
    """Streams in flight end with their connection; none of their handlers is lost half way."""
    go = trio.Event()
    finished = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal finished
        await go.wait()
        await hello(scope, receive, send)
        finished += 1

    client = await dial(app)
    for _ in range(20):
        client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    await client.wire.stream.aclose()
    go.set()
    await client.wire.ended.wait()
    assert finished == 20
    assert not client.wire.connection._streams


@pytest.mark.parametrize("whole", [True, False])
async def test_who_waits_for_a_window_is_told_that_his_client_left(
    dial: Dial, clock: Clock, *, whole: bool
) -> None:
    """By a reset, or by the end of the connection: at once, not when his time for writing ends."""
    done = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 100_000})
        done.set()

    client = await dial(app)
    stream = client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    if whole:
        await client.wire.stream.aclose()
    else:
        client.engine.reset_stream(stream)
        await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert done.is_set()


async def test_goaway_from_the_client_lets_streams_end(dial: Dial, clock: Clock) -> None:
    """RFC 9113 section 6.8."""
    go = trio.Event()
    client = await dial(waiting(go))
    client.request()
    await client.flush()
    await client.wire.send(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
    await trio.testing.wait_all_tasks_blocked()
    go.set()
    got = b""
    while b"hello" not in got:
        got += await client.wire.stream.receive_some()


async def test_drain_announces_and_waits(dial: Dial, clock: Clock) -> None:
    """Streams in flight end whole, after a GOAWAY that excludes none; then the connection ends."""
    go = trio.Event()
    client = await dial(waiting(go))
    stream = client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    client.wire.connection.drain()
    got = b""
    while b"\xff\xff\xff" not in got:  # GOAWAY, last stream 2^31 - 1
        got += await client.wire.stream.receive_some()
    await trio.sleep(30)
    go.set()
    got = await client.wire.rest()
    assert got.index(b"hello") < got.index(stream.to_bytes(4, "big") + bytes(4))
    await client.wire.ended.wait()


async def test_drain_of_an_idle_connection_is_quick(dial: Dial, clock: Clock) -> None:
    """One tick for the announcement to arrive."""
    client = await dial(hello)
    await client.answer(client.request())
    began = trio.current_time()
    client.wire.connection.drain()
    await client.wire.rest()
    assert trio.current_time() - began <= 3
    await client.wire.stream.aclose()
    await client.wire.ended.wait()


async def test_idle_connection_ends_pings_or_not(dial: Dial, clock: Clock) -> None:
    """Only streams keep a connection; PINGs do not."""
    client = await dial(hello, idle_seconds=20)
    await client.answer(client.request())
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def ping() -> None:
            while True:
                await trio.sleep(2)
                client.engine.ping(b"12345678")
                await client.flush()

        nursery.start_soon(ping)
        await client.until(lambda: client.goaway is not None)
        nursery.cancel_scope.cancel()
    assert client.goaway == 0
    assert 20 <= trio.current_time() - began <= 22


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (b"", 10),
        (b"PRI * HT", 75),
        (PREFACE, 75),
        (PREFACE + HeadersFrame(1, b"\x82").serialize(), 10),
    ],
    ids=["silent", "preface", "settings", "headers"],
)
async def test_unfinished_beginnings_are_cut(
    dial: Dial, clock: Clock, data: bytes, seconds: int
) -> None:
    """Slowloris over HTTP/2: `header_seconds` for a header block, `idle_seconds` for the rest."""
    client = await dial(hello)
    began = trio.current_time()
    if data:
        await client.wire.send(data)
    await client.wire.rest()
    assert seconds <= trio.current_time() - began <= seconds + 2


async def test_slow_socket_reader_is_cut(dial: Dial, clock: Clock) -> None:
    """A client that opens its windows and then does not read is cut, streams and all."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 4_000_000})

    client = await dial(app, write_seconds=5, write_rate=10_000_000)
    client.engine.increment_flow_control_window(2**30)
    stream = client.request()
    client.engine.increment_flow_control_window(2**30, stream)
    await client.flush()
    await client.wire.ended.wait()
    assert trio.current_time() <= 20


async def test_answers_to_a_peer_that_does_not_read_are_bounded(dial: Dial, clock: Clock) -> None:
    """PING answers pile up only to the bound; then nothing more is read."""
    client = await dial(hello, output_bytes=20_000, frame_burst=10_000_000)
    await client.flush()
    with trio.move_on_after(3) as scope:
        for _ in range(100):
            await client.wire.send(PingFrame(0, b"12345678").serialize() * 10_000)
    assert scope.cancelled_caught
    connection = client.wire.connection
    assert connection.machine.queued_bytes + connection._in_flight < 300_000


async def test_too_many_requests_are_turned_away(dial: Dial, clock: Clock) -> None:
    """503 at once, with a body or without; what is urgent, and what is in hand, is answered."""
    go = trio.Event()
    client = await dial(waiting(go), in_hand=2, urgent_in_hand=1)
    admission = client.wire.connection.state.admission
    taken = [client.request(), client.request()]
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    refused = [client.request(), client.request(end=False, method=b"POST"), client.request()]
    client.engine.send_data(refused[1], b"x" * 100)
    answers = [await client.answer(stream) for stream in refused]
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert {answer.headers[b"retry-after"] for answer in answers} == {b"1"}
    urgent = client.request(path=b"/urgent")
    await client.flush()
    await trio.sleep(2 * LULL)
    assert (admission.in_flight, admission.refusals) == (3, 3)
    go.set()
    assert [(await client.answer(s)).status for s in (*taken, urgent)] == [200] * 3
    await trio.testing.wait_all_tasks_blocked()
    assert admission.in_flight == 0


async def test_reads_are_served_beside_writes_that_wait(dial: Dial, clock: Clock) -> None:
    """A disk that stalls holds up what waits for it, and no more than three quarters of all."""
    go = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (hello if scope["method"] == "GET" else waiting(go))(scope, receive, send)

    client = await dial(app, in_hand=8)
    writes = [client.request(method=b"POST") for _ in range(10)]
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(5):
        assert (await client.answer(client.request())).status == 200
    assert (await client.answer(client.request(method=b"PUT"))).status == 503
    go.set()
    statuses = [(await client.answer(stream)).status for stream in writes]
    assert statuses == [200] * 6 + [503] * 4
    await trio.testing.wait_all_tasks_blocked()
    admission = client.wire.connection.state.admission
    assert (admission.in_flight, admission.mutating) == (0, 0)


async def test_who_was_turned_away_is_read_a_moment_later(dial: Dial, clock: Clock) -> None:
    """Many requests then share a read and a send; what is in hand is answered meanwhile."""
    go = trio.Event()
    client = await dial(waiting(go), in_hand=1)
    taken = client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert (await client.answer(client.request())).status == 503
    began, later = trio.current_time(), client.request()
    await client.flush()
    go.set()
    assert (await client.answer(taken)).status == 200
    assert trio.current_time() == began
    assert (await client.answer(later)).status == 200
    assert trio.current_time() - began == pytest.approx(LULL)


async def test_a_drain_reaches_a_connection_that_is_not_read(dial: Dial, clock: Clock) -> None:
    """Its end comes with the next tick, not with the idle time."""
    client = await dial(hello, in_hand=1, delay_seconds=10, idle_seconds=1000)
    connection = client.wire.connection
    assert connection.state.admission.try_admit()  # somebody else's
    assert (await client.answer(client.request())).status == 503
    connection.drain()
    with trio.fail_after(10):
        await client.wire.ended.wait()


async def test_a_burst_in_one_read_is_cut_at_the_limit(dial: Dial, clock: Clock) -> None:
    """The requests of one packet are counted one by one."""
    go = trio.Event()
    client = await dial(waiting(go), in_hand=3)
    streams = [client.request() for _ in range(10)]
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    go.set()
    statuses = [(await client.answer(stream)).status for stream in streams]
    assert statuses == [200] * 3 + [503] * 7


async def test_a_slow_upload_takes_no_place(dial: Dial, clock: Clock) -> None:
    """While a body is awaited, its request is not in hand."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await hello(scope, receive, send)

    client = await dial(app, in_hand=1)
    admission = client.wire.connection.state.admission
    slow = client.request(end=False, method=b"POST")
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert admission.in_flight == 0
    assert (await client.answer(client.request())).status == 200
    client.engine.end_stream(slow)
    assert (await client.answer(slow)).status == 200
    await trio.testing.wait_all_tasks_blocked()
    assert admission.in_flight == 0
