"""Minimum progress of a request body, the same for both protocols."""

from protocols.http.limits import Limits
from protocols.http.pulse import Pulse


class Pace:
    """A window of `body_seconds` of waiting in which `body_progress` bytes have to come.

    Only waiting counts: a handler that takes its time does not use up the client's.
    """

    __slots__ = ("_began", "_limits", "_progress", "_pulse", "patience")

    def __init__(self, limits: Limits, pulse: Pulse) -> None:
        self._limits = limits
        self._pulse = pulse
        self._progress = limits.body_progress
        self._began = 0.0
        self.patience = limits.body_seconds

    def wait(self) -> float:
        """A wait begins; returns how many seconds it may take."""
        self._began = self._pulse.now
        return self.patience

    def waited(self, received: int) -> None:
        """The wait ended with `received` bytes."""
        self.patience -= self._pulse.now - self._began
        self._progress -= received
        if self._progress <= 0:
            self._progress = self._limits.body_progress
            self.patience = self._limits.body_seconds
