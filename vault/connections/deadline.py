"""One deadline for all of a step's blocking calls: a slow peer cannot stretch it byte by byte."""

from collections.abc import Callable


class Deadline:
    """So many seconds from now; `clock` counts them and only moves forward, in any thread."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float],
        expired: Callable[[], Exception] = TimeoutError,
    ) -> None:
        """`expired`: what `left` raises behind it."""
        self._clock = clock
        self._end = clock() + seconds
        self._expired = expired

    def left(self) -> float:
        """Seconds, above 0, for the next call's time-out. Raises as said."""
        left = self._end - self._clock()
        if left <= 0:
            raise self._expired()
        return left
