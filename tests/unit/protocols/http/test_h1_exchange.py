"""What protocols.http.h1_exchange promises."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from protocols.http.asgi import Message, Receive, Scope, Send

Clock = trio.testing.MockClock
Wired = Callable[..., Awaitable[Any]]  # the fixture of conftest.py
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", path: bytes = b"/") -> bytes:
    """A POST with these header lines."""
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: a", *lines, b"", body])


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


async def reply(send: Send, body: bytes = b"", status: int = 200) -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with method, path and body."""
    body = await read_all(receive)
    if body is not None:
        await reply(send, f"{scope['method']} {scope['path']} ".encode() + body)


async def early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await reply(send, b"no", 401)


async def test_small_body_is_there_without_waiting(wired: Wired, clock: Clock) -> None:
    """A body that came with its head is received without a checkpoint."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with trio.testing.assert_no_checkpoints():
            message = await receive()
        await reply(send, message["body"])

    wire = await wired(app)
    assert (await wire.ask(post(b"Content-Length: 3", body=b"abc"))).body == b"abc"
    assert (await wire.ask(GET)).body == b""


async def test_body_comes_in_parts(wired: Wired, clock: Clock) -> None:
    """A long body is handed on as it arrives."""
    wire = await wired(echo)
    await wire.send(post(b"Content-Length: 5", body=b"ab"))
    await trio.testing.wait_all_tasks_blocked()
    await wire.send(b"cde")
    assert (await wire.answers())[0].body == b"POST / abcde"


async def test_body_above_the_limit_is_refused_while_it_comes(wired: Wired, clock: Clock) -> None:
    """A chunked body has no length to refuse: the handler is told that it will not come."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1]["type"] == "http.request":
            seen.append(await receive())
        await reply(send, b"ignored")

    wire = await wired(app, body_bytes=10)
    await wire.send(post(b"Transfer-Encoding: chunked", body=b"8\r\n12345678\r\n"))
    await trio.testing.wait_all_tasks_blocked()
    await wire.send(b"8\r\n12345678\r\n")
    answers = await wire.answers(2)
    assert [answer.status for answer in answers] == [413]
    assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]


async def test_expectation_is_met_only_when_the_body_is_wanted(wired: Wired, clock: Clock) -> None:
    """RFC 9110 section 10.1.1: 100 goes out when the handler reads, and not before."""
    wire = await wired(echo)
    await wire.send(post(b"Content-Length: 3", b"Expect: 100-continue"))
    assert await wire.stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(b"abc")
    assert (await wire.answers())[0].body == b"POST / abc"


async def test_expectation_refused_by_a_final_answer_closes(wired: Wired, clock: Clock) -> None:
    """Whether the body comes or not is unknown then, so the connection cannot go on."""
    wire = await wired(early)
    answer = await wire.ask(post(b"Content-Length: 3", b"Expect: 100-continue"))
    assert (answer.status, answer.headers[b"connection"]) == (401, b"close")
    assert await wire.rest() == b""


@pytest.mark.parametrize(
    "body", [b"Content-Length: 50000", b"Transfer-Encoding: chunked"], ids=["fixed", "chunked"]
)
async def test_short_unread_body_is_read_away(wired: Wired, clock: Clock, body: bytes) -> None:
    """An early answer keeps the connection; the body is not taken for a request."""
    wire = await wired(early)
    data = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".ljust(50_000, b"x")
    await wire.send(post(body))
    assert (await wire.answers())[0].status == 401
    framed = data if b"Length" in body else b"c350\r\n" + data + b"\r\n0\r\n\r\n"
    await wire.send(framed + LAST)
    assert [answer.status for answer in await wire.answers(3)] == [401]


async def test_long_unread_body_ends_the_connection(wired: Wired, clock: Clock) -> None:
    """Reading a gigabyte away to keep a connection would be a bad trade."""
    wire = await wired(early)
    answer = await wire.ask(post(b"Content-Length: 1000000", body=b"x" * 70_000))
    assert answer.status == 401
    assert await wire.rest() == b""
    await wire.stream.aclose()
    await wire.ended.wait()


