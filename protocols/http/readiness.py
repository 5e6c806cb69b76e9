"""Which sockets have something to read: asked of the kernel for all of them at once.

Trio registers a socket anew for each wait: a system call and some twenty Python calls, in every
request. Here a socket is registered once, edge-triggered, in an epoll of the server's own, which
Trio waits for as for any descriptor: one wait for all that became readable in a turn of the loop.

All these are read before any of those who wait for them runs, so that this part of their requests
is run in a row, while the processor has it in its caches (decision 14).
"""

import select
import socket
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

_ROW = 64  # sockets that are read in a row: what they bring is in memory before it is admitted

Read: TypeAlias = Callable[[], bool]
"""Reads once, without a wait; whether whoever waits has something now, be it the end."""


class SocketReadiness:
    """One socket's place: whether it can be read, and the task that waits for it.

    An edge is told once (epoll(7)), so `ready` stays true until `mark_drained` says that the
    kernel has no more; a socket whose peer has ended its side has an end to read for ever.
    """

    __slots__ = ("_ended", "_error", "_fd", "_read", "_readiness", "_task", "ready")

    def __init__(self, readiness: "ReadinessPoller", fd: int) -> None:
        self._readiness = readiness
        self._fd = fd
        self._task: Task | None = None
        self._read: Read = bool  # of whoever waits
        self._error: BaseException | None = None  # of it, and not raised yet
        self._ended = False
        self.ready = True  # what came before it was registered is told by no edge

    async def wait_readable(self, read: Read) -> None:
        """Until `read` has found something, or `cancel_wait`; it may have been called for nothing.

        Always a checkpoint. Raises what `read` raises, and trio.BusyResourceError when another
        task waits already.
        """
        if self.ready:
            await trio.lowlevel.checkpoint()
            read()
            return
        if self._task is not None:
            raise trio.BusyResourceError("another task reads this socket already")
        self._task, self._read = current_task(), read
        await wait_task_rescheduled(self._abort)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def cancel_wait(self) -> None:
        """End the wait in hand, if there is one, though nothing may have come."""
        if self._task is not None:
            task, self._task = self._task, None
            reschedule(task)

    def mark_drained(self) -> None:
        """A read got less than it asked for: there is no more until the next edge."""
        self.ready = self._ended

    def on_edge(self, events: int) -> None:
        """An edge."""
        self.ready = True
        if events & _ENDED:
            self._ended = True
        if self._task is None:
            return
        try:
            found = self._read()
        except BaseException as error:  # noqa: BLE001  # raised in the task that waits
            self._error, found = error, True
        if found or self.ready:  # there is more, for which there will be no edge
            self.cancel_wait()

    def unregister(self) -> None:
        """Before the socket is closed; ends the wait in hand. May be repeated."""
        self._readiness.unregister(self._fd, self)
        self.cancel_wait()

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._task = None
        return Abort.SUCCEEDED


class ReadinessPoller:
    """All sockets of one server. `run` has to run for any wait to end."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, SocketReadiness] = {}

    def register(self, sock: socket.socket) -> SocketReadiness:
        """Register a connected socket. Raises OSError when the system has no room for it."""
        fd = sock.fileno()
        self._epoll.register(fd, _EVENTS)
        entry = self._sockets[fd] = SocketReadiness(self, fd)
        return entry

    def unregister(self, fd: int, readiness: SocketReadiness) -> None:
        """Forget a socket, if it is known: its number may be another's by now."""
        if self._sockets.get(fd) is readiness:
            del self._sockets[fd]
            self._epoll.unregister(fd)

    async def run(self) -> NoReturn:
        """Read for whoever waits, until cancelled."""
        entries, poll = self._sockets, self._epoll.poll
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, events in poll(0, _ROW):
                if (entry := entries.get(fd)) is not None:
                    entry.on_edge(events)

    def close(self) -> None:
        """Give up the epoll; all sockets have left and `run` has ended."""
        self._epoll.close()
