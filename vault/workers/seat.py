"""A seat: one worker process as the leader sees it, from its start to its end."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import trio

from protocols.errors import locate
from protocols.http import Listener
from protocols.http.response_budget import ResponseBudget
from vault.audit.broker import AuditBroker
from vault.workers.desk import Answering, App, AuditDesk, RelayDesk
from vault.workers.sockets import FromWorker, SocketDesk
from vault.workers.wire import (
    Alert,
    Counts,
    Damage,
    Drafted,
    Lane,
    LaneClosed,
    Opened,
    Order,
    Report,
    Sealed,
    Serving,
    Spans,
    Spawn,
    ToLeader,
)
from vault.workers.zygote import Zygote

log: Final = logging.getLogger("freehold.workers")

LANES: Final = 4  # control, audit, relay, live
START_SECONDS: Final = 30.0
SILENCE: Final = 20
"""Seconds after which a worker that says nothing is ended; it says its counts each second. Twice
the longest that one is known to compute without a turn of its loop: 10 s, for the largest book of
policies."""

STALLED: Final = 3  # the same, if all others wait for it: it has the turn at the audit log

M = TypeVar("M")


@dataclass(frozen=True)
class Staff:
    """What every seat is given."""

    zygote: Zygote
    page: int  # its descriptor
    listener: Listener
    edge: Answering
    live: App | None  # of websockets; None: there are none
    answers: ResponseBudget  # the leader's own budget for what it answers to all of them
    broker: Callable[[], AuditBroker | None]
    counted: Callable[[int, Counts], None]
    alerted: Callable[[Alert], None]
    damaged: Callable[[Damage], None]
    traced: Callable[[Spans], None]


class WorkerGone(Exception):  # noqa: N818  # what happened
    """The process has ended, or did not do what it was told and was ended."""


class Seat:
    """One process. `run` is its life."""

    def __init__(self, number: int, staff: Staff) -> None:
        self.number = number
        self._staff = staff
        self._control: Lane[Report]
        self._process = -1  # a handle that no other process ever gets
        self._answered = trio.Event()
        self._answers: list[Opened | Sealed] = []
        self._serving = trio.Event()
        self._ended = False
        self._asked = False  # an order has a deadline of its own
        self._waiting = trio.CancelScope()  # for the answer to an order
        self._patience = 0.0  # seconds without progress
        self._steps = 0  # of an opening
        self.silent = 0
        """Seconds since it last said something."""
        self.pid = 0  # once it is started

    async def run(self) -> None:
        """Start it. Returns when it has ended.

        Raises `OSError` when no process can be started.
        """
        ours, theirs = _pairs()
        try:
            await self._start(theirs)
            await self._hold([trio.SocketStream(sock) for sock in ours])
        finally:
            self._ended = True
            self._serving.set()
            for sock in ours:
                sock.close()
            self.kill()
            self._close()

    async def is_serving(self) -> bool:
        """Wait until it accepts connections; False when it has ended before."""
        await self._serving.wait()
        return not self._ended

    async def ask(self, order: Order, seconds: float) -> Opened | Sealed:
        """Give an order that is answered within so many seconds of the last step of an opening.

        Raises `WorkerGone`; one that is late is killed.
        """
        if self._ended:
            raise WorkerGone
        self._answered, self._answers = trio.Event(), []
        self._control.post(order)
        self._asked, self._patience = True, seconds
        try:
            with trio.move_on_after(seconds) as self._waiting:
                await self._answered.wait()
        finally:
            self._asked, self.silent = False, 0
        if not self._answers:
            self.kill()
            raise WorkerGone
        return self._answers[0]

    def tell(self, order: Order) -> None:
        """Give an order that is not answered."""
        self._control.post(order)

    def kill(self) -> None:
        """End the process at once; nothing happens when it has ended."""
        if self._process >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    async def _start(self, theirs: list[socket.socket]) -> None:
        message = msgspec.msgpack.encode(Spawn(self.number))
        fds = [*(s.fileno() for s in theirs), self._staff.page, self._staff.listener.fileno()]
        try:
            pid = await trio.to_thread.run_sync(self._staff.zygote.spawn, message, fds)
            self._process, self.pid = _handle_of(pid), pid
        finally:
            for given in theirs:
                given.close()

    async def _hold(self, lanes: list[trio.SocketStream]) -> None:
        try:
            await self._serve(lanes)
        except* (LaneClosed, trio.TooSlowError):
            log.info("worker %d has ended", self.number)
        except* Exception as failures:  # noqa: BLE001  # one worker's fault is no other's
            log.error("worker %d is ended: %s", self.number, locate(failures))  # noqa: TRY400  # its text could hold a secret

    def _close(self) -> None:
        process, self._process = self._process, -1
        if process >= 0:
            os.close(process)

    async def _serve(self, lanes: list[trio.SocketStream]) -> None:
        control, audit_stream, relayed, live_stream = lanes
        staff = self._staff
        self._control = Lane(control, Report)  # type: ignore[arg-type]  # a union is no class
        audit: Lane[list[Drafted]] = Lane(audit_stream, list[Drafted])
        relay: Lane[ToLeader] = Lane(relayed, ToLeader)  # type: ignore[arg-type]  # the same
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._control.run)
            nursery.start_soon(AuditDesk(audit, staff.broker).run)
            nursery.start_soon(RelayDesk(relay, staff.edge, staff.answers).run)
            if staff.live is not None:
                live: Lane[FromWorker] = Lane(live_stream, FromWorker)  # type: ignore[arg-type]  # the same
                nursery.start_soon(SocketDesk(live, staff.live).run)
            nursery.start_soon(self._listen)
            with trio.fail_after(START_SECONDS):
                await self._serving.wait()
            await self._watch()

    async def _watch(self) -> None:
        """End a process that is stopped or loops. Raises `LaneClosed`.

        Seconds are counted one by one: when the machine, or this process, is paused for an hour,
        that is one of them, and what the worker said meanwhile is read before the next.
        """
        while self.silent < SILENCE:
            await trio.sleep(1.0)
            if not self._asked:
                self.silent += 1
        log.error("worker %d has said nothing for %d s and is ended", self.number, SILENCE)
        self.kill()
        raise LaneClosed

    async def _listen(self) -> None:
        try:
            while True:
                report = await self._control.receive()
                self.silent = 0
                match report:
                    case Serving():
                        self._serving.set()
                    case Counts() as counts:
                        if counts.opening_steps != self._steps:
                            self._steps = counts.opening_steps
                            self._waiting.deadline = trio.current_time() + self._patience
                        self._staff.counted(self.number, counts)
                    case Alert() as alert:
                        self._staff.alerted(alert)
                    case Damage() as damage:
                        self._staff.damaged(damage)
                    case Spans() as spans:
                        self._staff.traced(spans)
                    case answer:
                        self._answers.append(answer)
                        self._answered.set()
        finally:
            self._ended = True
            self._answered.set()  # whoever waits for an answer learns that there is none


def _handle_of(pid: int) -> int:
    """A descriptor of the process; -1 when it has ended already, which its lanes tell."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def _pairs() -> tuple[list[trio.socket.SocketType], list[socket.socket]]:
    """Our ends and theirs; none is left when there is no descriptor for all."""
    pairs: list[tuple[socket.socket, socket.socket]] = []
    with ExitStack() as made:
        for _ in range(LANES):
            pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
            for end in pairs[-1]:
                made.enter_context(end)
        made.pop_all()
    return [trio.socket.from_stdlib_socket(our) for our, _ in pairs], [their for _, their in pairs]
