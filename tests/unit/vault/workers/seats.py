"""Worker processes that a test speaks for: they do nothing by themselves but end when killed."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from vault.workers.seat import LANES
from vault.workers.wire import Answered, Counts, Lane, Order, Recorded

COUNTS = Counts(
    reads={},
    uses={},
    operations=[],
    requests=[],
    refused={},
    connections=1,
    shed=2,
    cache=None,
    store_failing=False,
)


class FakeWorker:
    """What a worker holds of its lanes."""

    def __init__(self, fds: list[int]) -> None:
        self.process = subprocess.Popen(["sleep", "100"])
        self.sockets = [socket.socket(fileno=os.dup(fd)) for fd in fds[:LANES]]

    def lanes(self) -> tuple[Lane[Order], Lane[Recorded], Lane[Answered]]:
        """Control, audit and relay, once a test runs its loop."""
        control, audit, relay = (
            trio.SocketStream(trio.socket.from_stdlib_socket(self.sockets[at])) for at in (0, 1, 2)
        )
        return Lane(control, Order), Lane(audit, Recorded), Lane(relay, Answered)  # type: ignore[arg-type]  # a union is no class

    def close(self) -> None:
        """As the kernel closes what a process held."""
        self.process.kill()
        self.process.wait()
        for sock in self.sockets:
            sock.close()


class FakeZygote:
    """Starts such processes, or raises what is next in `refusals`."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []
        self.refusals: list[OSError] = []

    def spawn(self, _message: bytes, fds: list[int]) -> int:
        """As `Zygote.spawn`."""
        if self.refusals:
            raise self.refusals.pop(0)
        self.workers.append(FakeWorker(fds))
        return self.workers[-1].process.pid


@contextmanager
def zygote() -> Iterator[FakeZygote]:
    """One whose processes are gone afterwards."""
    fake = FakeZygote()
    try:
        yield fake
    finally:
        for worker in fake.workers:
            worker.close()


class NoEdge:
    """Answers nothing."""

    async def __call__(self, *_: object) -> None:
        """Nobody asks."""
        raise AssertionError

    def tell(self, *_: object) -> Any:
        """The same."""
        raise AssertionError
