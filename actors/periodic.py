"""Work that returns: each job is an actor of its own, told by a timer that it is time.

A job that fails is restarted by its supervisor and tried again at its next turn; a job that is
still busy is not told twice.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from actors import Actor, Child, Overflow, Ref, RestartPolicy, Supervisor, World, supervise

LAST_SECONDS: Final = 4.0
"""For a last run: less than the grace of an actor, so that a stop that is slow is no failure."""

log: Final = logging.getLogger("actors")

_RESTARTS = RestartPolicy(intensity=1000, window=60.0, backoff_base=0.1, backoff_cap=5.0)


class Trigger:
    """Says that there is something to do before the time for it comes. Ringing never waits."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def fire(self) -> None:
        """Say so; rung twice before anybody hears it is rung once."""
        self._rung.set()

    async def wait(self) -> None:
        """Wait until it has rung since the last call."""
        await self._rung.wait()
        self._rung = trio.Event()


@dataclass(frozen=True)
class Job:
    """`run` every `period` seconds, the first time after one period; `at_end`: also on stopping.

    And whenever `trigger` fires.
    """

    name: str
    period: float
    run: Callable[[], Awaitable[object]]
    at_end: bool = False
    trigger: Trigger | None = None


class PeriodicActor(Actor[str]):
    """Runs its job whenever it is told to."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def receive(self, _message: str) -> None:
        """It is time."""
        await self._job.run()

    async def on_stop(self) -> None:
        """One last run where the job wants it, for as long as a stop can wait for it."""
        if not self._job.at_end:
            return
        with trio.move_on_after(LAST_SECONDS) as last:
            await self._job.run()
        if last.cancelled_caught:
            log.error("job %s was cut off in its last run", self._job.name)


@asynccontextmanager
async def run_periodic_jobs(jobs: Sequence[Job], world: World) -> AsyncIterator[Supervisor]:
    """All jobs, for the length of the block. Each starts a different moment into its period."""
    children = [
        Child(job.name, _factory(job), mailbox=1, overflow=Overflow.DROP_OLDEST) for job in jobs
    ]
    async with (
        supervise("work", children, world=world, policy=_RESTARTS) as tree,
        trio.open_nursery() as timers,
    ):
        for job in jobs:
            timers.start_soon(_tick, job, tree.ref(job.name), world)
            if job.trigger is not None:
                timers.start_soon(_listen, job.trigger, tree.ref(job.name))
        yield tree
        timers.cancel_scope.cancel()


async def _tick(job: Job, ref: Ref[str], world: World) -> None:
    await world.sleep(job.period * world.jitter())
    while True:
        await world.sleep(job.period)
        ref.cast_nowait("now")


async def _listen(trigger: Trigger, ref: Ref[str]) -> None:
    while True:
        await trigger.wait()
        ref.cast_nowait("now")


def _factory(job: Job) -> Callable[[], PeriodicActor]:
    return lambda: PeriodicActor(job)
