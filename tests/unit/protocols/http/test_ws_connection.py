"""What protocols.http.ws_connection promises, at the end of a socket, with time that jumps."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from protocols.http.asgi import Message, Receive, Scope, Send
from protocols.http.errors import SocketClosedError

Clock = trio.testing.MockClock
Wired = Callable[..., Awaitable[Any]]  # the fixture of conftest.py
OFFER = (
    b"GET /live?a=b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Client:
    """A client on a wire, driven by wsproto."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.engine = Connection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        self.head = b""

    async def open(self) -> "Client":
        """Offer; the answer's head is kept."""
        await self.wire.send(OFFER)
        while b"\r\n\r\n" not in self.head:
            data = await self.wire.stream.receive_some()
            assert data
            self.head += data
        self.head, _, rest = self.head.partition(b"\r\n\r\n")
        self.engine.receive_data(rest)
        return self

    async def say(self, event: Event) -> None:
        """Send it."""
        await self.wire.send(self.engine.send(event))

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        while True:
            self.events += list(self.engine.events())
            if self.events:
                return self.events.pop(0)
            try:
                data = await self.wire.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            self.engine.receive_data(bytes(data))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say everything back; `fail` and `bye` end it."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message["text"] == "fail":
            raise ValueError("the handler's own fault")
        if message["text"] == "bye":
            return
        await send({"type": "websocket.send", "text": message["text"]})


def told(into: list[Message], app: Any) -> Any:
    """The app, and what it received."""

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        async def heard() -> Message:
            into.append(await receive())
            return into[-1]

        await app(scope, heard, send)

    return listening


async def test_messages_go_both_ways_and_pings_are_answered(wired: Wired, clock: Clock) -> None:
    """Also while the application waits for the next message."""
    client = await Client(await wired(echo)).open()
    assert client.head.startswith(b"HTTP/1.1 101 ")
    await client.say(TextMessage("eins"))
    assert await client.next() == TextMessage("eins")
    await client.say(Ping(b"p"))
    assert await client.next() == Pong(b"p")


async def test_frames_sent_before_the_answer_are_not_lost(wired: Wired, clock: Clock) -> None:
    """They are the websocket's, not another request's."""
    wire = await wired(echo)
    client = Client(wire)
    await wire.send(OFFER + client.engine.send(TextMessage("früh")))
    while b"\r\n\r\n" not in client.head:
        client.head += await wire.stream.receive_some()
    client.engine.receive_data(client.head.partition(b"\r\n\r\n")[2])
    assert await client.next() == TextMessage("früh")


async def test_the_scope_is_asgis(wired: Wired, clock: Clock) -> None:
    """Type, scheme, path, query, and the extension by which it can be denied."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    await Client(await wired(app)).open()
    scope = seen[0]
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/live")
    assert scope["query_string"] == b"a=b"
    assert "websocket.http.response" in scope["extensions"]
    assert "method" not in scope


async def test_a_denial_is_an_ordinary_answer(wired: Wired, clock: Clock) -> None:
    """Status, headers and body are the application's, and the connection ends."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"x-a", b"1")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"who?"})

    wire = await wired(app)
    answer = await wire.ask(OFFER)
    assert (answer.status, answer.headers[b"x-a"], answer.body) == (401, b"1", b"who?")
    assert answer.headers[b"connection"] == b"close"
    assert await wire.rest() == b""


async def test_a_close_in_place_of_an_accept_is_a_403(wired: Wired, clock: Clock) -> None:
    """ASGI's short way to deny."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    assert (await (await wired(app)).ask(OFFER)).status == 403


async def test_an_application_that_says_nothing_is_a_500(wired: Wired, clock: Clock) -> None:
    """So is one that fails before it answered."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    assert (await (await wired(app)).ask(OFFER)).status == 500


async def test_a_broken_offer_is_refused_by_the_server(wired: Wired, clock: Clock) -> None:
    """With the version that would be right."""
    answer = await (await wired(echo)).ask(OFFER.replace(b"Version: 13", b"Version: 8"))
    assert (answer.status, answer.headers[b"sec-websocket-version"]) == (426, b"13")


async def test_an_offer_of_something_else_is_an_ordinary_request(
    wired: Wired, clock: Clock
) -> None:
    """A client that would rather speak h2c is answered as if it had not said so."""

    async def kind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["type"].encode()})

    answer = await (await wired(kind)).ask(OFFER.replace(b"Upgrade: websocket", b"Upgrade: h2c"))
    assert (answer.status, answer.body) == (200, b"http")


async def test_more_websockets_than_allowed_are_refused(wired: Wired, clock: Clock) -> None:
    """503, and a place is free again when one has ended."""
    wire = await wired(echo, websockets=0)
    assert (await wire.ask(OFFER)).status == 503
    await wire.ended.wait()
    assert wire.connection.state.admission.websockets == 0


async def test_an_open_websocket_is_no_request_in_hand(wired: Wired, clock: Clock) -> None:
    """It would take a place from requests for as long as a page is open."""
    wire = await wired(echo)
    await Client(wire).open()
    admission = wire.connection.state.admission
    assert (admission.in_flight, admission.websockets) == (0, 1)


