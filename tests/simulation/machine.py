"""A machine: a wall clock that may be wrong, a disk that takes its time, and what runs on it."""

import random
from collections.abc import Callable
from typing import Any, Final, TypeVar

import trio

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

    def wall(self) -> int:
        """Unix nanoseconds, as this machine believes."""
        return EPOCH + round(trio.current_time() * _NANO) + self.offset


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
        self._last = 0
        self._calls: dict[int, trio.CancelScope] = {}
        self._call = 0
        self.dead = False
        self.stopping = trio.Event()
        """Set when the process is asked to end."""

    def now(self) -> int:
        """As `SystemWorld`: never less than before, in this life."""
        self._last = max(self._last, self._clock.wall())
        return self._last

    def wall(self) -> int:
        """As `SystemWorld`: what the machine's clock says."""
        return self._clock.wall()

    def monotonic(self) -> float:
        """Virtual seconds."""
        return trio.current_time()

    def new_id(self) -> str:
        """The seed's."""
        return id_of(self._chance)

    def jitter(self) -> float:
        """The seed's."""
        return self._chance.random()

    async def sleep(self, seconds: float) -> None:
        """Virtual."""
        await trio.sleep(seconds)

    async def run_sync(
        self, fn: Callable[..., T], *args: Any, limiter: trio.CapacityLimiter | None = None
    ) -> T:
        """The call, inline, after and before a delay. A crash falls before or after it.

        A caller that is merely cancelled waits for the end, as with a thread.
        """
        if limiter is None:
            return await self._inline(fn, *args)
        async with limiter:
            return await self._inline(fn, *args)

    async def _inline(self, fn: Callable[..., T], *args: Any) -> T:
        if self.dead:
            return self._bury(fn, *args)
        self._call += 1
        number, delay = self._call, self._disk.delay()
        with trio.CancelScope(shield=True) as scope:
            self._calls[number] = scope
            try:
                await trio.sleep(delay)
                self._live()
                result = fn(*args)
                if delay > self._disk.usual / 2:  # else done and known at the same moment
                    await trio.sleep(delay / 4)
                if self.dead and hasattr(result, "close"):
                    result.close()  # what it has opened; its owner will never know
                self._live()
                return result
            finally:
                del self._calls[number]
        raise DeadError

    def worker(self, name: str) -> "SimWorker":  # noqa: ARG002  # the protocol's
        """One without a thread."""
        return SimWorker(self)

    def die(self) -> None:
        """From now on nothing of this life reaches the disk."""
        self.dead = True
        for scope in self._calls.values():
            scope.shield = False
            scope.cancel()

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
        async with self._one:
            return await self._world.run_sync(fn, *args)

    def close(self) -> None:
        """Nothing to end."""
