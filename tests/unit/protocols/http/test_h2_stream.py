"""What protocols.http.h2_stream promises."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from protocols.http.asgi import RESERVATION, App, Message, Receive, Scope, Send
from protocols.http.h2_connection import H2Connection
from protocols.http.limits import MIB
from protocols.http.response_budget import WAIT

Clock = trio.testing.MockClock
Dial = Callable[..., Awaitable[Any]]


@pytest.fixture
def dial(wired: Callable[..., Awaitable[Any]], h2_client: Callable[[Any], Any]) -> Dial:
    """An HTTP/2 client of an app, within the limits named."""

    async def start(app: App, **limits: float) -> Any:
        return h2_client(await wired(app, H2Connection, **limits))

    return start


async def read_all(receive: Receive) -> bytes | None:
    """The whole request body, or None if the client left."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send: Send, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with method and body."""
    body = await read_all(receive)
    if body is not None:
        await reply(send, scope["method"].encode() + b" " + body)


async def early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await reply(send, b"no")


def big(size: int) -> App:
    """Answer with so many bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"x" * size)

    return app


async def test_large_bodies_go_both_ways_within_windows(dial: Dial, clock: Clock) -> None:
    """Flow control holds both sides back and lets everything through in the end."""
    client = await dial(echo)
    stream = client.request(end=False)
    window = client.engine.local_flow_control_window
    left = 1_000_000
    while left:
        await client.until(lambda: window(stream) > 0)
        size = min(left, window(stream), 16_384)
        client.engine.send_data(stream, b"x" * size, end_stream=size == left)
        left -= size
    answer = await client.answer(stream)
    assert len(answer.body) == 1_000_004


async def test_stream_of_parts_arrives_as_it_is_sent(dial: Dial, clock: Clock) -> None:
    """Each part leaves at once; the end may be empty."""
    go = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with trio.testing.assert_checkpoints():
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        await send({"type": "http.response.body"})

    client = await dial(app)
    stream = client.request()
    answer = client.answers[stream]
    await client.until(lambda: answer.body == b"one")
    go.set()
    assert (await client.answer(stream)).body == b"onetwo"
    assert b"content-length" not in answer.headers


async def test_refused_request_is_answered_on_its_stream_alone(dial: Dial, clock: Clock) -> None:
    """A bad stream says why; the next one is served."""
    client = await dial(echo)
    answer = await client.answer(client.request((b"content-length", b"33554433"), end=False))
    assert answer.status == 413
    assert len(json.loads(answer.body)["errors"]) == 1
    assert (await client.answer(client.request())).status == 200


async def test_body_above_the_limit_is_refused_while_it_comes(dial: Dial, clock: Clock) -> None:
    """The handler is told that the rest will not come; the client gets 413."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1]["type"] == "http.request":
            seen.append(await receive())
        await reply(send, b"ignored")

    client = await dial(app, body_bytes=10)
    stream = client.request(end=False)
    client.engine.send_data(stream, b"12345678")
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    client.engine.send_data(stream, b"12345678")
    assert (await client.answer(stream)).status == 413
    assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]
    assert (await client.answer(client.request())).body == b"ignored"


async def test_data_after_an_early_answer_hurts_nobody(dial: Dial, clock: Clock) -> None:
    """The trap that kills Hypercorn: a client that goes on after its 401."""
    client = await dial(early)
    stream = client.request(end=False)
    answer = client.answers[stream]
    await client.until(lambda: answer.whole)
    assert answer.body == b"no"
    for _ in range(20):
        frame = b"\x00\x40\x00\x00\x00" + stream.to_bytes(4, "big") + b"x" * 16_384
        await client.wire.send(frame)
    assert (await client.answer(client.request())).body == b"no"
    window = client.engine.outbound_flow_control_window
    assert window > 700_000  # what was thrown away was given back to the connection


async def test_unread_body_is_not_needed_after_the_answer(dial: Dial, clock: Clock) -> None:
    """RFC 9113 section 8.1: RST_STREAM(NO_ERROR) after a whole early answer."""
    client = await dial(early)
    stream = client.request(end=False)
    answer = client.answers[stream]
    await client.until(lambda: answer.reset is not None)
    assert (answer.whole, answer.body, answer.reset) == (True, b"no", 0)


async def test_expectation_is_met_when_the_body_is_wanted(dial: Dial, clock: Clock) -> None:
    """An informational 100 goes out when the handler reads."""
    client = await dial(echo)
    stream = client.request((b"expect", b"100-continue"), end=False)
    informed = []
    answer = client.answers[stream]
    client._on_event = lambda event: informed.append(type(event).__name__)
    await client.until(lambda: "InformationalResponseReceived" in informed)
    del client._on_event
    client.engine.send_data(stream, b"abc", end_stream=True)
    await client.until(lambda: answer.whole)
    assert answer.body == b"GET abc"


