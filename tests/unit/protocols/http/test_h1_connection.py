"""What protocols.http.h1_connection promises."""

import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from protocols.http.asgi import RESERVATION, Receive, Scope, Send
from protocols.http.limits import MIB, Limits
from protocols.http.response_budget import WAIT

Clock = trio.testing.MockClock
Wired = Callable[..., Awaitable[Any]]  # the fixture of conftest.py
LULL = Limits().delay_seconds / 4
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


async def test_requests_are_answered_in_order(wired: Wired, clock: Clock) -> None:
    """Pipelined requests share the connection and never each other's bytes."""
    wire = await wired(echo)
    await wire.send(
        GET
        + post(b"Content-Length: 3", body=b"abc")
        + post(b"Transfer-Encoding: chunked", body=b"2\r\nde\r\n0\r\n\r\n", path=b"/x%20y")
        + LAST
    )
    answers = await wire.answers(5)
    bodies = [answer.body for answer in answers]
    assert bodies == [b"GET / ", b"POST / abc", b"POST /x y de", b"GET / "]
    assert [b"connection" in answer.headers for answer in answers] == [False, False, False, True]
    await wire.ended.wait()


@pytest.mark.parametrize("answer_first", [True, False])
async def test_a_listener_that_is_cancelled_costs_no_connection(
    wired: Wired, clock: Clock, answer_first: bool
) -> None:
    """Quart listens for the end beside its handler; the next request comes all the same."""
    begun = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.lowlevel.checkpoint()  # half of the times it listens from here on
            if not answer_first:
                nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await reply(send, b"x")
            nursery.cancel_scope.cancel()

    wire = await wired(app)
    await wire.send(GET)
    for _ in range(16):
        with trio.fail_after(30):
            await begun.wait()
        begun = trio.Event()
        await wire.send(GET[:3])  # ahead: there is something to read for the listener
        assert (await wire.answers())[0].body == b"x"
        await wire.send(GET[3:])


async def test_a_listener_that_outlives_its_handler_takes_no_request(
    wired: Wired, clock: Clock, nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket]
) -> None:
    """It is let go when the answer is out, even if the next request is there in that turn."""
    heard: list[str] = []

    async def listen(receive: Receive) -> None:
        heard.append((await receive())["type"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        nursery.start_soon(listen, receive)
        await trio.testing.wait_all_tasks_blocked()
        await reply(send, b"x")
        pair[1].send(GET)  # the client has its answer, and asks again at once

    wire = await wired(app)
    await wire.send(GET)
    with trio.fail_after(30):
        for _ in range(3):
            assert (await wire.answers())[0].body == b"x"
    assert heard[:2] == ["http.disconnect"] * 2


async def test_answer_leaves_in_one_piece(wired: Wired, clock: Clock) -> None:
    """Head and body reach the client in one segment."""
    wire = await wired(echo)
    await wire.send(GET)
    data = await wire.stream.receive_some()
    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nGET / "


async def test_head_request_has_no_body(wired: Wired, clock: Clock) -> None:
    """The next answer would otherwise start inside it."""
    wire = await wired(early)
    await wire.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    data = await wire.stream.receive_some()
    assert data.endswith(b"content-length: 2\r\n\r\n")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01hello", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (post(b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
        (post(b"Transfer-Encoding: chunked", body=b"xx\r\n"), 400),
        (post(b"Content-Length: 33554433"), 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000, 431),
    ],
)
async def test_refused_requests_are_answered_and_cut(
    wired: Wired, clock: Clock, raw: bytes, status: int
) -> None:
    """The client learns why, in the server's JSON, and nothing after it is read as a request."""
    wire = await wired(echo)
    await wire.send(raw + GET)
    answers = await wire.answers(2)
    assert [answer.status for answer in answers] == [status]
    assert answers[0].headers[b"connection"] == b"close"
    assert len(json.loads(answers[0].body)["errors"]) == 1
    await wire.stream.aclose()
    await wire.ended.wait()


async def test_disconnect_reaches_the_handler_and_does_not_cancel_it(
    wired: Wired, clock: Clock
) -> None:
    """A client that leaves mid-request loses no work that the handler had begun."""
    committed = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await trio.sleep(20)  # less than linger_seconds
        committed.set()
        await reply(send, b"to nobody")

    wire = await wired(app)
    await wire.send(GET)
    await trio.testing.wait_all_tasks_blocked()
    await wire.stream.aclose()
    await wire.ended.wait()
    assert committed.is_set()