async def test_exception_before_an_answer_is_a_500(
    wired: Wired, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a clean answer; the log gets kind and place, never the text."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("canary")

    wire = await wired(app)
    with caplog.at_level(logging.INFO, "freehold.http"):
        answer = await wire.ask(GET)
        await wire.ended.wait()
    assert answer.status == 500
    assert json.loads(answer.body) == {"errors": ["internal error"]}
    assert "canary" not in caplog.text
    assert caplog.records[0].__dict__["event"] == "app_failed"


async def test_exception_in_the_middle_of_an_answer_cuts(wired: Wired, clock: Clock) -> None:
    """Half an answer must not look whole."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    wire = await wired(app)
    await wire.send(GET)
    data = await wire.rest()
    assert data.endswith(b"4\r\nhalf\r\n")
    await wire.ended.wait()


async def test_exception_after_an_answer_changes_nothing(wired: Wired, clock: Clock) -> None:
    """The client has its answer; the connection goes on."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"done")
        raise ValueError

    wire = await wired(app)
    assert (await wire.ask(GET)).body == b"done"
    assert (await wire.ask(GET)).body == b"done"


async def test_handler_without_an_answer_is_a_500(wired: Wired, clock: Clock) -> None:
    """No request goes unanswered."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    wire = await wired(app)
    assert (await wire.ask(GET)).status == 500


async def test_header_injection_is_a_500(wired: Wired, clock: Clock) -> None:
    """What the application would break on the wire never gets there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"x", b"a\r\nset-cookie: b")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    wire = await wired(app)
    answer = await wire.ask(GET)
    assert answer.status == 500
    assert b"set-cookie" not in answer.headers


async def test_client_that_leaves_within_a_body_is_a_disconnect(wired: Wired, clock: Clock) -> None:
    """Half a body is never handed over as a whole one."""
    got: list[bytes | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(await read_all(receive))

    wire = await wired(app)
    await wire.send(post(b"Content-Length: 10", body=b"half"))
    await wire.stream.aclose()
    await wire.ended.wait()
    assert got == [None]


async def test_receive_after_the_answer_is_a_disconnect(wired: Wired, clock: Clock) -> None:
    """A task that waits for the client's end is let go when the answer is out."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

        async def listen() -> None:
            seen.append((await receive())["type"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            await reply(send, b"x")

    wire = await wired(app)
    assert (await wire.ask(GET)).body == b"x"
    assert (await wire.ask(GET)).body == b"x"
    await trio.testing.wait_all_tasks_blocked()
    assert seen == ["http.disconnect"] * 2


async def test_pipelined_bytes_are_held_within_bounds(wired: Wired, clock: Clock) -> None:
    """While a handler waits for its client's end, what the client sends ahead is bounded."""
    done = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await done.wait()
            nursery.cancel_scope.cancel()
        await reply(send)

    wire = await wired(app)
    await wire.send(GET)
    with trio.move_on_after(20) as scope:
        await wire.send(b"x" * 10_000_000)
    assert scope.cancelled_caught
    assert wire.connection.reader.pending <= 3 * 64 * 1024
    done.set()


@pytest.mark.parametrize("trickle", [False, True])
async def test_slow_body_is_cut(wired: Wired, clock: Clock, trickle: bool) -> None:
    """A body has to make progress, not only signs of life."""
    wire = await wired(echo, body_seconds=10, body_progress=1_000)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await wire.send(post(b"Content-Length: 100000"))

        async def drip() -> None:
            while trickle:
                await wire.send(b"x")
                await trio.sleep(1)

        nursery.start_soon(drip)
        answer = (await wire.answers())[0]
        nursery.cancel_scope.cancel()
    assert answer.status == 408
    assert 10 <= trio.current_time() - began <= 13


async def test_steady_body_is_not_cut(wired: Wired, clock: Clock) -> None:
    """A slow but steady client may take as long as it needs."""
    wire = await wired(echo, body_seconds=10, body_progress=1_000)
    await wire.send(post(b"Content-Length: 20000"))
    for _ in range(20):
        await trio.sleep(5)
        await wire.send(b"x" * 1_000)
    assert (await wire.answers())[0].status == 200


async def test_streaming_lets_others_run(wired: Wired, clock: Clock) -> None:
    """A handler that streams to a fast reader does not starve the rest of the program."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            with trio.testing.assert_checkpoints():
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    wire = await wired(app)
    assert (await wire.ask(GET)).body == b"xxx"


async def test_bodies_beyond_the_budget_are_refused(wired: Wired, clock: Clock) -> None:
    """503 with a time to come back; the budget is whole again afterwards."""
    wire = await wired(echo, bodies_bytes=200_000)
    bodies = wire.connection.state.body_budget
    assert (await wire.ask(post(b"Content-Length: 20000", body=b"x" * 20_000))).status == 200
    assert bodies.held == 0
    assert bodies.try_reserve(0, 140_000)  # somebody else's
    answer = await wire.ask(post(b"Content-Length: 20000", body=b"x" * 20_000))
    assert answer.status == 503
    assert answer.headers[b"retry-after"] == b"1"
    assert answer.headers[b"connection"] == b"close"
    await wire.stream.aclose()
    await wire.ended.wait()
    assert bodies.held == 140_000
