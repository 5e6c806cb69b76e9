"""A seat: one worker process as the leader sees it, from its start to its end."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
import trio

from vault.audit.broker import Broker
from vault.workers.desk import App, AuditDesk, RelayDesk
from vault.workers.wire import (
    Counts,
    Drafted,
    Lane,
    LaneClosed,
    Opened,
    Order,
    Relayed,
    Report,
    Sealed,
    Serving,
    Spawn,
)
from vault.workers.zygote import Zygote

LANES: Final = 3  # control, audit, relay
START_SECONDS: Final = 30.0

M = TypeVar("M")


@dataclass(frozen=True)
class Staff:
    """What every seat is given."""

    zygote: Zygote
    page: int  # its descriptor
    listener: int  # the same
    app: App
    broker: Callable[[], Broker | None]
    counted: Callable[[int, Counts], None]


class WorkerGone(Exception):  # noqa: N818  # what happened
    """The process has ended, or did not do what it was told and was ended."""


class Seat:
    """One process. `run` is its life."""

    def __init__(self, number: int, staff: Staff) -> None:
        self.number = number
        self._staff = staff
        self._control: Lane[Report]
        self._pid = 0
        self._answered = trio.Event()
        self._answers: list[Opened | Sealed] = []
        self._serving = trio.Event()

    async def run(self, floor: int, task_status: trio.TaskStatus[None]) -> None:
        """Start it; `started` when it accepts connections. Returns when it has ended.

        Raises `OSError` when no process can be started.
        """
        ours, theirs = _pairs()
        try:
            message = msgspec.msgpack.encode(Spawn(self.number, floor))
            fds = [*(s.fileno() for s in theirs), self._staff.page, self._staff.listener]
            self._pid = await trio.to_thread.run_sync(self._staff.zygote.spawn, message, fds)
        finally:
            for given in theirs:
                given.close()
        try:
            await self._serve(ours, task_status)
        except* LaneClosed:
            pass
        finally:
            for sock in ours:
                sock.close()
            self.kill()

    async def ask(self, order: Order, seconds: float) -> Opened | Sealed:
        """Give an order that is answered. Raises `WorkerGone`; one that is late is killed."""
        self._answered, self._answers = trio.Event(), []
        self._control.post(order)
        with trio.move_on_after(seconds):
            await self._answered.wait()
        if not self._answers:
            self.kill()
            raise WorkerGone
        return self._answers[0]

    def tell(self, order: Order) -> None:
        """Give an order that is not answered."""
        self._control.post(order)

    def kill(self) -> None:
        """End the process at once; nothing happens when it has ended."""
        pid, self._pid = self._pid, 0
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _serve(self, ours: list[trio.socket.SocketType], status: Any) -> None:
        streams = [trio.SocketStream(sock) for sock in ours]
        self._control = Lane(streams[0], Report)  # type: ignore[arg-type]  # a union is no class
        audit: Lane[list[Drafted]] = Lane(streams[1], list[Drafted])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._control.run)
            nursery.start_soon(AuditDesk(audit, self._staff.broker).run)
            nursery.start_soon(RelayDesk(Lane(streams[2], Relayed), self._staff.app).run)
            nursery.start_soon(self._listen)
            with trio.fail_after(START_SECONDS):
                await self._serving.wait()
            status.started()

    async def _listen(self) -> None:
        try:
            while True:
                match await self._control.receive():
                    case Serving():
                        self._serving.set()
                    case Counts() as counts:
                        self._staff.counted(self.number, counts)
                    case answer:
                        self._answers.append(answer)
                        self._answered.set()
        finally:
            self._answered.set()  # whoever waits for an answer learns that there is none


def _pairs() -> tuple[list[trio.socket.SocketType], list[socket.socket]]:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(LANES)]
    return [trio.socket.from_stdlib_socket(ours) for ours, _ in pairs], [
        their for _, their in pairs
    ]
