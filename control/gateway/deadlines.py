"""When connections have something to do though nothing came: one heap and one task for all.

A timer of its own costs each of ten thousand connections a wait that is begun, cancelled and begun
again, a fifth of what a link at rest takes (decision 15). Here a connection is looked at when it
would have been due; mostly something has come since, and it is put back for later.
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
        """On the monotonic clock; infinite: no more, and for good.

        Should it become earlier, that is noticed when the earlier word would have been due.
        """
        ...

    def wake(self) -> None:
        """It is time."""
        ...


class Deadlines:
    """Of this process; `run` is its task. A sleeper is woken anew for as long as it stays due."""

    def __init__(self, world: World, timeout: float) -> None:
        """`dead`: seconds of silence after which a connection is over."""
        self._world = world
        self._every = timeout / CHECKS_PER_TIMEOUT
        self._heap: list[tuple[float, int, TimedConnection]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add_connection(self, connection: TimedConnection) -> None:
        """To be asked for once; it is let go once its time is infinite."""
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
