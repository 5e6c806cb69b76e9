"""How long the event loop was at work, as against waiting for something to do."""

import trio


class BusyMeter(trio.abc.Instrument):
    """To be given to `trio.lowlevel.add_instrument`; two looks at the clock each turn of the loop.

    The processor's own time would not do: what others take from us keeps our clients waiting too.
    """

    def __init__(self) -> None:
        self._since = trio.current_time()
        self._busy = 0.0

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # the instrument's shape
        """The work of this turn is done."""
        self._busy += trio.current_time() - self._since

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # the instrument's shape
        """Work begins."""
        self._since = trio.current_time()

    def take(self) -> float:
        """Seconds since the last call."""
        now = trio.current_time()
        busy, self._busy = self._busy + now - self._since, 0.0
        self._since = now
        return busy
