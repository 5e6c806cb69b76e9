"""A line before a queue that is full: who comes then waits in turn, and not for ever."""

import trio


class Line:
    """The queue's owner admits as many as it has taken away."""

    def __init__(self, patience: float) -> None:
        """`patience`: seconds that somebody waits."""
        self._patience = patience
        self._waiting = trio.lowlevel.ParkingLot()

    async def has_waited(self) -> bool:
        """Wait to be admitted; False when that was not in time."""
        with trio.move_on_after(self._patience) as waiting:
            await self._waiting.park()
        return not waiting.cancelled_caught

    def admit(self, count: int) -> None:
        """There is room for so many more."""
        if self._waiting:
            self._waiting.unpark(count=count)
