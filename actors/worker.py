"""Worker: a thread of one owner's, for blocking calls that follow each other all the time.

Trio's `to_thread` takes a thread from a cache, names it twice and counts it, for each call anew:
about 50 µs, of which a thread that stays needs 30 (decision 4).
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

T = TypeVar("T")


class _Call:
    """One call on its way, and what became of it."""

    __slots__ = ("args", "error", "fn", "result", "task")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], task: Task) -> None:
        self.fn = fn
        self.args = args
        self.task = task
        self.result: Any = None
        self.error: BaseException | None = None

    def make(self) -> None:
        try:
            self.result = self.fn(*self.args)
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            self.error = error
        finally:
            del self.fn, self.args  # the thread may keep us until its next call


class ThreadWorker:
    """Runs what it is given in its own thread, in order, until it is closed."""

    def __init__(self, name: str) -> None:
        """`name` is the thread's. To be made within a Trio run; it serves that run only."""
        self._token = trio.lowlevel.current_trio_token()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        Thread(target=self._serve, name=name, daemon=True).start()

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """The call's result, or what it raises.

        A cancelled caller still waits for the call to end, and then has its result.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        call = _Call(fn, args, current_task())
        self._calls.put(call)
        await wait_task_rescheduled(_go_on)
        if call.error is None:
            result: T = call.result
            return result
        try:
            raise call.error
        finally:
            del call  # else error → traceback → this frame → call → error is a cycle for the GC

    def close(self) -> None:
        """Have the thread end; no call may be running or follow."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call.make()
            try:
                self._token.run_sync_soon(reschedule, call.task)
            except trio.RunFinishedError:
                return  # nobody is left to hear of it
            del call  # a batch is not kept until the next one comes


def _go_on(_: RaiseCancelT) -> Abort:
    return Abort.FAILED
