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
from vault.seal.manager import DRAIN_TIMEOUT
from vault.workers.desk import Answering, App, AuditDesk, RelayDesk
from vault.workers.sockets import FromWorker, SocketDesk
from vault.workers.wire import (
    Alert,
    Counts,
    Damage,
    Drafted,
    Lane,
    LaneClosed,
    Open,
    Opened,
    Order,
    PathClosed,
    Report,
    Seal,
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
SEAL_SECONDS: Final = round(DRAIN_TIMEOUT) + 15
"""For a worker with operations in flight to drop its keys. Its last commits come after those of the
others, and each may wait 5 s for a database that somebody else has locked."""
GIVE_UP_SECONDS: Final = 3
"""The same, for one that is still opening."""
ANSWERING_SECONDS: Final = 8
"""The same, for one that is opening or silent while answers go through it: if it is ended, whoever
asked for the seal does not hear that it is done. On a busy machine it may only be slow."""
COLLECTING_SECONDS: Final = 10
"""The same, for one whose data path is down: it computes without a turn of its loop, 0.2 s of a
core and some seconds on a busy machine. A process that is ended cuts off its connections."""
END_SECONDS: Final = 2.0  # for a process that was killed, or has given its last answer, to end
SILENCE: Final = 20
"""Seconds after which a worker that says nothing is ended; it says its counts each second. Twice
the longest that one is known to compute without a turn of its loop: 10 s, for the largest book of
policies."""

STALLED: Final = 3
"""The same, if all others wait for it (it has the turn at the audit log, or holds the head of the
database), or a seal does."""

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


class Seat:
    """One process. `run` is its life."""

    def __init__(self, number: int, staff: Staff) -> None:
        self.number = number
        self._staff = staff
        self._control: Lane[Report] | None = None
        self._process = -1  # a handle that no other process ever gets
        self._serving = trio.Event()
        self._ended = False
        self._opening = 0  # whose keys it has, or may have; 0: none
        self.is_open = False
        """Whether it serves the vault by itself."""
        self._is_collecting = False
        self._relay: RelayDesk | None = None
        self._settled = trio.Event()  # it is open, or will never be
        self._keyless = trio.Event()
        self.is_dismissed = False
        """Whether it is to drop its keys: if it ends then, it is not failing."""
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
            self._settled.set()
            for sock in ours:
                sock.close()
            self.kill()
            await self._wait_end()
            self._close()
            self._keyless.set()

    async def is_serving(self) -> bool:
        """Wait until it accepts connections; False when it has ended before."""
        await self._serving.wait()
        return not self._ended

    @property
    def has_served(self) -> bool:
        """Whether it has said that it accepts connections."""
        return self._serving.is_set()

    async def has_settled(self, seconds: float) -> bool:
        """Wait no longer than that until it is open or has ended; whether it lives."""
        if self._opening:
            with trio.move_on_after(seconds):
                await self._settled.wait()
        return not self._ended

    def give_keys(self, order: Open) -> None:
        """Have it open by itself, once for each opening."""
        if self._opening != order.opening and not self._ended:
            self._opening, self.is_open = order.opening, False
            self._settled, self._keyless = trio.Event(), trio.Event()
            self._is_collecting = False
            self.tell(order)

    async def take_keys(self, patience: int) -> None:
        """Return once it has no keys: it has dropped them, or has ended.

        It is ended when it is not open yet after `patience` (seconds), when it is silent meanwhile,
        or after `SEAL_SECONDS`; a little later while answers go through it, or while it collects
        what is left of its data path.
        """
        if not self._opening:
            return
        self.is_dismissed = True
        self.tell(Seal(self._opening))
        for second in range(1, SEAL_SECONDS + 1):
            with trio.move_on_after(1.0):
                await self._keyless.wait()
                return
            gives_up = not self.is_open and second >= patience
            is_answering = self._relay is not None and self._relay.is_answering
            grace = ANSWERING_SECONDS if is_answering else 0
            if self._is_collecting:
                grace = COLLECTING_SECONDS
            if second < grace and not self._ended:
                continue
            if gives_up or self._ended or self.silent >= STALLED:
                break
        log.warning("worker %d does not drop its keys in time and is ended", self.number)
        self.kill()
        with trio.move_on_after(END_SECONDS):
            await self._keyless.wait()

    def tell(self, order: Order) -> None:
        """Give an order; one that has not been started yet begins with what is in force then."""
        if self._control is not None:
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

    async def _wait_end(self) -> None:
        """Wait until the kernel has taken its memory: a process in a disk's hands may stay."""
        if self._process >= 0:
            with trio.move_on_after(END_SECONDS, shield=True):
                await trio.lowlevel.wait_readable(self._process)

    def _close(self) -> None:
        process, self._process = self._process, -1
        if process >= 0:
            os.close(process)

    async def _serve(self, lanes: list[trio.SocketStream]) -> None:
        control, audit_stream, relayed, live_stream = lanes
        staff = self._staff
        lane: Lane[Report] = Lane(control, Report)  # type: ignore[arg-type]  # a union is no class
        self._control = lane
        audit: Lane[list[Drafted]] = Lane(audit_stream, list[Drafted])
        relay: Lane[ToLeader] = Lane(relayed, ToLeader)  # type: ignore[arg-type]  # the same
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.run)
            nursery.start_soon(AuditDesk(audit, staff.broker).run)
            self._relay = RelayDesk(relay, staff.edge, staff.answers)
            nursery.start_soon(self._relay.run)
            if staff.live is not None:
                live: Lane[FromWorker] = Lane(live_stream, FromWorker)  # type: ignore[arg-type]  # the same
                nursery.start_soon(SocketDesk(live, staff.live).run)
            nursery.start_soon(self._listen, lane)
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
            self.silent += 1
        log.error("worker %d has said nothing for %d s and is ended", self.number, SILENCE)
        self.kill()
        raise LaneClosed

    async def _listen(self, lane: Lane[Report]) -> None:
        while True:
            report = await lane.receive()
            self.silent = 0
            match report:
                case Serving():
                    self._serving.set()
                case Counts() as counts:
                    self._staff.counted(self.number, counts)
                case Alert() as alert:
                    self._staff.alerted(alert)
                case Damage() as damage:
                    self._staff.damaged(damage)
                case Spans() as spans:
                    self._staff.traced(spans)
                case Opened() as opened:
                    self._on_opened(opened)
                case PathClosed(opening=opening):
                    self._is_collecting = opening == self._opening
                case Sealed(opening=opening):
                    self._on_sealed(opening)

    def _on_opened(self, opened: Opened) -> None:
        if opened.error:
            log.error("worker %d cannot read: %s", self.number, opened.error)
            self.kill()
        elif opened.opening == self._opening:
            self.is_open = True
            self._settled.set()

    def _on_sealed(self, opening: int) -> None:
        if opening == self._opening:
            self._opening, self.is_open, self.is_dismissed = 0, False, False
            self._settled.set()
            self._keyless.set()


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
