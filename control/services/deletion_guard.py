"""Suspends deletion by age while the machine's clock is far ahead of the time that has passed.

A clock that jumps for a moment makes everything old: samples, alerts, history, whole audit logs.
The time that is known to have passed is therefore kept in the database. While the machine's clock
is more than a week ahead of it, the jobs that delete wait. An operator can confirm that the clock
is right.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from actors import World
from control.store.rows import Tx
from control.store.shared_values import get_shared_value, put_shared_value
from control.store.store import Store
from protocols.instant import DAY, HOUR, MINUTE, SECOND

log: Final = logging.getLogger("freehold.control")
CLOCK_NAME: Final = "deletion-clock"
CONFIRMED: Final = "confirmed-clock"
JUMP: Final = HOUR
CHECK_INTERVAL: Final = MINUTE  # between two notes of how far it has come


class DeletionGuard:
    """The guard of one process; the time that has passed is shared through the database."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._clock = world.clock
        self._confirmed: str | None = None  # the confirmation that was there before; None: unknown
        self._told = False

    @property
    def is_suspended(self) -> bool:
        """Whether deletion is suspended, as of this process' last check."""
        return self._confirmed is not None and self._clock.is_suspended

    def guard(self, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """The job, which does nothing while deletion is suspended. It raises as the store does."""

        async def run() -> None:
            await self.look()
            if not self.is_suspended:
                await job()

        return run

    async def look(self) -> None:
        """Read the stored time, and store how far this process has come."""
        clock = self._clock
        stored, confirmed = await self._store.read(_stored)
        if self._confirmed is None:
            clock.resume(stored or self._world.wall())
        elif confirmed != self._confirmed:
            clock.step()
            await self._store.write(lambda tx: put_shared_value(tx, CLOCK_NAME, str(clock.value)))
        else:
            clock.advance_to(stored)
        self._confirmed = confirmed
        if clock.value >= stored + CHECK_INTERVAL:
            await self._store.write(lambda tx: record_clock(tx, clock.value))
        if (jump := clock.jump()) > JUMP:
            log.error(
                "the machine's clock jumped %d seconds ahead, or the machine was suspended. If it "
                "was wrong: what was issued meanwhile is refused once the clock is right",
                jump // SECOND,
            )
        suspended, told, self._told = clock.is_suspended, self._told, clock.is_suspended
        if suspended and not told:
            log.error(
                "nothing is deleted by age: the machine's clock is %d days ahead of the time that "
                "is known to have passed. Put it right, or run `freehold control confirm-clock`",
                clock.lag // DAY,
            )


def _stored(tx: Tx) -> tuple[int, str]:
    return int(get_shared_value(tx, CLOCK_NAME) or 0), get_shared_value(tx, CONFIRMED)


def confirm(tx: Tx, wall: int) -> None:
    """Continue from this reading of the machine's clock (Unix ns), also where it is less."""
    put_shared_value(tx, CLOCK_NAME, str(wall))
    put_shared_value(tx, CONFIRMED, str(wall))


def record_clock(tx: Tx, value: int) -> None:
    """Store the time that has passed (Unix ns); it never goes back."""
    put_shared_value(tx, CLOCK_NAME, str(max(value, int(get_shared_value(tx, CLOCK_NAME) or 0))))
