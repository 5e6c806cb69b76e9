"""The link over real sockets: mutual TLS, bounded in every wait, one connection's fault its own."""

import ssl

import pytest
import trio
import trio_websocket as ws
import trustme

from protocols.link import limits
from protocols.link.errors import TransportError
from protocols.link.transport import REFUSED
from protocols.link_transport.network import ServerLimits, WebSocketTransport, connect
from tests.unit.protocols.link.site import AUTHORITY, HOST, echo, serving


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short time limits, so that a test of one does not take as long as it.

    Those within which a handshake has to succeed leave a busy machine some time.
    """
    for name in ("WRITE_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(limits, name, 0.2)
    for name in ("FIRST_BYTE_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(limits, name, 1.0)


async def test_frames_go_both_ways_whole():
    """From empty to the largest, in order, and both ends know whom they talk with."""
    seen = []

    async def handler(pipe: WebSocketTransport) -> None:
        seen.append(pipe.peer_certificate)
        await echo(pipe)

    async with serving(handler) as site:
        pipe = await site.connect()
        for frame in (b"", b"x", bytes(limits.MAX_FRAME), b"last"):
            await pipe.send(frame)
            assert await pipe.receive() == frame
        assert pipe.peer_certificate[:1] == seen[0][:1] == b"\x30"  # DER
        assert pipe.peer_certificate != seen[0]
        await pipe.aclose()
        for late in (lambda: pipe.send(b"late"), pipe.receive):
            with pytest.raises(TransportError):
                await late()
    assert site.reports == []


async def test_nobody_comes_in_without_a_certificate_of_the_authority():
    """None, or another authority's: the server never calls its handler."""
    called: list[WebSocketTransport] = []

    async def handler(pipe: WebSocketTransport) -> None:
        called.append(pipe)

    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.ca.configure_trust(bare)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.ca.configure_trust(stranger)
    trustme.CA().issue_cert("agent.test").configure_cert(stranger)
    async with serving(handler) as site:
        for context in (bare, stranger):
            with pytest.raises(TransportError):
                await site.connect(context)
    assert called == []
    assert {str(report).split(":")[0] for report in site.reports} == {"tls"}


async def test_an_agent_talks_to_nobody_but_its_control_plane():
    """A server of another authority, or with another name, is refused."""
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().configure_trust(other)
    async with serving() as site:
        with pytest.raises(TransportError, match="tls"):
            await site.connect(other)
        with pytest.raises(TransportError, match="tls"):
            await connect(
                site.nursery, HOST, site.server.ports[0], AUTHORITY.agent, server_name="other.test"
            )


async def test_where_nobody_listens_it_says_so():
    """No connection is an error of the pipe, like any other."""
    listener = (await trio.open_tcp_listeners(0, host=HOST))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with trio.open_nursery() as nursery:
        with pytest.raises(TransportError, match="unreachable"):
            await connect(nursery, HOST, port, AUTHORITY.agent)


@pytest.mark.parametrize(
    ("path", "subprotocols", "status"),
    [("/", [limits.SUBPROTOCOL], 404), (limits.PATH, ["other"], 400), (limits.PATH, [], 400)],
)
async def test_another_path_or_subprotocol_is_refused(
    path: str, subprotocols: list[str], status: int
):
    """With an answer that says which."""
    async with serving() as site:
        tls = await site.dial()
        with pytest.RaisesGroup(ws.ConnectionRejected, flatten_subgroups=True) as caught:
            async with trio.open_nursery() as nursery:
                await ws.wrap_client_stream(nursery, tls, HOST, path, subprotocols=subprotocols)
        assert caught.value.exceptions[0].status_code == status
        await trio.aclose_forcefully(tls)


async def test_a_refusal_reaches_the_agent_as_its_reason():
    """The agent knows with what it was refused, and does not wait for more."""

    async def refuse(tcp: trio.SocketStream) -> None:
        tls = trio.SSLStream(tcp, AUTHORITY.server, server_side=True)
        await tls.receive_some()
        await tls.send_all(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n")
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, refuse, 0)
        port = listeners[0].socket.getsockname()[1]
        with (
            trio.fail_after(30),
            pytest.raises(TransportError, match="refused: the peer answered 429"),
        ):
            await connect(nursery, HOST, port, AUTHORITY.agent)
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("until", ["tcp", "tls"])
async def test_a_mute_server_does_not_hang_an_agent(until: str):
    """Silent after TCP or after TLS: the agent gives up within its bound."""

    async def mute(tcp: trio.SocketStream) -> None:
        if until == "tls":
            tls = trio.SSLStream(tcp, AUTHORITY.server, server_side=True)
            await tls.do_handshake()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, mute, 0)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(30), pytest.raises(TransportError, match="timeout"):
            await connect(nursery, HOST, port, AUTHORITY.agent)
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("hurry")
async def test_a_mute_client_is_dropped_and_harms_nobody():
    """Silent after TCP or after TLS: its place is free again, and others are served meanwhile."""
    async with serving() as site:
        tcp = await trio.open_tcp_stream(HOST, site.server.ports[0])
        tls = await site.dial()
        pipe = await site.connect()
        await pipe.send(b"x")
        assert await pipe.receive() == b"x"
        assert await tcp.receive_some(1) == b""
        with pytest.raises(trio.BrokenResourceError):
            await tls.receive_some(1)
        await tcp.aclose()
        await trio.aclose_forcefully(tls)
        assert {str(report).split(":")[0] for report in site.reports} == {"silent", "timeout"}


