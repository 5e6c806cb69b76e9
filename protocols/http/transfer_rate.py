"""Minimum progress of a request body, the same for both protocols."""

from protocols.http.coarse_clock import CoarseClock
from protocols.http.limits import Limits


class MinimumTransferRate:
    """A window of `body_seconds` of waiting in which `body_progress` bytes have to come.

    Only waiting counts: a handler that takes its time does not use up the client's.
    """

    __slots__ = ("_began", "_clock", "_limits", "_progress", "seconds_left")

    def __init__(self, limits: Limits, clock: CoarseClock) -> None:
        self._limits = limits
        self._clock = clock
        self._progress = limits.body_progress
        self._began = 0.0
        self.seconds_left = limits.body_seconds

    def begin_wait(self) -> float:
        """A wait begins; returns how many seconds it may take."""
        self._began = self._clock.now
        return self.seconds_left

    def end_wait(self, received: int) -> None:
        """The wait ended with `received` bytes."""
        self.seconds_left -= self._clock.now - self._began
        self._progress -= received
        if self._progress <= 0:
            self._progress = self._limits.body_progress
            self.seconds_left = self._limits.body_seconds
