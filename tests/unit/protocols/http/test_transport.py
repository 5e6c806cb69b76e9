"""What protocols.http.transport promises."""

import socket
import ssl

import pytest
import trio
import trio.testing

from protocols.http.coarse_clock import CoarseClock
from protocols.http.errors import PeerLeftError
from protocols.http.limits import Limits
from protocols.http.readiness import ReadinessPoller
from protocols.http.response_budget import ResponseBudget
from protocols.http.transport import TlsTransport, Transport

Pair = tuple[socket.socket, socket.socket]


def client_of(pair: Pair) -> trio.SocketStream:
    """The other end."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(pair[1]))


def plain(pair: Pair, limits: Limits, pulse: CoarseClock, readiness: ReadinessPoller) -> Transport:
    """Ours, without TLS."""
    return Transport(pair[0], limits, pulse, readiness, ResponseBudget(limits, pulse))


def ticking(nursery: trio.Nursery, transport: Transport, pulse: CoarseClock) -> None:
    """Let `transport` feel the pulse."""

    async def beat() -> None:
        while True:
            transport.tick(pulse.update())
            await trio.sleep(pulse.tick)

    nursery.start_soon(beat)


async def test_large_output_waits_for_its_reader(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """Nothing is lost when the kernel takes only part."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    body = bytes(range(256)) * 4_000
    got = bytearray()
    async with client_of(pair) as client:

        async def send() -> None:
            await transport.send(body)
            transport.close()

        nursery.start_soon(send)
        async for piece in client:
            got += piece
    assert bytes(got) == body