async def test_the_peers_close_is_answered_and_told(wired: Wired, clock: Clock) -> None:
    """The application hears code and reason once; then both sides are done."""
    heard: list[Message] = []
    wire = await wired(told(heard, echo))
    client = await Client(wire).open()
    await client.say(CloseConnection(4000, "fertig"))
    answer = await client.next()
    assert isinstance(answer, CloseConnection)
    assert answer.code == 4000
    await wire.ended.wait()
    assert heard[-1] == {"type": "websocket.disconnect", "code": 4000, "reason": "fertig"}


async def test_a_handler_that_returns_closes_with_1000(wired: Wired, clock: Clock) -> None:
    """Without having said so itself."""
    client = await Client(await wired(echo)).open()
    await client.say(TextMessage("bye"))
    closing = await client.next()
    assert isinstance(closing, CloseConnection)
    assert closing.code == 1000


async def test_a_failing_handler_closes_with_1011(wired: Wired, clock: Clock) -> None:
    """Its exception ends nothing but this websocket."""
    client = await Client(await wired(echo)).open()
    await client.say(TextMessage("fail"))
    closing = await client.next()
    assert isinstance(closing, CloseConnection)
    assert (closing.code, closing.reason) == (1011, "")


async def test_a_peer_that_does_not_agree_to_close_is_left(wired: Wired, clock: Clock) -> None:
    """After `close_seconds`, whatever it goes on to send."""
    wire = await wired(echo, close_seconds=2.0)
    client = await Client(wire).open()
    await client.say(TextMessage("bye"))
    began = trio.current_time()
    await wire.ended.wait()
    assert 2.0 <= trio.current_time() - began <= 8.0


async def test_a_breach_closes_with_its_code(wired: Wired, clock: Clock) -> None:
    """The peer is told which rule; the application that it is over."""
    heard: list[Message] = []
    wire = await wired(told(heard, echo))
    client = await Client(wire).open()
    await wire.send(b"\x81\x01a")  # not masked
    closing = await client.next()
    assert isinstance(closing, CloseConnection)
    assert closing.code == 1002
    await wire.stream.aclose()
    await wire.ended.wait()
    assert heard[-1]["code"] == 1002


async def test_silence_is_asked_about_and_then_cut(wired: Wired, clock: Clock) -> None:
    """A ping after the quiet time; no answer for as long again is the end."""
    heard: list[Message] = []
    wire = await wired(told(heard, echo), socket_ping_seconds=20.0)
    client = await Client(wire).open()
    began = trio.current_time()
    assert isinstance(await client.next(), Ping)
    assert 20.0 <= trio.current_time() - began <= 24.0
    await wire.ended.wait()
    assert 40.0 <= trio.current_time() - began <= 50.0
    assert heard[-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def test_whoever_answers_pings_stays(wired: Wired, clock: Clock) -> None:
    """For as long as it likes, without a word otherwise."""
    client = await Client(await wired(echo)).open()
    for _ in range(10):
        ping = await client.next()
        assert isinstance(ping, Ping)
        await client.say(ping.response())
    await client.say(TextMessage("da"))
    assert await client.next() == TextMessage("da")


async def test_a_peer_that_does_not_read_is_cut(wired: Wired, clock: Clock) -> None:
    """Its writes have a bound; the handler's next send raises, and it hears of the end."""
    ended: list[str] = []

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "x" * 10_000})
        except SocketClosedError:
            ended.append((await receive())["type"])

    wire = await wired(flood, write_seconds=5.0, write_rate=10_000)
    await wire.send(OFFER)
    began = trio.current_time()
    await wire.ended.wait()
    assert ended == ["websocket.disconnect"]
    assert 5.0 <= trio.current_time() - began <= 12.0


async def test_a_handler_that_does_not_listen_holds_the_peer_back(
    wired: Wired, clock: Clock
) -> None:
    """No more messages than the bound are taken from it."""

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await trio.sleep(1000)

    wire = await wired(deaf, socket_queue=2)
    client = await Client(wire).open()
    sent = 0
    with trio.move_on_after(10):
        while sent < 10_000:
            await client.say(TextMessage("x" * 1000))
            sent += 1
    assert sent < 1000


async def test_a_handler_may_linger_and_is_then_cancelled(wired: Wired, clock: Clock) -> None:
    """The peer has gone: `linger_seconds`, then the end."""

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await trio.sleep_forever()

    wire = await wired(stubborn, linger_seconds=30.0)
    await Client(wire).open()
    began = trio.current_time()
    await wire.stream.aclose()
    await wire.ended.wait()
    assert 30.0 <= trio.current_time() - began <= 36.0


async def test_a_peer_that_leaves_before_the_answer_ends_it(wired: Wired, clock: Clock) -> None:
    """The handler hears of it, and is cancelled if it does not end."""
    heard: list[Message] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        heard.append(await receive())

    wire = await wired(slow)
    await wire.send(OFFER)
    await trio.sleep(1)
    await wire.stream.aclose()
    await wire.ended.wait()
    assert heard[0]["type"] == "websocket.disconnect"


async def test_draining_says_1012(wired: Wired, clock: Clock) -> None:
    """So that a page comes back, and not all at once."""
    wire = await wired(echo)
    client = await Client(wire).open()
    await client.say(TextMessage("da"))
    assert await client.next() == TextMessage("da")
    wire.connection.drain()
    closing = await client.next()
    assert isinstance(closing, CloseConnection)
    assert closing.code == 1012
    await client.say(closing.response())
    await wire.ended.wait()
