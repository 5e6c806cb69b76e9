"""One clock tick for all connections, instead of a timer for each wait of each request."""

import math
from collections.abc import Callable
from email.utils import formatdate

import trio

from protocols.http.limits import Limits

NEVER = math.inf
_LONGEST_TICK = 1.0
_SHORTEST_TICK = 0.02


class CoarseClock:
    """What time it was at the last tick, in trio's clock, and the Date header that goes with it.

    A deadline made by `deadline_after` is never early, and late by at most one `tick` plus the
    tick's own lateness. Setting one is an addition; trio's CancelScope.deadline costs 2 µs each
    time, twice or more in a request, which was a tenth of a whole request here.
    """

    __slots__ = ("_wall_clock", "date", "date_line", "now", "tick")

    def __init__(self, limits: Limits, wall_clock: Callable[[], float] | None) -> None:
        shortest = min(
            limits.handshake_seconds,
            limits.header_seconds,
            limits.idle_seconds,
            limits.body_seconds,
            limits.write_seconds,
            limits.linger_seconds,
            limits.close_seconds,
        )
        self.tick = min(_LONGEST_TICK, max(_SHORTEST_TICK, shortest / 4))
        self._wall_clock = wall_clock
        self.now = 0.0
        self.date = b""  # the value of the Date header, if there is a clock
        self.date_line = b""  # the same as a line of HTTP/1.1
        self.update()

    def update(self) -> float:
        """Take the time anew; returns it."""
        # Scheduling time, which a simulation's clock replaces; no other package may be asked here.
        self.now = trio.current_time()
        if self._wall_clock is not None:
            self.date = formatdate(self._wall_clock(), usegmt=True).encode("ascii")
            self.date_line = b"date: %b\r\n" % self.date
        return self.now

    def deadline_after(self, seconds: float) -> float:
        """Deadline at least `seconds` from this moment."""
        return self.now + self.tick + seconds
