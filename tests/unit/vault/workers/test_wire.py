"""vault.workers.wire: whole messages, in order, or a closed lane."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import CoroutineType
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing

from vault.workers import wire
from vault.workers.wire import (
    Drafted,
    Lane,
    Opened,
    Order,
    OversizedError,
    Report,
)


@asynccontextmanager
async def lanes(left: object, right: object) -> AsyncIterator[tuple[Lane[object], Lane[object]]]:
    """Two ends, and what each of them takes."""
    one, two = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    async with one, two:
        yield Lane(one, left), Lane(two, right)  # type: ignore[arg-type]  # unions are types too


async def test_what_was_sent_is_not_kept() -> None:
    """A value in the clear that was among it does not stay until the next frame."""
    async with lanes(Order, Report) as (worker, leader), trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        worker.post(Opened(1, "a value"))
        assert await leader.receive() == Opened(1, "a value")
        await trio.testing.wait_all_tasks_blocked()
        [task] = nursery.child_tasks
        frame = cast("CoroutineType[Any, Any, Any]", task.coro).cr_frame
        assert "a value" not in repr(frame.f_locals)
        nursery.cancel_scope.cancel()


async def test_nothing_over_the_bound_leaves() -> None:
    """Whoever says it hears so, and the other end hears the next message."""
    large = [Drafted(1, b"x" * wire.MOST, begins=True)]
    async with lanes(Order, Report) as (worker, leader):
        with pytest.raises(OversizedError):
            await worker.send(large)
        with pytest.raises(OversizedError):
            worker.post(large)
        await worker.send(Opened(1))
        assert await leader.receive() == Opened(1)


@pytest.mark.parametrize("frame", [b"no message", b"x" * (wire.MOST - wire.LENGTH + 1)])
async def test_a_frame_that_is_no_message(frame: bytes) -> None:
    """Fails whoever waits for it; the one behind it is received, and none of it is kept."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    good = msgspec.msgpack.encode(Opened(1, "why"))

    def send() -> None:
        for each in (frame, good, frame, good):
            two.sendall(len(each).to_bytes(wire.LENGTH) + each)

    with two:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(one)) as stream:
            lane: Lane[Opened] = Lane(stream, Opened)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, send)
                with pytest.raises(ValueError, match=r"bound|Expected"):
                    await lane.receive()
                assert len(lane._buffer) < 1 << 20
                assert await lane.receive() == Opened(1, "why")
                assert await lane.next_message() == Opened(1, "why")
