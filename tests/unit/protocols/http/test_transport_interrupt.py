"""A read that is interrupted ends empty, and takes nothing from the next one."""

import select
import socket

import trio
import trio.testing

from protocols.http.coarse_clock import CoarseClock
from protocols.http.limits import Limits
from protocols.http.readiness import ReadinessPoller
from protocols.http.transport import Transport
from tests.unit.protocols.http.test_transport import client_of, plain

Pair = tuple[socket.socket, socket.socket]


async def _receive(transport: Transport, told: list[bytes]) -> None:
    told.append(await transport.receive())


async def test_interrupt_ends_only_a_read_that_waits(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """An interrupt without a reader does nothing to the next read."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    transport.interrupt_receive()
    got: list[bytes] = []
    async with client_of(pair) as client, trio.open_nursery() as inner:
        await client.send_all(b"a")
        await _receive(transport, got)
        inner.start_soon(_receive, transport, got)
        await trio.testing.wait_all_tasks_blocked()
        transport.interrupt_receive()
        await trio.testing.wait_all_tasks_blocked()
        assert got == [b"a", b""]
        await client.send_all(b"b")
        await _receive(transport, got)
    assert got == [b"a", b"", b"b"]
    transport.close()


async def test_what_was_read_for_an_interrupted_one_is_the_next_ones(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """All of it, in order, although more comes before either of them has had his turn."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    told: list[bytes] = []
    for _ in range(16):  # Trio runs them in either order
        told.clear()
        nursery.start_soon(_receive, transport, told)
        await trio.testing.wait_all_tasks_blocked()
        for sent in (b"one ", b"two"):
            pair[1].send(sent)
            transport._readiness.on_edge(
                select.EPOLLIN
            )  # in a turn in which he is interrupted, too
            if not told and sent == b"one ":
                transport.interrupt_receive()
                nursery.start_soon(_receive, transport, told)
        await trio.testing.wait_all_tasks_blocked()
        rest = b""
        if transport._readiness.ready:
            rest = await transport.receive()
        assert told[0] == b"" or told[1] == b""
        assert b"".join((*told, rest)) == b"one two"
    transport.close()


async def test_two_that_read_at_once_lose_nothing(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """Of whom one is interrupted, whichever comes first."""
    transport = plain(pair, Limits(), CoarseClock(Limits(), None), readiness)
    for _ in range(16):
        told: list[bytes] = []
        pair[1].send(b"x")
        transport._readiness.ready = True
        nursery.start_soon(_receive, transport, told)
        await trio.lowlevel.checkpoint()
        transport.interrupt_receive()
        nursery.start_soon(_receive, transport, told)
        await trio.testing.wait_all_tasks_blocked()
        assert b"".join(told) == b"x"
        if len(told) == 1:  # the one was done before he was interrupted: the other waits
            transport.interrupt_receive()
            await trio.testing.wait_all_tasks_blocked()
    transport.close()
