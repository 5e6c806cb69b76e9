"""Something that happens once, and that one task waits for."""

from __future__ import annotations

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled


class Latch:
    """A `trio.Event` for one waiter: it keeps the waiting task only, so it is cheap."""

    __slots__ = ("_task", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._task: Task | None = None

    def open(self) -> None:
        """It has happened: whoever waits goes on. May be repeated."""
        self.is_open = True
        if self._task is not None:
            task, self._task = self._task, None
            reschedule(task)

    async def wait(self) -> None:
        """Until it has happened. Always a checkpoint.

        Raises trio.BusyResourceError when another task waits already.
        """
        if self.is_open:
            await trio.lowlevel.checkpoint()
            return
        if self._task is not None:
            raise trio.BusyResourceError("another task waits for this already")
        self._task = current_task()
        await wait_task_rescheduled(self._abort)

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._task = None
        return Abort.SUCCEEDED
