"""A connection under test at one end of a socket pair, a client at the other, time that jumps."""

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import httptools
import pytest
import trio
import trio.testing
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection as H2Engine
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from protocols.http.admission import AdmissionControl, BodyBudget, RefusalBackoff
from protocols.http.asgi import App, ConnectionInfo, Headers
from protocols.http.coarse_clock import CoarseClock
from protocols.http.h1_connection import H1Connection
from protocols.http.h2_connection import H2Connection
from protocols.http.limits import Limits
from protocols.http.readiness import ReadinessPoller
from protocols.http.response_budget import ResponseBudget
from protocols.http.server_state import ServerState, overload_response, refuse_as_json
from protocols.http.transport import Transport
from protocols.http.ws_connection import upgrade_to_websocket

PEER = ConnectionInfo(("10.0.0.7", 4711), ("10.0.0.1", 8200), "http")
URGENT = b"/urgent"
JUMP = 0.01  # real seconds without anything happening, after which time jumps


def turn_away(target: bytes) -> tuple[Headers, bytes] | None:
    """All but one path."""
    return None if target == URGENT else overload_response(target)


@dataclass
class Answer:
    """One response."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    reset: int | None = None


class H1Reader:
    """Responses out of bytes, by httptools."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """More bytes."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Part of httptools' protocol, as are the following."""
        self.answers.append(Answer())

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.answers[-1].headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The status is known."""
        self.answers[-1].status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Some body."""
        self.answers[-1].body += data

    def on_message_complete(self) -> None:
        """The end."""
        self.answers[-1].whole = True


class Wire:
    """The client's end. `connection` is the one under test; `ended` is set when its run is over."""

    def __init__(self, stream: trio.SocketStream, connection: H1Connection | H2Connection) -> None:
        self.stream = stream
        self.connection = connection
        self.ended = trio.Event()

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        await self.stream.send_all(data)

    async def rest(self) -> bytes:
        """Everything until the connection ends, cleanly or not."""
        data = b""
        try:
            async for piece in self.stream:
                data += piece
        except trio.BrokenResourceError:
            pass
        return data

    async def answers(self, count: int = 1) -> list[Answer]:
        """The next `count` whole HTTP/1.1 responses; fewer if the connection ends first."""
        reader = H1Reader()
        while sum(answer.whole for answer in reader.answers) < count:
            data = await self.stream.receive_some()
            if not data:
                break
            reader.feed(data)
        return reader.answers

    async def ask(self, data: bytes) -> Answer:
        """Send a request; its answer."""
        await self.send(data)
        return (await self.answers())[0]


class H2Client:
    """An HTTP/2 client on a wire, driven by the h2 library."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.engine = H2Engine(H2Configuration(client_side=True, header_encoding=None))
        self.engine.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.acknowledge = True

    async def flush(self) -> None:
        """Send what the engine holds."""
        await self.wire.send(self.engine.data_to_send())

    def request(
        self,
        *more: tuple[bytes, bytes],
        end: bool = True,
        method: bytes = b"GET",
        path: bytes = b"/",
    ) -> int:
        """Prepare a request; returns its stream."""
        stream: int = self.engine.get_next_available_stream_id()
        pseudo = [
            (b":method", method),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"a"),
        ]
        self.engine.send_headers(stream, [*pseudo, *more], end_stream=end)
        self.answers[stream] = Answer()
        return stream

    async def until(self, ready: Callable[[], bool]) -> None:
        """Send and receive until `ready` or the connection's end."""
        while not ready():
            await self.flush()
            try:
                data = await self.wire.stream.receive_some()
            except trio.BrokenResourceError:
                return
            if not data:
                return
            for event in self.engine.receive_data(data):
                self._on_event(event)
        await self.flush()

    async def answer(self, stream: int) -> Answer:
        """The answer on `stream`, whole or reset."""
        answer = self.answers[stream]
        await self.until(lambda: answer.whole or answer.reset is not None)
        return answer

    def _on_event(self, event: object) -> None:
        if isinstance(event, ResponseReceived):
            answer = self.answers[event.stream_id]
            answer.headers = {bytes(name): bytes(value) for name, value in event.headers}
            answer.status = int(answer.headers[b":status"])
        elif isinstance(event, DataReceived):
            self.answers[event.stream_id].body += event.data
            if self.acknowledge and event.flow_controlled_length:
                size = event.flow_controlled_length
                self.engine.acknowledge_received_data(size, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.answers[event.stream_id].whole = True
        elif isinstance(event, StreamReset):
            self.answers[event.stream_id].reset = int(event.error_code)
        elif isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code)


Wired = Callable[..., Awaitable[Wire]]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets in non-blocking mode, with small buffers."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Time that jumps when nothing happens; a test must name it itself for Trio to take it."""
    return trio.testing.MockClock(autojump_threshold=JUMP)


@pytest.fixture
async def readiness(nursery: trio.Nursery) -> ReadinessPoller:
    """At work."""
    made = ReadinessPoller()
    nursery.start_soon(made.run)
    return made


@pytest.fixture
async def wired(
    nursery: trio.Nursery, pair: tuple[socket.socket, socket.socket], readiness: ReadinessPoller
) -> Wired:
    """Wire a client to a connection that serves `app` within the limits named."""

    async def start(
        app: App, speak: type[H1Connection] | type[H2Connection] = H1Connection, **limits: float
    ) -> Wire:
        bounds = Limits(**limits)  # type: ignore[arg-type]  # ints and floats, by name
        pulse = CoarseClock(bounds, None)
        answers = ResponseBudget(bounds, pulse)
        transport = Transport(pair[0], bounds, pulse, readiness, answers)
        admission, bodies = AdmissionControl(bounds), BodyBudget(bounds)
        shared = ServerState(
            app, bounds, pulse, refuse_as_json, admission, bodies, answers,
            RefusalBackoff(bounds.delay_seconds), turn_away,
        )  # fmt: skip
        connection = (
            H2Connection(shared, transport, PEER)
            if speak is H2Connection
            else H1Connection(shared, transport, PEER, upgrade_to_websocket)
        )
        wire = Wire(trio.SocketStream(trio.socket.from_stdlib_socket(pair[1])), connection)

        async def run() -> None:
            try:
                await connection.run()
            finally:
                transport.close()
                wire.ended.set()

        async def beat() -> None:
            while True:
                connection.tick(pulse.update())
                await trio.sleep(pulse.tick)

        nursery.start_soon(run)
        nursery.start_soon(beat)
        return wire

    return start


@pytest.fixture
def h2_client() -> Callable[[Wire], H2Client]:
    """Put an HTTP/2 client on a wire."""
    return H2Client


@pytest.fixture
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context."""
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("agent.test").configure_cert(server)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(client)
    client.set_alpn_protocols(["h2"])
    return server, client
