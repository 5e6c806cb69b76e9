"""Timers of connections: one heap and one task for all.

A timer of its own costs each of ten thousand connections a wait that is begun, cancelled and begun
again, a fifth of the cost of an idle link (decision 15). Here a connection is checked when it
would have been due; mostly something has arrived since, and it is put back for later.
"""

from heapq import heappop, heappush
from itertools import count
from typing import Final, Protocol

from actors import World

CHECKS_PER_TIMEOUT: Final = 30
"""In the time after which a silent peer is dead: so much later than due may a wake-up come."""


class TimedConnection(Protocol):
    """A connection."""

    @property
    def due(self) -> float:
        """The deadline on the monotonic clock; infinite: none any more, for good.

        A deadline that becomes earlier is noticed when the one before would have been due.
        """
        ...

    def wake(self) -> None:
        """The deadline has come."""
        ...


class Deadlines:
    """The timers of this process; `run` is their task.

    A connection that stays due is woken again.
    """

    def __init__(self, world: World, timeout: float) -> None:
        """`timeout`: seconds of silence after which a connection is closed."""
        self._world = world
        self._every = timeout / CHECKS_PER_TIMEOUT
        self._heap: list[tuple[float, int, TimedConnection]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add_connection(self, connection: TimedConnection) -> None:
        """Watch a connection, until its deadline is infinite. Call it once."""
        self._put(connection.due, connection)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._world.sleep(self._every)
            self._wake_due(self._world.monotonic())

    def _wake_due(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            _, _, sleeper = heappop(self._heap)
            due = sleeper.due
            if due <= now:
                sleeper.wake()
                due = now + self._every
            self._put(due, sleeper)

    def _put(self, due: float, sleeper: TimedConnection) -> None:
        if due != float("inf"):
            heappush(self._heap, (due, next(self._order), sleeper))