@pytest.mark.parametrize("listens", [True, False])
async def test_handler_of_a_client_that_left_has_bounded_time(
    wired: Wired, clock: Clock, listens: bool
) -> None:
    """Whether it asks for the disconnect or not, it does not outlive `linger_seconds`."""
    cancelled = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            if listens:
                await receive()
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.set()
            raise

    wire = await wired(app, linger_seconds=8)
    await wire.send(GET)
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    await wire.stream.aclose()
    await wire.ended.wait()
    assert cancelled.is_set()
    assert 8 <= trio.current_time() - began <= 10


async def test_a_client_that_left_waits_for_no_room(wired: Wired, clock: Clock) -> None:
    """Its request gives up its place among those that wait for memory, though nobody listens."""
    given_up = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reservation = scope[RESERVATION]
        assert await reservation.take(64 * MIB)
        assert not await reservation.take(64 * MIB)
        assert not await reservation.take(64 * MIB)
        given_up.set()

    wire = await wired(app, answers_bytes=64 * MIB)
    await wire.send(GET)
    await trio.testing.wait_all_tasks_blocked()
    await wire.stream.aclose()
    with trio.fail_after(WAIT / 2):
        await given_up.wait()


async def test_pipelined_bytes_do_not_hide_that_a_client_left(wired: Wired, clock: Clock) -> None:
    """The handler is told at once, however much was sent behind the request."""
    told = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        told.set()

    wire = await wired(app)
    await wire.send(GET)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(5):  # more than is read ahead
        await wire.stream.send_all(GET * 8_000)
    await wire.stream.aclose()
    with trio.fail_after(30):
        await told.wait()


async def test_half_closed_client_still_gets_its_answer(wired: Wired, clock: Clock) -> None:
    """Ending one's own side after the request is allowed (RFC 9112 section 9.6)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep(2)
        await reply(send, b"here")

    wire = await wired(app)
    await wire.send(GET)
    await wire.stream.send_eof()
    assert (await wire.answers())[0].body == b"here"


async def test_slow_header_is_cut(wired: Wired, clock: Clock) -> None:
    """Slowloris: a byte now and then does not extend the time for a header."""
    wire = await wired(echo, header_seconds=10)
    began = trio.current_time()

    async def trickle() -> None:
        for byte in GET * 10:
            await wire.stream.send_all(bytes([byte]))
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        await wire.send(b"GET / HTTP/1.1\r\nX: ")
        nursery.start_soon(trickle)
        answer = (await wire.answers())[0]
        nursery.cancel_scope.cancel()
    assert answer.status == 408
    assert 10 <= trio.current_time() - began <= 12


async def test_silent_client_is_cut_without_an_answer(wired: Wired, clock: Clock) -> None:
    """There was no request, so there is no 408 to be mistaken for the answer to one."""
    wire = await wired(echo, idle_seconds=20)
    began = trio.current_time()
    assert await wire.rest() == b""
    assert 20 <= trio.current_time() - began <= 22


async def test_kept_connection_idles_out(wired: Wired, clock: Clock) -> None:
    """Between requests there is `idle_seconds`."""
    wire = await wired(echo, idle_seconds=20)
    await wire.ask(GET)
    await trio.sleep(15)
    await wire.ask(GET)
    began = trio.current_time()
    assert await wire.rest() == b""
    assert 20 <= trio.current_time() - began <= 22


async def test_slow_reader_is_cut(wired: Wired, clock: Clock) -> None:
    """A client that does not read its answer holds the handler for a bounded time."""
    wire = await wired(early_big, write_seconds=5, write_rate=1_000_000)
    began = trio.current_time()
    await wire.send(GET)
    await wire.ended.wait()
    assert 6 <= trio.current_time() - began <= 9


async def early_big(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a megabyte."""
    await reply(send, b"x" * 1_000_000)


async def test_drain_ends_an_idle_connection_at_once(wired: Wired, clock: Clock) -> None:
    """Nothing is in flight, so nothing is lost."""
    wire = await wired(echo)
    await wire.ask(GET)
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    wire.connection.drain()
    assert await wire.rest() == b""
    assert trio.current_time() == began


async def test_drain_lets_an_answer_end_and_says_that_it_is_the_last(
    wired: Wired, clock: Clock
) -> None:
    """An answer in flight is whole, with Connection: close."""
    go = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await reply(send, b"late")

    wire = await wired(app)
    await wire.send(GET + GET)
    await trio.testing.wait_all_tasks_blocked()
    wire.connection.drain()
    go.set()
    answers = await wire.answers(2)
    assert [answer.body for answer in answers] == [b"late"]
    assert answers[0].headers[b"connection"] == b"close"


