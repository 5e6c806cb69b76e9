"""What is read in whose turn: in pieces, without an end to it, of records that say nothing."""

import socket
import ssl
from collections.abc import Callable

import pytest
import trio
import trio.testing

from protocols.http import transport as module
from protocols.http.coarse_clock import CoarseClock
from protocols.http.limits import Limits
from protocols.http.readiness import ReadinessPoller
from protocols.http.transport import TlsTransport, Transport
from tests.unit.protocols.http.test_transport import client_of, plain, secure

Pair = tuple[socket.socket, socket.socket]
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_is_left_by_a_full_read_is_not_forgotten(
    pair: Pair,
    readiness: ReadinessPoller,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    waits: bool,
) -> None:
    """There is no second edge for it."""
    monkeypatch.setattr(module, "_RECEIVE", 4)
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    told: list[bytes] = []

    async def receive() -> None:
        told.append(await transport.receive())

    if waits:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
    pair[1].send(b"one_two_three")
    await trio.testing.wait_all_tasks_blocked(0.01)
    with trio.fail_after(30):
        while len(told) < 4:
            await receive()
    assert told == [b"one_", b"two_", b"thre", b"e"]
    transport.close()


async def test_a_peer_that_resets_is_gone(pair: Pair, readiness: ReadinessPoller) -> None:
    """The read ends empty, and nothing more is sent."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    await transport.send(b"x")
    pair[1].close()  # with something unread
    with trio.fail_after(30):
        assert await transport.receive() == b""
    assert transport.gone
    transport.close()


async def test_half_a_record_wakes_nobody(
    pair: Pair, readiness: ReadinessPoller, contexts: Contexts, nursery: trio.Nursery
) -> None:
    """Its reader waits for the rest."""
    transport, seal = await _connected(pair, readiness, contexts, nursery)
    told: list[bytes] = []

    async def receive() -> None:
        told.append(await transport.receive())

    nursery.start_soon(receive)
    record = seal(b"x" * 100)
    for part, expected in ((record[:50], []), (record[50:], [b"x" * 100])):
        await trio.testing.wait_all_tasks_blocked()
        pair[1].send(part)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert told == expected
    transport.close()


async def test_records_that_say_nothing_hold_nobody_up(
    pair: Pair,
    readiness: ReadinessPoller,
    contexts: Contexts,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer may send them without an end (RFC 8446, 4.6.3): one read a turn of the loop."""
    transport, seal = await _connected(pair, readiness, contexts, nursery)
    turns = 0
    reads: list[int] = []
    read = Transport._read

    def counted(self: Transport) -> bytes:
        reads.append(turns)
        return read(self)

    async def turn() -> None:
        nonlocal turns
        while len(reads) < 8:
            turns += 1
            await trio.lowlevel.checkpoint()

    monkeypatch.setattr(Transport, "_read", counted)
    monkeypatch.setattr(module, "_RECEIVE", 16)
    monkeypatch.setattr(TlsTransport, "_decrypt", lambda _self: b"")
    with trio.CancelScope() as scope:
        nursery.start_soon(transport.receive)
        await trio.testing.wait_all_tasks_blocked()
        pair[1].send(seal(b"x" * 200))
        await turn()
        scope.cancel()
    assert len(set(reads)) > len(reads) // 2  # the two take turns in either order
    transport.abort()


async def _connected(
    pair: Pair, readiness: ReadinessPoller, contexts: Contexts, nursery: trio.Nursery
) -> tuple[TlsTransport, Callable[[bytes], bytes]]:
    """Ours, and what seals as the peer does."""
    transport = secure(pair, readiness, contexts[0])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts[1].wrap_bio(incoming, outgoing, server_hostname="agent.test")
    nursery.start_soon(transport.handshake, trio.Semaphore(1))
    stream = client_of(pair)
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            await stream.send_all(outgoing.read())
            incoming.write(await stream.receive_some())
    await stream.send_all(outgoing.read())
    await trio.testing.wait_all_tasks_blocked()

    def seal(data: bytes) -> bytes:
        client.write(data)
        return outgoing.read()

    return transport, seal