@pytest.mark.parametrize("begun", [False, True])
async def test_exception_ends_its_stream_alone(dial: Dial, clock: Clock, begun: bool) -> None:
    """500 if nothing was sent, a reset if half an answer was; other streams go on."""
    fail = True

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not fail:
            await reply(send, b"fine")
            return
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    client = await dial(app)
    answer = await client.answer(client.request())
    assert (answer.status, answer.reset) == ((200, 2) if begun else (500, None))
    fail = False
    assert (await client.answer(client.request())).body == b"fine"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"type": "http.response.body", "body": b""}],
        [{"type": "http.response.start", "status": 200}] * 2,
        [{"type": "http.response.start", "status": 99}],
        [{"type": "nonsense"}],
        [
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]},
            {"type": "http.response.body", "body": b"abc"},
        ],
        [
            {"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]},
            {"type": "http.response.body", "body": b"abc"},
        ],
    ],
)
async def test_broken_contract_is_a_500(
    dial: Dial, clock: Clock, messages: list[dict[str, Any]]
) -> None:
    """The ASGI contract is checked as on HTTP/1.1."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(dict(message))

    client = await dial(app)
    assert (await client.answer(client.request())).status == 500


async def test_declared_length_that_is_not_kept_resets(dial: Dial, clock: Clock) -> None:
    """Once the head is out, only a reset says that the body is wrong."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"cd"})

    client = await dial(app)
    assert (await client.answer(client.request())).reset == 2


async def test_the_application_may_end_the_connection(dial: Dial, clock: Clock) -> None:
    """Its answer arrives, and then a GOAWAY (RFC 9113, section 8.2.2: there is no such field)."""

    async def last(_scope: Scope, _receive: Receive, send: Send) -> None:
        await reply(send, b"sealed", (b"connection", b"close"))

    client = await dial(last)
    answer = await client.answer(client.request())
    assert answer.body == b"sealed"
    assert b"connection" not in dict(answer.headers)
    await client.until(lambda: client.goaway is not None)
    await client.wire.rest()
    await client.wire.stream.aclose()
    await client.wire.ended.wait()


async def test_reset_reaches_the_handler_and_does_not_cancel_it(dial: Dial, clock: Clock) -> None:
    """Work that was begun may be finished; what is sent then goes nowhere."""
    committed = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await trio.sleep(20)  # less than linger_seconds
        committed.set()
        await reply(send, b"to nobody" * 20_000)

    client = await dial(app)
    stream = client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    client.engine.reset_stream(stream)
    await client.flush()
    await committed.wait()


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_client_that_left_waits_for_no_room(dial: Dial, clock: Clock, how: str) -> None:
    """Its request gives up its place among those that wait for memory, though nobody listens."""
    given_up = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reservation = scope[RESERVATION]
        assert await reservation.take(64 * MIB)
        assert not await reservation.take(64 * MIB)
        given_up.set()

    client = await dial(app, answers_bytes=64 * MIB)
    stream = client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    if how == "reset":
        client.engine.reset_stream(stream)
        await client.flush()
    else:
        await client.wire.stream.aclose()
    with trio.fail_after(WAIT / 2):
        await given_up.wait()


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_handler_of_a_client_that_left_has_bounded_time(
    dial: Dial, clock: Clock, how: str
) -> None:
    """It does not outlive `linger_seconds`, and neither does the connection."""
    cancelled = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.set()
            raise

    client = await dial(app, linger_seconds=8)
    stream = client.request()
    await client.flush()
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    if how == "reset":
        client.engine.reset_stream(stream)
        await client.flush()
    else:
        await client.wire.stream.aclose()
        await client.wire.ended.wait()
    await cancelled.wait()
    assert 8 <= trio.current_time() - began <= 10


@pytest.mark.parametrize("trickle", [False, True])
async def test_slow_body_is_cut(dial: Dial, clock: Clock, trickle: bool) -> None:
    """A body has to make progress, not only signs of life; the stream ends with 408."""
    client = await dial(echo, body_seconds=10, body_progress=1_000)
    stream = client.request(end=False)
    await client.flush()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def drip() -> None:
            while trickle:
                await trio.sleep(1)
                client.engine.send_data(stream, b"x")
                await client.flush()

        nursery.start_soon(drip)
        answer = await client.answer(stream)
        nursery.cancel_scope.cancel()
    assert answer.status == 408
    assert 10 <= trio.current_time() - began <= 13


@pytest.mark.parametrize("trickle", [False, True])
async def test_reader_without_window_is_reset(dial: Dial, clock: Clock, trickle: bool) -> None:
    """Who never opens its window, or by single bytes, holds the handler for a bounded time."""
    client = await dial(big(200_000), write_seconds=5, write_rate=100_000)
    client.acknowledge = False
    began, stream = trio.current_time(), client.request()
    async with trio.open_nursery() as nursery:

        async def open_slowly() -> None:
            while trickle:
                await trio.sleep(1)
                client.engine.increment_flow_control_window(1)
                client.engine.increment_flow_control_window(1, stream)
                await client.flush()

        nursery.start_soon(open_slowly)
        answer = await client.answer(stream)
        nursery.cancel_scope.cancel()
    assert answer.reset == 8
    assert 5 <= trio.current_time() - began <= 9


async def test_bodies_beyond_the_budget_are_refused(dial: Dial, clock: Clock) -> None:
    """503 with a time to come back, on that stream alone; the budget is whole again afterwards."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        await reply(send, b"done")

    client = await dial(app, bodies_bytes=200_000)
    bodies = client.wire.connection.state.body_budget
    statuses = []
    for others in (0, 140_000, 0):
        assert bodies.try_reserve(0, others)
        stream = client.request(method=b"POST", end=False)
        client.engine.send_data(stream, b"x" * 16_000)
        client.engine.send_data(stream, b"x" * 4_000, end_stream=True)
        answer = await client.answer(stream)
        statuses.append((answer.status, answer.headers.get(b"retry-after")))
        await trio.testing.wait_all_tasks_blocked()
        assert bodies.held == others
        bodies.release_body(others)
    assert statuses == [(200, None), (503, b"1"), (200, None)]
