"""The tasks in which the handlers of one connection's streams run, used again and again.

A task, its context and its cancel scope cost about 20 us to make and to end; to wake one that waits
for work costs two. So a task that has handled a stream waits for the next one.
"""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import trio

Job = TypeVar("Job")
Handle = Callable[[Job, trio.CancelScope], Awaitable[None]]


class _IdleTask(Generic[Job]):
    """Where a task waits for its next job."""

    __slots__ = ("_task", "job")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self._task = task
        self.job: Job | None = None

    def resume_with(self, job: Job | None) -> None:
        """Wake the task, which is taken from the idle ones."""
        self.job = job
        trio.lowlevel.reschedule(self._task)


class HandlerPool(Generic[Job]):
    """As many tasks as there are jobs at once; each job has one to itself until it is done.

    `handle(job, scope)` does a job; cancelling the scope ends it and its task. Leaving the block
    lets the tasks end that have nothing to do, and the others once they are done.
    """

    def __init__(self, nursery: trio.Nursery, handle: Handle[Job]) -> None:
        self._nursery = nursery
        self._handle = handle
        self._idle: list[_IdleTask[Job]] = []
        self._rested = 0  # of the idle, how many did nothing since the last tick
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        self._dismiss(len(self._idle))

    def submit(self, job: Job) -> None:
        """Have the job done, from the next turn of the loop on."""
        if self._idle:
            self._idle.pop().resume_with(job)
            self._rested = min(self._rested, len(self._idle))
        else:
            self._nursery.start_soon(self._work, job)

    def trim_idle(self) -> None:
        """Let go of the tasks that nobody needed since the last tick."""
        self._dismiss(self._rested)
        self._rested = len(self._idle)

    async def _work(self, first: Job) -> None:
        job: Job | None = first
        with trio.CancelScope() as scope:
            while job is not None:
                await self._handle(job, scope)
                job = None if self._closed else await self._next()

    async def _next(self) -> Job | None:
        """The next job; None when there will be none."""
        place: _IdleTask[Job] = _IdleTask(trio.lowlevel.current_task())

        def abort(_raise: object) -> trio.lowlevel.Abort:
            self._idle.remove(place)
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle.append(place)
        await trio.lowlevel.wait_task_rescheduled(abort)
        return place.job

    def _dismiss(self, count: int) -> None:
        """Those that have waited longest: work is given to the last one that came."""
        leaving, self._idle = self._idle[:count], self._idle[count:]
        for place in leaving:
            place.resume_with(None)
