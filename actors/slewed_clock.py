"""The clock of work that destroys data: it follows the machine's clock at a bounded rate.

A clock that jumps ahead for a moment, by a mistake or by an attack, makes everything old. Whatever
deletes by age goes by this clock, which needs half of the time to have really passed, and stops
while the machine's clock is far ahead of it. (RFC 5905 calls it to slew, as opposed to step.)
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

SECOND: Final = 10**9  # nanoseconds

RATE: Final = 2
"""How many seconds it makes up in one, while it is behind."""

PLAUSIBLE: Final = 7 * 86_400 * SECOND
"""How far the machine's clock may be ahead: an agent that was stopped for a week is not asked."""


class SlewedClock:
    """Unix time in nanoseconds; in any thread."""

    def __init__(self, start: int, wall: Callable[[], int], uptime: Callable[[], float]) -> None:
        """`start` is the `value` of an earlier run; `wall` and `uptime` are those of `World`."""
        self._value = start
        self._wall = wall
        self._uptime = uptime
        self._seen = uptime()
        self._lock = Lock()
        self.steps = 0
        """How often it was stepped: what was planned by it before holds no more."""

    @property
    def value(self) -> int:
        """How far it has come: what the next run starts from."""
        return self._advanced()[0]

    def now(self) -> int:
        """The time to judge ages by: never ahead of the machine's clock."""
        return min(self._advanced())

    @property
    def lag(self) -> int:
        """How far the machine's clock is ahead, in nanoseconds."""
        value, wall = self._advanced()
        return max(wall - value, 0)

    @property
    def is_suspended(self) -> bool:
        """Whether the machine's clock is too far ahead to delete anything by age."""
        return self.lag > PLAUSIBLE

    def advance_to(self, instant: int) -> None:
        """Be no further behind than this: another process has come so far, or somebody says so."""
        with self._lock:
            self._value = max(self._value, min(instant, self._wall()))

    def step(self) -> None:
        """Go on from the machine's clock: somebody has looked at it."""
        with self._lock:
            self._value, self._seen = self._wall(), self._uptime()
            self.steps += 1

    def _advanced(self) -> tuple[int, int]:
        with self._lock:
            wall, uptime = self._wall(), self._uptime()
            passed, self._seen = uptime - self._seen, uptime
            if wall > self._value:
                self._value = min(wall, self._value + int(RATE * passed * SECOND))
            return self._value, wall
