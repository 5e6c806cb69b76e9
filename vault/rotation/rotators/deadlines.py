"""One deadline for all of a step's blocking calls: a slow peer cannot stretch it byte by byte."""

from collections.abc import Callable


class Deadline:
    """So many seconds from now; `clock` counts them and only moves forward, in any thread."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds, for the next call's time-out. Raises `TimeoutError` when there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError
        return left
