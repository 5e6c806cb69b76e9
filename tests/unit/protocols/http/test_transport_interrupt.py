"""A read that is interrupted ends empty, and takes nothing from the next one."""

import select
import socket

import trio
import trio.testing

from protocols.http.limits import Limits
from protocols.http.pulse import Pulse
from protocols.http.readiness import Readiness
from tests.unit.protocols.http.test_transport import client_of, plain

Pair = tuple[socket.socket, socket.socket]


async def test_interrupt_ends_only_a_read_that_waits(
    pair: Pair, readiness: Readiness, nursery: trio.Nursery
) -> None:
    """An interrupt without a reader does nothing to the next read."""
    transport = plain(pair, Limits(), Pulse(Limits(), None), readiness)
    transport.interrupt()
    got: list[bytes] = []

    async def read() -> None:
        got.append(await transport.receive())

    async with client_of(pair) as client, trio.open_nursery() as inner:
        await client.send_all(b"a")
        await read()
        inner.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        transport.interrupt()
        await trio.testing.wait_all_tasks_blocked()
        assert got == [b"a", b""]
        await client.send_all(b"b")
        await read()
    assert got == [b"a", b"", b"b"]
    transport.close()


async def test_what_was_read_for_an_interrupted_one_is_the_next_ones(
    pair: Pair, readiness: Readiness, nursery: trio.Nursery
) -> None:
    """Whether he waits by then or comes later; it is not read twice."""
    transport = plain(pair, Limits(), Pulse(Limits(), None), readiness)
    told: list[bytes] = []

    async def receive() -> None:
        told.append(await transport.receive())

    for waits in (True, False):
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        pair[1].send(b"x")
        transport._seat.notice(select.EPOLLIN)  # in a turn in which he is interrupted, too
        transport.interrupt()
        if waits:
            nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        if not waits:
            assert await transport.receive() == b"x"
    assert sorted(told) == [b"", b"", b"x"]
    with trio.move_on_after(0.01) as nothing:
        await transport.receive()
    assert nothing.cancelled_caught
    transport.close()
