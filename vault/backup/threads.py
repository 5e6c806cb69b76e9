"""Backups off the event loop: in a thread, which ends when the task that waits is cancelled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

from actors import World
from vault.store.bulk import Progress

T = TypeVar("T")


async def run_backup_work(
    world: World, limiter: trio.CapacityLimiter, work: Callable[[Progress], T], progress: Progress
) -> T:
    """What `work` returns, in a thread; `progress` is called there.

    A task that is cancelled waits until the thread has ended, which is at its next report: then
    nothing is left of a backup, and a restore can go on later. `limiter`: of threads that may do
    this at once; each takes a connection and a core.
    """
    return await world.run_sync(work, _cancellable(progress), limiter=limiter)


def _cancellable(progress: Progress) -> Progress:
    @contextmanager
    def reported(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        with progress(what, total) as advance:

            def checked(count: int) -> None:
                trio.from_thread.check_cancelled()
                advance(count)

            yield checked

    return reported
