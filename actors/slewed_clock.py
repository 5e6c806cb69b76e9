"""The time that is known to have passed: it follows the machine's clock at a bounded rate.

A clock that jumps ahead for a moment, by a mistake or by an attack, makes everything old. This one
advances by at least half a second and at most two for each second that really passes
(`CLOCK_MONOTONIC`), so a wrong reading moves it by no more than the reading lasted. (RFC 5905
calls that to slew, as opposed to step.) Two things go by it:

- What deletes by age uses `now`, the earlier of the two clocks, and stops while the machine's clock
  is far ahead.
- `World.now` is `latest`, the later of the two clocks. Setting the machine's clock back revives
  nothing, and when a clock that was ahead is put right, `latest` comes back with it.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

SECOND: Final = 10**9  # nanoseconds

RATE: Final = 2
"""How many seconds it makes up in one, while it is behind; the inverse while it is ahead."""

PLAUSIBLE: Final = 7 * 86_400 * SECOND
"""How far the machine's clock may be ahead: an agent that was stopped for a week is not asked."""

SLACK: Final = SECOND
"""How far `latest` may go ahead of this clock and stay there: it need not compute at each call."""

EARLY: Final = 300 * SECOND
"""How far in the future something may have been issued: processes and machines differ by less."""


def is_early(issued_at: int, now: int) -> bool:
    """Whether the clock was ahead when this was issued (both Unix ns): then its end is too late."""
    return issued_at > now + EARLY


class SlewedClock:
    """Unix time in nanoseconds; in any thread."""

    def __init__(self, start: int, wall: Callable[[], int], uptime: Callable[[], float]) -> None:
        """`start`: where to begin; `wall` and `uptime` are those of `World`."""
        self._wall = wall
        self._uptime = uptime
        self._seen = uptime()
        self._lock = Lock()
        self._known = False  # that somebody knows better than the first reading
        self._lag = self._peak = 0
        self.steps = 0
        """How often it was stepped: what was planned by it before holds no more."""
        self._value = start
        self.floor = start
        """What `latest` is never below."""
        self.ceiling = start + SLACK

    @property
    def value(self) -> int:
        """How far it has come: what the next run starts from."""
        return self._advanced()[0]

    def now(self) -> int:
        """The time to judge ages by: never ahead of the machine's clock."""
        return min(self._advanced())

    def latest(self) -> int:
        """The time that credentials expire by: never behind this clock, nor the machine's.

        From `floor` to below `ceiling` a reading of the machine's clock is the answer, and the next
        `floor`: `SystemWorld.now` does that by itself.
        """
        wall = self._wall()
        if self.floor <= wall < self.ceiling:
            self.floor = wall
            return wall
        return self.settle(wall)

    def settle(self, wall: int) -> int:
        """`latest` for this reading of the machine's clock, computed."""
        with self._lock:
            self._advance(wall)
            return max(wall, self.floor)

    @property
    def lag(self) -> int:
        """How far the machine's clock is ahead, in nanoseconds."""
        value, wall = self._advanced()
        return max(wall - value, 0)

    @property
    def is_suspended(self) -> bool:
        """Whether the machine's clock is too far ahead to delete anything by age."""
        return self.lag > PLAUSIBLE

    def jump(self) -> int:
        """By how much the machine's clock was further ahead since the last call than at it (ns)."""
        with self._lock:
            wall = self._wall()
            self._advance(wall)
            jump = max(self._peak - self._lag, 0)
            self._lag = self._peak = max(wall - self._value, 0)
            return jump

    def resume(self, start: int) -> None:
        """Go on from the `value` of an earlier run.

        The first time, what the machine's clock said before counts for nothing. After that it does
        not go back.
        """
        with self._lock:
            wall = self._wall()
            self._advance(wall)
            if self._known:
                self._raise_to(start)
            else:
                self._set(start)
            self._known = True
            self._lag = self._peak = max(wall - self._value, 0)

    def set_to(self, value: int) -> None:
        """Have this value, even if it is less: that of the process that leads."""
        with self._lock:
            self._seen = self._uptime()
            self._set(value)
            self._known = True

    def advance_to(self, instant: int) -> None:
        """Be no further behind than this: another process has come so far, or somebody says so."""
        with self._lock:
            self._raise_to(min(instant, self._wall()))

    def step(self) -> None:
        """Go on from the machine's clock: somebody has looked at it."""
        self.set_to(self._wall())
        self.steps += 1

    def _set(self, value: int) -> None:
        self._value = self.floor = value
        self.ceiling = value + SLACK

    def _raise_to(self, value: int) -> None:
        floor = self.floor
        self._set(max(value, self._value))
        self.floor = max(floor, self.floor)

    def _advanced(self) -> tuple[int, int]:
        with self._lock:
            wall = self._wall()
            self._advance(wall)
            return self._value, wall

    def _advance(self, wall: int) -> None:
        uptime = self._uptime()
        passed, self._seen = max(uptime - self._seen, 0.0) * SECOND, uptime
        least, most = self._value + int(passed / RATE), self._value + int(passed * RATE)
        self._value = value = min(max(wall, least), most)
        self._peak = max(self._peak, wall - value)
        self.ceiling = value + SLACK
        floor = max(self.floor, value)
        self.floor = max(floor, wall) if wall < self.ceiling else floor
