"""Whether anything may be deleted by age: not while the machine's clock is far ahead of the time.

A clock that jumps for a moment makes everything old: samples, alerts, history, whole trails. So the
time that is known to have passed is kept in the database, and while the machine's clock is more
than a week ahead of it, the jobs that delete wait. An operator can say that the clock is right.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from actors import World
from actors.slewed_clock import SlewedClock
from control.store.marks import mark, put_mark
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

log: Final = logging.getLogger("freehold.control")
MARK: Final = "deletion-clock"
EVERY: Final = 60 * SECOND  # between two notes of how far it has come


class Deletions:
    """The guard of one process; how far the clock has come is shared by all of a database."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._clock: SlewedClock | None = None
        self._told = False

    @property
    def are_suspended(self) -> bool:
        """Whether the jobs wait, as far as this process has looked."""
        return self._clock is not None and self._clock.is_suspended

    def guarded(self, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """The job, unless deletions are suspended. It raises as the store does."""

        async def run() -> None:
            await self._look()
            if not self.are_suspended:
                await job()

        return run

    async def _look(self) -> None:
        """Take over what is stored, and store how far this process has come."""
        stored = int(await self._store.read(lambda tx: mark(tx, MARK)) or 0)
        if self._clock is None:
            start = stored or self._world.wall()
            self._clock = SlewedClock(start, self._world.wall, self._world.uptime)
        clock = self._clock
        clock.advance_to(stored)
        if clock.value >= stored + EVERY:
            await self._store.write(lambda tx: note(tx, clock.value))
        suspended, told, self._told = clock.is_suspended, self._told, clock.is_suspended
        if suspended and not told:
            log.error(
                "nothing is deleted by age: the machine's clock is %d days ahead of the time that "
                "is known to have passed. Put it right, or run `freehold control confirm-clock`",
                clock.lag // (86_400 * SECOND),
            )


def note(tx: Tx, value: int) -> None:
    """How far the clock of deletions has come (Unix ns): never less than what is stored."""
    put_mark(tx, MARK, str(max(value, int(mark(tx, MARK) or 0))))
