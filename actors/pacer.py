"""Long work in slices: how tasks with much to compute let the others of the event loop run."""

from collections.abc import Callable
from typing import Final

import trio

SLICE: Final = 0.005  # seconds; what one kind of work adds to everybody else's wait


class Pacer:
    """Shared by the tasks that do one kind of work: all of them together get one slice a turn.

    Call `pace` before each piece. Time that nobody computes counts too: after a wait the next piece
    gives way once for nothing.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` in seconds."""
        self._monotonic = monotonic
        self._began = monotonic()
        self._giving_way = False
        self._others = trio.lowlevel.ParkingLot()

    async def pace(self) -> None:
        """Return at once while the slice lasts, else when everybody else had a turn."""
        while self._monotonic() - self._began >= SLICE:
            if self._giving_way:
                await self._others.park()
            else:
                await self._give_way()

    async def _give_way(self) -> None:
        self._giving_way = True
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self._giving_way = False
            self._began = self._monotonic()
            self._others.unpark_all()