async def test_too_many_requests_are_turned_away(wired: Wired, clock: Clock) -> None:
    """503 at once while others are in hand; the connection goes on, also behind a body."""
    go, begun = trio.Event(), 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await read_all(receive)
        await go.wait()
        await reply(send, b"done")

    wire = await wired(app, in_hand=1, urgent_in_hand=1)
    admission = wire.connection.state.admission
    assert admission.try_admit()  # somebody else's
    await wire.send(GET + post(b"Content-Length: 3", body=b"abc") + GET)
    answers = await wire.answers(3)
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert answers[0].headers[b"retry-after"] == b"1"
    assert (begun, admission.refusals) == (0, 3)
    await wire.send(b"GET /urgent HTTP/1.1\r\nHost: a\r\n\r\n")
    await trio.sleep(2 * LULL)
    assert (begun, admission.in_flight) == (1, 2)
    go.set()
    assert [answer.status for answer in await wire.answers()] == [200]
    admission.release_slot()
    assert (await wire.ask(GET)).status == 200
    assert admission.in_flight == 0


async def test_a_read_is_served_beside_writes_that_wait(wired: Wired, clock: Clock) -> None:
    """Writes have three quarters of the places; a read takes none of theirs, nor they its own."""
    wire = await wired(early, in_hand=4)
    admission = wire.connection.state.admission
    for _ in range(3):
        assert admission.try_admit(mutating=True)  # others', which wait for a disk
    write = post(b"Content-Length: 0")
    assert [(await wire.ask(ask)).status for ask in (GET, write, GET)] == [401, 503, 401]
    urgent = post(b"Content-Length: 0", path=b"/urgent")  # has a place of its own
    assert (await wire.ask(urgent)).status == 401
    admission.release_slot(mutating=True)
    assert (await wire.ask(write)).status == 401
    assert (admission.in_flight, admission.mutating) == (2, 2)


async def test_who_was_turned_away_is_not_read_for_a_moment(wired: Wired, clock: Clock) -> None:
    """Whoever asks again at once costs one read a lull, not one as often as he likes."""
    wire = await wired(early, in_hand=1)
    admission = wire.connection.state.admission
    assert admission.try_admit()  # somebody else's
    began = trio.current_time()
    for _ in range(4):
        assert (await wire.ask(GET)).status == 503
    admission.release_slot()
    assert (await wire.ask(GET)).status == 401
    assert trio.current_time() - began >= 4 * LULL


async def test_a_slow_client_takes_no_place(wired: Wired, clock: Clock) -> None:
    """While a body is awaited, its request is not in hand; when it is here, it is."""
    go = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        await go.wait()
        await reply(send)

    wire = await wired(app, in_hand=1)
    admission = wire.connection.state.admission
    await wire.send(post(b"Content-Length: 3", body=b"a"))
    await trio.testing.wait_all_tasks_blocked()
    assert admission.in_flight == 0
    await wire.send(b"bc")
    await trio.testing.wait_all_tasks_blocked()
    assert admission.in_flight == 1
    go.set()
    assert (await wire.answers())[0].status == 200
    assert admission.in_flight == 0


@pytest.mark.parametrize(
    "behind", [b'{"a":1}', b"GET", b"\x00", b"GET / HTTP/1.1\r\nno field\r\n\r\n"]
)
async def test_a_post_without_a_length_has_one_answer(
    wired: Wired, clock: Clock, behind: bytes
) -> None:
    """Its body is empty (RFC 9112 section 6.3); what follows and is no request gets no answer."""
    wire = await wired(echo)
    await wire.send(post(body=behind))
    said = await wire.rest()
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"HTTP/1.1 200" in said
    assert said.endswith(b"POST / ")
    await wire.ended.wait()


async def test_a_request_behind_a_post_without_a_length(wired: Wired, clock: Clock) -> None:
    """Is a request like any other; what is malformed behind that one has its own answer."""
    wire = await wired(echo)
    await wire.send(post() + GET + b"\x00")
    assert [answer.status for answer in await wire.answers(4)] == [200, 200, 400]
    await wire.ended.wait()


async def test_a_post_without_a_length_may_be_refused_itself(wired: Wired, clock: Clock) -> None:
    """Then that is its answer."""
    wire = await wired(echo)
    await wire.send(post(b"Expect: tea", body=b"x"))
    assert [answer.status for answer in await wire.answers(2)] == [417]
    await wire.ended.wait()
