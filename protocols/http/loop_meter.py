"""How long the event loop was at work, as against waiting for something to do."""

from types import TracebackType
from typing import Self

import trio


class LoopMeter(trio.abc.Instrument):
    """Two looks at the clock each turn of the loop, while anybody wants to know.

    The processor's own time would not do: what others take from us keeps our clients waiting too.
    Not always on: to have any instrument costs Trio seven look-ups for each request, 5 % of a read.
    """

    def __init__(self) -> None:
        self._since = trio.current_time()
        self._busy = 0.0
        self._on = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.set_enabled(wanted=False)

    def set_enabled(self, *, wanted: bool) -> None:
        """Begin to look, or leave off. From within a Trio run."""
        if wanted and not self._on:
            self._since, self._busy = trio.current_time(), 0.0
            trio.lowlevel.add_instrument(self)
        elif self._on and not wanted:
            trio.lowlevel.remove_instrument(self)
        self._on = wanted

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # the instrument's shape
        """The work of this turn is done."""
        self._busy += trio.current_time() - self._since

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # the instrument's shape
        """Work begins."""
        self._since = trio.current_time()

    def take_busy_seconds(self) -> float | None:
        """Seconds since the last call; None while nobody wants to know."""
        if not self._on:
            return None
        now = trio.current_time()
        busy, self._busy = self._busy + now - self._since, 0.0
        self._since = now
        return busy
