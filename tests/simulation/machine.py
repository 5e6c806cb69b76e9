"""A machine: a wall clock that may be wrong, a disk that takes its time, and what runs on it."""

import random
from collections.abc import Callable
from typing import Any, Final, TypeVar

import trio

from actors.slewed_clock import SlewedClock
from tests.simulation.clock import Wait, virtual_clock
from tests.simulation.scheduler import id_of

T = TypeVar("T")

EPOCH: Final = 1_790_000_000_000_000_000
"""Unix nanoseconds at the beginning of each run."""
_NANO: Final = 1_000_000_000
LAST_RITES: Final = frozenset({"close", "_close", "_discard"})
"""What may still be done by the harness when a process is dead: the kernel closes its files."""


class DeadError(BaseException):
    """Raised in a process that is dead and does not know; passes through `except Exception`."""


class Clock:
    """A machine's wall clock. `offset` (ns) moves when somebody, or NTP, sets it."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._time = virtual_clock()

    def wall(self) -> int:
        """Unix nanoseconds, as this machine believes."""
        return EPOCH + round(self._time.now * _NANO) + self.offset


class Disk:
    """How long a blocking call takes, in seconds."""

    def __init__(self, chance: random.Random, typical: float = 0.004) -> None:
        self._chance = chance
        self.typical = self.usual = typical

    def delay(self) -> float:
        """Mostly quick, now and then ten times as long."""
        slow = 10 if self._chance.random() < 0.02 else 1
        return self._chance.random() * self.typical * slow


class SimWorld:
    """The `World` of one process' life; a restart gets another one."""

    def __init__(self, chance: random.Random, clock: Clock, disk: Disk) -> None:
        self._chance = chance
        self._clock = clock
        self._disk = disk
        self._time = virtual_clock()
        self.clock = SlewedClock(clock.wall(), self.wall, self.uptime)
        self._calls: list[Wait] = []
        self.dead = False
        self.stopping = trio.Event()
        """Set when the process is asked to end."""

    def now(self) -> int:
        """As `SystemWorld`."""
        return self.clock.latest()

    def wall(self) -> int:
        """As `SystemWorld`: what the machine's clock says."""
        return self._clock.wall()

    def is_right(self) -> bool:
        """Whether the machine's clock is."""
        return self._clock.offset == 0

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self._time.now

    def uptime(self) -> float:
        """The same."""
        return self._time.now

    def new_id(self) -> str:
        """The seed's."""
        return id_of(self._chance)

    def new_request_id(self) -> str:
        """The seed's."""
        return id_of(self._chance)

    def jitter(self) -> float:
        """The seed's."""
        return self._chance.random()

    async def sleep(self, seconds: float) -> None:
        """Virtual."""
        await self._time.sleep(seconds)

    async def run_sync(
        self, fn: Callable[..., T], *args: Any, limiter: trio.CapacityLimiter | None = None
    ) -> T:
        """The call, inline, after and before a delay. A crash falls before or after it.

        A caller that is merely cancelled waits for the end, as with a thread.
        """
        if limiter is None:
            return await self._inline(fn, *args)
        try:
            limiter.acquire_nowait()
        except trio.WouldBlock:
            await limiter.acquire()
        try:
            return await self._inline(fn, *args)
        finally:
            limiter.release()

    async def _inline(self, fn: Callable[..., T], *args: Any) -> T:
        if self.dead:
            return self._bury(fn, *args)
        delay = self._disk.delay()
        await self._time.call(delay, self._calls)
        if self.dead:
            return self._bury(fn, *args)
        result = fn(*args)
        if delay > self._disk.usual / 2:  # else done and known at the same moment
            await self._time.call(delay / 4, self._calls)
        if self.dead and hasattr(result, "close"):
            result.close()  # what it has opened; its owner will never know
        self._live()
        return result

    def worker(self, name: str) -> "SimWorker":  # noqa: ARG002  # the protocol's
        """One without a thread."""
        return SimWorker(self)

    def die(self) -> None:
        """From now on nothing of this life reaches the disk."""
        self.dead = True
        for call in self._calls:
            call.end()

    def _live(self) -> None:
        if self.dead:
            raise DeadError

    def _bury(self, fn: Callable[..., T], *args: Any) -> T:
        if getattr(fn, "__name__", "") in LAST_RITES:
            return fn(*args)
        raise DeadError


class SimWorker:
    """A `Worker` in its owner's task, one call after the other."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._one = trio.Lock()

    async def run(self, fn: Callable[..., T], *args: object) -> T:
        """See `SimWorld.run_sync`."""
        try:
            self._one.acquire_nowait()
        except trio.WouldBlock:
            await self._one.acquire()
        try:
            return await self._world.run_sync(fn, *args)
        finally:
            self._one.release()

    def close(self) -> None:
        """Nothing to end."""