@pytest.mark.usefixtures("hurry")
async def test_a_reader_that_stands_still_is_cut():
    """Writing to it ends within its bound, with the reason; nothing piles up."""
    reasons: list[str] = []

    async def flood(pipe: WebSocketTransport) -> None:
        try:
            while True:
                await pipe.send(bytes(limits.MAX_FRAME))
        except TransportError as error:
            reasons.append(error.reason)

    async with serving(flood) as site:
        tls = await site.dial()
        request = (
            f"GET {limits.PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Protocol: {limits.SUBPROTOCOL}\r\n\r\n"
        )
        await tls.send_all(request.encode())
        await site.idle()
        await trio.aclose_forcefully(tls)
    assert reasons == ["slow"]


async def test_a_handlers_failure_is_reported_and_harms_nobody():
    """The connection closes; its neighbour does not notice."""

    async def handler(pipe: WebSocketTransport) -> None:
        frame = await pipe.receive()
        if frame == b"fail":
            raise RuntimeError("a bug")
        await pipe.send(frame)
        await echo(pipe)

    async with serving(handler) as site:
        good, bad = await site.connect(), await site.connect()
        await bad.send(b"fail")
        with pytest.raises(TransportError):
            await bad.receive()
        await good.send(b"2")
        assert await good.receive() == b"2"
        await trio.testing.wait_all_tasks_blocked()
        assert [str(report) for report in site.reports] == ["a bug"]


@pytest.mark.parametrize("message", [bytes(limits.MAX_FRAME + 1), "text"])
async def test_what_is_no_frame_ends_the_connection(message: bytes | str):
    """Too large, or text."""
    ended = trio.Event()

    async def handler(pipe: WebSocketTransport) -> None:
        with pytest.raises(TransportError):
            await pipe.receive()
        ended.set()

    async with serving(handler) as site:
        pipe = await site.connect()
        await pipe._connection.send_message(message)
        await ended.wait()
        with pytest.raises(TransportError):
            await pipe.receive()


async def test_endless_fragments_end_the_connection(monkeypatch: pytest.MonkeyPatch):
    """Empty fragments of a message that never ends cost memory all the same."""
    monkeypatch.setattr(limits, "MAX_UNREAD", 16 * limits.KIB)
    ended = trio.Event()

    async def handler(pipe: WebSocketTransport) -> None:
        with pytest.raises(TransportError):
            await pipe.receive()
        ended.set()

    async with serving(handler) as site:
        pipe = await site.connect()
        fragment = b"\x00\x80\0\0\0\0"  # a continuation, not final, masked, empty
        await pipe._wire.send_all(b"\x02\x80\0\0\0\0")
        async with trio.open_nursery() as nursery:

            async def pour() -> None:
                try:
                    while True:
                        await pipe._wire.send_all(fragment * 1000)
                except trio.BrokenResourceError:
                    return

            nursery.start_soon(pour)
            await ended.wait()
            nursery.cancel_scope.cancel()


async def test_there_are_only_so_many_connections():
    """One more is closed at once and counted; when one goes, there is room again."""
    async with serving(bounds=ServerLimits(connections=1)) as site:
        first = await site.connect()
        with pytest.raises(TransportError):
            await site.connect()
        assert site.server.refused == 1
        await first.aclose()
        await site.idle()
        again = await site.connect()
        await again.send(b"x")
        assert await again.receive() == b"x"


async def test_a_fault_is_told_to_the_peer():
    """Its word comes with the close."""

    async def handler(pipe: WebSocketTransport) -> None:
        await pipe.receive()
        await pipe.aclose("sequence")

    async with serving(handler) as site:
        pipe = await site.connect()
        await pipe.send(b"x")
        with pytest.raises(TransportError, match="1008 sequence"):
            await pipe.receive()


async def test_an_agent_that_does_not_count_is_told_whom_to_ask():
    """In words for a person, not as the number of a close."""

    async def handler(pipe: WebSocketTransport) -> None:
        await pipe.aclose(REFUSED)

    async with serving(handler) as site:
        pipe = await site.connect()
        with pytest.raises(TransportError, match=r"^refused: .*locked or retired.*administrator"):
            await pipe.receive()


@pytest.mark.usefixtures("hurry")
async def test_draining_lets_handlers_end_and_cancels_the_rest():
    """Nothing new is accepted; whoever does not end within the grace is cut."""
    began, ended, cut = trio.Event(), [], []

    async def handler(pipe: WebSocketTransport) -> None:
        began.set()
        try:
            ended.append(await pipe.receive())
            await trio.sleep_forever()
        except trio.Cancelled:
            cut.append(True)
            raise

    async with serving(handler) as site:
        pipe = await site.connect()
        await began.wait()
        await pipe.send(b"x")
        with trio.fail_after(30):
            await site.server.drain(1.0)
            with pytest.raises(TransportError):
                await pipe.receive()
        with pytest.raises(TransportError, match="unreachable"):
            await site.connect()
        assert (ended, cut) == ([b"x"], [True])


@pytest.mark.usefixtures("hurry")
async def test_cancelling_passes_through_and_breaks_the_pipe():
    """A write that was cut in the middle is never continued by another."""

    async def deaf(_pipe: WebSocketTransport) -> None:
        await trio.sleep_forever()

    async with serving(deaf) as site:
        pipe = await site.connect()
        with trio.move_on_after(0.2) as scope:
            while True:
                await pipe.send(bytes(limits.MAX_FRAME))
        assert scope.cancelled_caught
        with pytest.raises(TransportError):
            await pipe.send(b"x")
