"""Answers that wait until their HTTP/2 windows let more of them through (RFC 9113 section 5.2)."""

from typing import NamedTuple

import trio

from protocols.http.h2_machine import H2Machine


class _Waiting(NamedTuple):
    task: trio.lowlevel.Task
    wanted: int


class SendWaiters:
    """The streams of one connection that wait, in the order in which they came.

    Who is woken can send. A window that opens for one stream, or by less than all want, must not
    wake them all: a client would have a hundred tasks run for each frame of 13 bytes.
    """

    __slots__ = ("_machine", "_waiting")

    def __init__(self, machine: H2Machine) -> None:
        self._machine = machine
        self._waiting: dict[int, _Waiting] = {}

    async def wait_sendable(self, number: int, wanted: int) -> None:
        """Return once some of `wanted` bytes can be sent on this stream, or `release` was called.

        Returns without a checkpoint if they can be sent already.
        """
        if self._machine.streams.send_window(number) > 0 and self._machine.outbound > 0:
            return

        def abort(_raise: object) -> trio.lowlevel.Abort:
            del self._waiting[number]
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiting[number] = _Waiting(trio.lowlevel.current_task(), wanted)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake_sendable(self) -> None:
        """Those that can send, as far as the connection's window goes.

        To be called when a window opened, and when a stream that was woken is done: it may have
        left some of its share.
        """
        left = self._machine.outbound
        for number, (_, wanted) in list(self._waiting.items()):
            if left <= 0:
                return
            share = min(wanted, self._machine.streams.send_window(number))
            if share > 0:
                left -= share
                self.release(number)

    def release(self, number: int) -> None:
        """This one will send nothing any more; nothing happens if it does not wait."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            trio.lowlevel.reschedule(waiting.task)

    def release_all(self) -> None:
        """The connection has ended."""
        for number in list(self._waiting):
            self.release(number)
