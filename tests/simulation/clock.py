"""The virtual clock: it stands still while anybody can run, then jumps to what is due first.

Trio's own sleep needs a `CancelScope`, two of its turns and a look at the kernel. A run sleeps all
the time (each call to a disk does), so the clock keeps these waits itself and wakes the task.
"""

import heapq
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import trio
from trio._core import _run as _trio_run  # what it waits with has no public name
from trio.abc import Clock
from trio.lowlevel import Abort, RaiseCancelT, Task, checkpoint, current_task, reschedule
from trio.lowlevel import wait_task_rescheduled as parked

T = TypeVar("T")

_run: Any = _trio_run
_LOOKS: Final = 1024
"""Turns of Trio with something to do after which it looks for a signal at last."""


class Wait:
    """A task that waits; None once it does not any more."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: Task | None = current_task()

    def end(self) -> None:
        """It goes on now, if it waits still."""
        if self.task is not None:
            task, self.task = self.task, None
            reschedule(task)

    def abandon(self, _: RaiseCancelT) -> Abort:
        """Cancelled."""
        self.task = None
        return Abort.SUCCEEDED


def _go_on(_: RaiseCancelT) -> Abort:
    return Abort.FAILED


class VirtualClock(Clock):
    """Seconds from 0. `now` is for reading."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Wait]] = []
        self._waits = 0
        self._deadline = math.inf  # Trio's own next one
        self._run = trio.CancelScope()

    async def during(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The run itself. Raises `RuntimeError` when nobody in it can ever go on."""
        with self._run:
            return await fn(*args)
        raise RuntimeError("everybody waits for somebody, for ever")

    def start_clock(self) -> None:
        """See `Clock`."""

    def current_time(self) -> float:
        """See `Clock`."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See `Clock`; anything above 0 has `Devices` jump there."""
        self._deadline = deadline
        return 0.0 if deadline <= self.now else 1.0

    async def sleep(self, seconds: float) -> None:
        """As `trio.sleep`."""
        if seconds <= 0:
            await checkpoint()
        else:
            await self.until(self.now + seconds, [])

    async def until(self, at: float, waits: list[Wait]) -> None:
        """Wait until then, or until somebody ends the wait that is in `waits` meanwhile."""
        wait = self._begin(at)
        waits.append(wait)
        try:
            await parked(wait.abandon)
        finally:
            waits.remove(wait)

    async def call(self, seconds: float, waits: list[Wait]) -> None:
        """As `until`, for what a cancelled caller cannot leave: a blocking call."""
        wait = self._begin(self.now + seconds)
        waits.append(wait)
        await parked(_go_on)
        waits.remove(wait)

    def _begin(self, at: float) -> Wait:
        wait = Wait()
        if at < math.inf:
            self._waits += 1
            heapq.heappush(self._due, (at, self._waits, wait))
        return wait

    def jump(self) -> None:
        """To what is due first: nobody can run."""
        while self._due and self._due[0][2].task is None:
            heapq.heappop(self._due)
        ours = self._due[0][0] if self._due else math.inf
        due = min(ours, self._deadline)
        if due == math.inf:
            self._run.cancel()
            return
        self.now = due
        while self._due and self._due[0][0] <= self.now:
            heapq.heappop(self._due)[2].end()


def virtual_clock() -> VirtualClock:
    """Of this run."""
    return cast("VirtualClock", trio.lowlevel.current_clock())


class Devices(_run.TheIOManager):  # type: ignore[misc]  # it has no type
    """In the place of Trio's wait for devices: there are none, so it is the clock that moves."""

    def __init__(self, time: VirtualClock) -> None:
        super().__init__()
        self._time = time
        self._turns = 0

    def get_events(self, timeout: float) -> Any:
        """Nothing, but for a signal, or Trio's own end."""
        self._turns += 1
        events = super().get_events(0) if timeout > 0 or self._turns % _LOOKS == 0 else []
        if timeout > 0 and not events:
            self._time.jump()
        return events
