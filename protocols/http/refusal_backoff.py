"""Where connections wait whose requests were turned away, and are read again all at once.

Most of what a refusal costs is a read, a send and a turn of two tasks. Whoever asks again at once
is therefore left in the kernel's buffers for a moment, and then many requests share that cost.
"""

import trio

_SHARE = 4  # of the time that the requests in hand take


class RefusalBackoff:
    """Of all connections of a server; the first to come waits for the clock, the others for it.

    A quarter of `delay_seconds`: as many are in hand as take that long (see `admission`), so the
    loop has work meanwhile, and a request that could be let in comes in by so much later at most.
    """

    __slots__ = ("_others", "_seconds", "_waited_for")

    def __init__(self, delay_seconds: float) -> None:
        self._seconds = delay_seconds / _SHARE
        self._others = trio.lowlevel.ParkingLot()
        self._waited_for = False

    async def wait_end(self) -> None:
        """Until the end of this lull, of which some may have passed."""
        if self._waited_for:
            await self._others.park()
            return
        self._waited_for = True
        try:
            await trio.sleep(self._seconds)
        finally:
            self._waited_for = False
            self._others.unpark_all()