async def test_what_follows_a_proxy_header_is_read_without_its_deadline(
    pair: Pair, readiness: ReadinessPoller, clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Nothing behind the header is lost, however late somebody asks for it."""
    limits = Limits(handshake_seconds=2)
    pulse = CoarseClock(limits, None)
    transport = plain(pair, limits, pulse, readiness)
    ticking(nursery, transport, pulse)
    async with client_of(pair) as client:
        await client.send_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\nbehind it")
        assert (await transport.receive_proxy_header()).client == ("192.0.2.7", 1)
        await trio.sleep(10)
        assert await transport.receive() == b"behind it"
        transport.close()


async def test_late_read_ends_empty(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery, clock: trio.testing.MockClock
) -> None:
    """After `read_by` a read returns b"" and the connection can still be answered."""
    pulse = CoarseClock(Limits(), None)
    transport = plain(pair, Limits(), pulse, readiness)
    ticking(nursery, transport, pulse)
    transport.read_by = pulse.deadline_after(5)
    began = trio.current_time()
    assert await transport.receive() == b""
    assert 5 <= trio.current_time() - began <= 5 + 2 * pulse.tick
    assert transport.read_expired
    async with client_of(pair) as client:
        await transport.send(b"408")
        assert await client.receive_some() == b"408"
    transport.close()


async def test_slow_reader_is_cut(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery, clock: trio.testing.MockClock
) -> None:
    """A client that does not read holds a sender for a bounded time, then is gone."""
    limits = Limits(write_seconds=5, write_rate=100_000)
    pulse = CoarseClock(limits, None)
    transport = plain(pair, limits, pulse, readiness)
    ticking(nursery, transport, pulse)
    began = trio.current_time()
    with pytest.raises(PeerLeftError):
        await transport.send(b"x" * 1_000_000)
    assert 15 <= trio.current_time() - began <= 15 + 2 * pulse.tick
    assert transport.gone
    assert await transport.receive() == b""
    with pytest.raises(PeerLeftError):
        await transport.send(b"x")
    transport.close()
    pair[1].close()


async def test_peer_that_is_gone_is_said_to_be(pair: Pair, readiness: ReadinessPoller) -> None:
    """A send to nobody raises, and `peer_left` knows it before that."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    assert not transport.peer_left()
    pair[1].send(b"unread")
    pair[1].close()
    assert transport.peer_left()
    with pytest.raises(PeerLeftError):
        await transport.send(b"x")
    transport.close()


async def test_sends_at_once_keep_their_order(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """While one send waits, another's bytes queue behind it, whole."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    nursery.start_soon(transport.send, b"a" * 500_000)
    await trio.testing.wait_all_tasks_blocked()
    await transport.send(b"b" * 10)
    got = b""
    async with client_of(pair) as client:
        while len(got) < 500_010:
            got += await client.receive_some()
    assert got == b"a" * 500_000 + b"b" * 10
    transport.close()


async def test_finish_reads_away_a_bounded_rest(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery, clock: trio.testing.MockClock
) -> None:
    """A refused client may go on sending for a while, so that it gets to read why."""
    limits = Limits(close_seconds=4)
    pulse = CoarseClock(limits, None)
    transport = plain(pair, limits, pulse, readiness)
    ticking(nursery, transport, pulse)
    client = client_of(pair)
    await client.send_all(b"more")
    began = trio.current_time()
    await transport.shutdown()
    assert 4 <= trio.current_time() - began <= 4 + 2 * pulse.tick
    assert await client.receive_some() == b""
    transport.close()
    await client.aclose()


# With TLS.


def secure(
    pair: Pair, readiness: ReadinessPoller, server: ssl.SSLContext, limits: Limits | None = None
) -> TlsTransport:
    """The transport under test."""
    limits = limits or Limits()
    pulse = CoarseClock(limits, None)
    answers = ResponseBudget(limits, pulse)
    return TlsTransport(pair[0], limits, pulse, readiness, answers, context=server)


async def test_close_notify_ends_though_tcp_stays(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    nursery: trio.Nursery,
) -> None:
    """RFC 8446 section 6.1: nothing comes after close_notify, so nothing is waited for."""
    transport = secure(pair, readiness, contexts[0])
    client = trio.SSLStream(client_of(pair), contexts[1], server_hostname="agent.test")
    nursery.start_soon(client.do_handshake)
    await transport.handshake(trio.Semaphore(1))
    async with trio.open_nursery() as inner:
        inner.start_soon(client.unwrap)
        with trio.fail_after(30):
            assert await transport.receive() == b""
        inner.cancel_scope.cancel()
    transport.close()
    await client.transport_stream.aclose()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""])
async def test_failed_handshake_is_the_peers_end(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    data: bytes,
) -> None:
    """Plain text, garbage or silence where a handshake should be: PeerLeftError, nothing else."""
    transport = secure(pair, readiness, contexts[0])
    client = client_of(pair)
    if data:
        await client.send_all(data)
    await client.send_eof()
    with pytest.raises(PeerLeftError):
        await transport.handshake(trio.Semaphore(1))
    transport.close()
    await client.aclose()


async def test_slow_handshake_is_cut(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    nursery: trio.Nursery,
    clock: trio.testing.MockClock,
) -> None:
    """A client that says nothing holds a slot for `handshake_seconds`."""
    limits = Limits(handshake_seconds=3)
    pulse = CoarseClock(limits, None)
    transport = TlsTransport(
        pair[0], limits, pulse, readiness, ResponseBudget(limits, pulse), context=contexts[0]
    )
    ticking(nursery, transport, pulse)
    began = trio.current_time()
    with pytest.raises(PeerLeftError):
        await transport.handshake(trio.Semaphore(1))
    assert 3 <= trio.current_time() - began <= 3 + 2 * pulse.tick
    transport.close()
    pair[1].close()


async def test_garbage_after_the_handshake_ends_the_session(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    nursery: trio.Nursery,
) -> None:
    """A record that does not authenticate is the end, not an exception."""
    transport = secure(pair, readiness, contexts[0])
    client = trio.SSLStream(client_of(pair), contexts[1], server_hostname="agent.test")
    nursery.start_soon(client.do_handshake)
    await transport.handshake(trio.Semaphore(1))
    await trio.testing.wait_all_tasks_blocked()
    await client.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert await transport.receive() == b""
    assert transport.ended
    transport.close()
    await client.transport_stream.aclose()


async def test_handshakes_wait_for_their_turn(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    nursery: trio.Nursery,
) -> None:
    """A hello is not computed on before its turn; a silent client never takes one."""
    transport, turns, done = secure(pair, readiness, contexts[0]), trio.Semaphore(1), trio.Event()
    client = trio.SSLStream(client_of(pair), contexts[1], server_hostname="agent.test")

    async def handshake() -> None:
        await transport.handshake(turns)
        done.set()

    nursery.start_soon(handshake)
    await trio.testing.wait_all_tasks_blocked()
    assert turns.value == 1
    turns.acquire_nowait()  # somebody else's turn
    nursery.start_soon(client.do_handshake)
    await trio.testing.wait_all_tasks_blocked()
    assert not done.is_set()
    turns.release()
    await done.wait()
    assert turns.value == 1
    transport.close()


async def test_a_turn_that_comes_too_late_is_not_used(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    nursery: trio.Nursery,
) -> None:
    """Whoever was cut while it waited costs no computation any more."""
    transport, turns, left = secure(pair, readiness, contexts[0]), trio.Semaphore(0), trio.Event()

    async def handshake() -> None:
        with pytest.raises(PeerLeftError):
            await transport.handshake(turns)
        left.set()

    nursery.start_soon(handshake)
    await client_of(pair).send_all(b"\x16\x03\x01\x00\x05hello")
    await trio.testing.wait_all_tasks_blocked()
    transport.abort()
    turns.release()
    await left.wait()
    transport.close()
