"""The time that is known to have passed: it follows the machine's clock at a bounded rate.

A clock that jumps ahead for a moment, by a mistake or by an attack, makes everything old. This one
advances by at least half a second and at most two for each second that really passes
(`CLOCK_MONOTONIC`), so a wrong reading moves it by no more than the reading lasted. (RFC 5905
calls that to slew, as opposed to step.) Two things go by it:

- What deletes by age uses `now`, the earlier of the two clocks, and stops while the machine's clock
  is far ahead.
- `World.now` is `latest`, the later of the machine's clock and `least`: this clock, but begun
  after a stop from what the stop has probably lasted. So a clock that is set back revives nothing
  that had expired, and when a clock that was ahead is put right, `latest` comes back with it. Two
  exceptions, since after a stop nobody can tell the one from the other: a stop of more than `STOP`
  is made up for at the bounded rate only, so until then the clock can be set back to before it;
  and a reading that is wrong by no more than `STOP` at a start, or by no more than `MAX_LAG` at
  the end of the run before, keeps `latest` ahead until the time has passed (at half the pace).
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

SECOND: Final = 10**9  # nanoseconds

RATE: Final = 2
"""How many seconds it makes up in one, while it is behind; the inverse while it is ahead."""

MAX_LAG: Final = 7 * 86_400 * SECOND
"""How far the machine's clock may be ahead: an agent that was stopped for a week is not asked."""

STOP: Final = 86_400 * SECOND
"""A stop that is believed at the start: what expired by then stays expired."""

SLACK: Final = SECOND
"""How far `latest` may go ahead of this clock and stay there: it need not compute at each call."""

EARLY: Final = 300 * SECOND
"""How far in the future something may have been issued: processes and machines differ by less."""


def is_early(issued_at: int, now: int) -> bool:
    """Whether the clock was ahead when this was issued (both Unix ns): then its end is too late."""
    return issued_at > now + EARLY


def has_expired(issued_at: int, expires_at: int, now: int) -> bool:
    """Whether it is past its end, or was issued by a clock that was ahead (`is_early`)."""
    return expires_at <= now or is_early(issued_at, now)


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
        self._value = self._least = start
        self.floor = start
        """What `latest` is never below."""
        self.ceiling = start + SLACK

    @property
    def value(self) -> int:
        """How far it has come: what the next run starts from."""
        return self._advanced()[0]

    @property
    def least(self) -> int:
        """What `latest` is never below: what a process that follows starts from."""
        with self._lock:
            self._advance(self._wall())
            return self._least

    def now(self) -> int:
        """The time to judge ages by: never ahead of the machine's clock."""
        return min(self._advanced())

    def latest(self) -> int:
        """The time that credentials expire by: never behind `least`, nor the machine's clock.

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
        return self.lag > MAX_LAG

    def jump(self) -> int:
        """By how much the machine's clock was further ahead since the last call than at it (ns)."""
        with self._lock:
            wall = self._wall()
            self._advance(wall)
            jump = max(self._peak - self._lag, 0)
            self._lag = self._peak = max(wall - self._value, 0)
            return jump

    def resume(self, start: int, shown: int = 0) -> None:
        """Go on from the `value` of an earlier run, which has last shown the time `shown`.

        The first time, what the machine's clock said before counts for nothing, and `latest` is
        not below `shown`, unless that is more than `MAX_LAG` ahead, nor below the machine's clock
        of now, unless that is more than `STOP` ahead of both. After that it does not go back.
        """
        with self._lock:
            wall = self._wall()
            self._advance(wall)
            if self._known:
                self._raise_to(start)
            else:
                least = shown if start < shown <= start + MAX_LAG else start
                self._set(start, wall if least < wall <= least + STOP else least)
            self._known = True
            self._lag = self._peak = max(wall - self._value, 0)

    def set_to(self, value: int) -> None:
        """Have this value, even if it is less: that of the process that leads."""
        with self._lock:
            self._seen = self._uptime()
            self._set(value, value)
            self._known = True

    def advance_to(self, instant: int) -> None:
        """Be no further behind than this: another process has come so far, or somebody says so."""
        with self._lock:
            self._raise_to(min(instant, self._wall()))

    def step(self) -> None:
        """Go on from the machine's clock: somebody has looked at it."""
        self.set_to(self._wall())
        self.steps += 1

    def _set(self, value: int, least: int) -> None:
        self._value = value
        self._least = self.floor = least
        self.ceiling = least + SLACK

    def _raise_to(self, value: int) -> None:
        floor = self.floor
        self._set(max(value, self._value), max(value, self._least))
        self.floor = max(floor, self.floor)

    def _advanced(self) -> tuple[int, int]:
        with self._lock:
            wall = self._wall()
            self._advance(wall)
            return self._value, wall

    def _advance(self, wall: int) -> None:
        uptime = self._uptime()
        passed, self._seen = max(uptime - self._seen, 0.0) * SECOND, uptime
        self._value = _slewed(self._value, wall, passed)
        self._least = least = _slewed(self._least, wall, passed)
        self._peak = max(self._peak, wall - self._value)
        self.ceiling = least + SLACK
        floor = max(self.floor, least)
        self.floor = max(floor, wall) if wall < self.ceiling else floor


def _slewed(value: int, wall: int, passed: float) -> int:
    """Towards the machine's clock, at a bounded rate."""
    return min(max(wall, value + int(passed / RATE)), value + int(passed * RATE))
