"""Nobody sleeps through what came, and nobody reads what is not his."""

import socket

import pytest
import trio
import trio.testing

from protocols.http.readiness import ReadinessPoller, SocketReadiness

Pair = tuple[socket.socket, socket.socket]


def found() -> bool:
    """As if there were something."""
    return True


async def _drained(seat: SocketReadiness) -> None:
    """A new seat is ready once, for what came before it; a read that finds nothing says so."""
    await seat.wait_readable(found)
    seat.mark_drained()


async def test_what_comes_wakes_who_waits(pair: Pair, readiness: ReadinessPoller) -> None:
    """A wait ends when there is something to read, and not before."""
    seat = readiness.register(pair[0])
    await _drained(seat)
    with trio.move_on_after(0.02) as nothing:
        await seat.wait_readable(found)
    assert nothing.cancelled_caught
    pair[1].send(b"x")
    with trio.fail_after(30):
        await seat.wait_readable(found)
    assert pair[0].recv(10) == b"x"
    seat.unregister()


async def test_what_came_while_nobody_waited_is_not_missed(
    pair: Pair, readiness: ReadinessPoller
) -> None:
    """An edge is told once; it is kept until a read has found the end."""
    seat = readiness.register(pair[0])
    await _drained(seat)
    pair[1].send(b"x")
    await trio.testing.wait_all_tasks_blocked(0.01)
    with trio.fail_after(30):
        await seat.wait_readable(found)
        await seat.wait_readable(found)  # not drained: there may be more
    seat.unregister()


async def test_the_end_stays_readable(pair: Pair, readiness: ReadinessPoller) -> None:
    """Data and the peer's end can come as one edge: after the data the end is still there."""
    seat = readiness.register(pair[0])
    await _drained(seat)
    pair[1].send(b"x")
    pair[1].shutdown(socket.SHUT_WR)
    with trio.fail_after(30):
        await seat.wait_readable(found)
        assert pair[0].recv(10) == b"x"
        seat.mark_drained()
        await seat.wait_readable(found)
    assert pair[0].recv(10) == b""
    seat.unregister()


async def test_a_wait_can_be_ended_and_another_begun(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """`wake`, `leave` and a cancellation end it; a second reader at a time is refused."""
    seat = readiness.register(pair[0])
    await _drained(seat)
    ended: list[str] = []

    async def wait(name: str) -> None:
        await seat.wait_readable(found)
        ended.append(name)

    for name, end in (("wake", seat.cancel_wait), ("leave", seat.unregister)):
        nursery.start_soon(wait, name)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await seat.wait_readable(found)
        end()
        await trio.testing.wait_all_tasks_blocked()
    assert ended == ["wake", "leave"]
    seat.unregister()
    with trio.move_on_after(0) as cancelled:
        await seat.wait_readable(found)
    assert cancelled.cancelled_caught
    seat.cancel_wait()  # nobody is there


async def test_who_reads_nothing_waits_on(
    pair: Pair, readiness: ReadinessPoller, nursery: trio.Nursery
) -> None:
    """An edge may bring less than is needed: the next one is told. Unless there is more."""
    seat = readiness.register(pair[0])
    await _drained(seat)
    told: list[str] = []
    drains = [True, False]

    def read() -> bool:
        told.append("read")
        if drains.pop(0):
            seat.mark_drained()
        return False

    async def wait() -> None:
        await seat.wait_readable(read)
        told.append("goes on")

    nursery.start_soon(wait)
    for expected in (["read"], ["read", "read", "goes on"]):
        await trio.testing.wait_all_tasks_blocked()
        pair[1].send(b"x")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert told == expected
    seat.unregister()


async def test_a_read_that_fails_fails_who_waits(pair: Pair, readiness: ReadinessPoller) -> None:
    """And nobody else, and not the next wait: the server goes on."""
    seat = readiness.register(pair[0])
    await _drained(seat)
    pair[1].send(b"x")

    def read() -> bool:
        raise ZeroDivisionError

    with trio.fail_after(30):
        with pytest.raises(ZeroDivisionError):
            await seat.wait_readable(read)
        seat.mark_drained()
        pair[1].send(b"x")
        await seat.wait_readable(found)
    seat.unregister()


async def test_an_edge_of_one_that_left_is_nobodys(pair: Pair, readiness: ReadinessPoller) -> None:
    """It may have been told already when the socket left."""
    seat = readiness.register(pair[0])
    pair[1].send(b"x")
    readiness.unregister(pair[0].fileno(), seat)
    await trio.testing.wait_all_tasks_blocked(0.01)
    seat.unregister()


async def test_who_has_left_takes_nobody_along(pair: Pair, readiness: ReadinessPoller) -> None:
    """The kernel gives the number of a closed socket to the next: to leave again is for nobody."""
    gone = readiness.register(pair[0])
    gone.unregister()
    seat = readiness.register(pair[0])  # the same number
    gone.unregister()
    await _drained(seat)
    pair[1].send(b"x")
    with trio.fail_after(30):
        await seat.wait_readable(found)
    seat.unregister()
