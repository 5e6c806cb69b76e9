"""The only door to clock, identifiers, chance and threads: what a simulation replaces."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Final, Protocol, TypeVar

import trio

from actors.slewed_clock import SECOND, SlewedClock
from actors.worker import ThreadWorker

T = TypeVar("T")

_ENTROPY: Final = 4096  # bytes drawn at a time
_PIECE: Final = 16  # of them, for one id
_VARIANT: Final = "89ab"  # the digit whose two upper bits say which kind of UUID it is
_FIELDS: Final = Struct(">HH4xQ")  # of a piece: 12, 14 and 48 bits of each are taken
_VERSION_7: Final = "%08x-%04x-7%03x-%04x-%012x"


class Worker(Protocol):
    """A thread of one owner's; see `actors.worker`."""

    async def run(self, fn: Callable[..., T], *args: object) -> T:
        """Run a blocking call after those before it and return its result or raise its exception.

        A cancelled caller still waits for the call to end.
        """
        ...

    def close(self) -> None:
        """Have the thread end; no call may be running or follow."""
        ...


class World(Protocol):
    """What an actor may ask of the machine it runs on."""

    clock: SlewedClock
    """The time that is known to have passed, below which `now` never answers."""

    def now(self) -> int:
        """Unix time in nanoseconds: the later of the machine's clock and `clock`.

        It goes back in one case: when a clock that jumped more than a second ahead is put right.
        Whatever keeps an answer to compare it with a later one has to bear that.
        """
        ...

    def wall(self) -> int:
        """Unix time in nanoseconds as the machine has it at this moment: it can be set back.

        For telling others the time; expiry and order go by `now`.
        """
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that only moves forward; only differences mean anything."""
        ...

    def uptime(self) -> float:
        """Seconds on a clock that all processes of a machine have in common; in any thread."""
        ...

    def new_id(self) -> str:
        """A fresh random UUID as text."""
        ...

    def new_request_id(self) -> str:
        """A fresh UUID as text; later ones sort behind earlier ones of a millisecond before."""
        ...

    def jitter(self) -> float:
        """A number in [0, 1) to spread retries. Not fit for secrets."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...

    async def run_sync(
        self,
        fn: Callable[..., T],
        *args: object,
        limiter: trio.CapacityLimiter | None = None,
        abandon_on_cancel: bool = False,
    ) -> T:
        """Run a blocking call off the event loop and return its result or raise its exception.

        A cancelled caller still waits for the call to end, unless `abandon_on_cancel`: then the
        call goes on by itself and its outcome is lost. For what may hang, as a network file system.
        """
        ...

    def worker(self, name: str) -> Worker:
        """A thread for whoever has one blocking call after the other; to be closed again."""
        ...


def uptime_ns(world: World) -> int:
    """`World.uptime` in whole nanoseconds, for what lasts so long whatever the clock says."""
    return int(world.uptime() * SECOND)


class SystemWorld:
    """The real one: the machine's clock, the kernel's randomness, Trio's threads."""

    def __init__(self) -> None:
        self.clock = SlewedClock(time.time_ns(), self.wall, self.uptime)
        self._random = random.SystemRandom()
        self._pieces: list[bytes] = []  # of the kernel's, for ids

    def now(self) -> int:
        """`SlewedClock.latest` without its calls: a request asks eight times."""
        clock, wall = self.clock, time.time_ns()
        if clock.floor <= wall < clock.ceiling:
            clock.floor = wall
            return wall
        return clock.settle(wall)

    def wall(self) -> int:
        """The machine's clock."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Trio's own clock, so that deadlines and measurements agree (also under `MockClock`)."""
        return trio.current_time()

    def uptime(self) -> float:
        """Linux's `CLOCK_MONOTONIC` (clock_gettime(2))."""
        return time.monotonic()

    def new_id(self) -> str:
        """A UUID version 4 (RFC 9562, section 5.4), in a third of the time that `uuid` takes."""
        digits = self._entropy().hex()
        variant = _VARIANT[int(digits[16], 16) & 3]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )

    def new_request_id(self) -> str:
        """A UUID version 7 (RFC 9562, section 5.7).

        An index of requests then grows at its end, instead of touching a page for each of them.
        """
        ms, a, b, c = self.now() // 1_000_000, *_FIELDS.unpack(self._entropy())
        return _VERSION_7 % (ms >> 16, ms & 0xFFFF, a & 0xFFF, b & 0x3FFF | 0x8000, c >> 16)

    def _entropy(self) -> bytes:
        """Sixteen bytes of the kernel's that nobody had before, some hundred ids a system call.

        In any thread: what is taken from a list is taken once. Good for names, not for keys. A fork
        would give them out twice, so a process that forks makes its world afterwards
        (`vault.workers.zygote`).
        """
        try:
            return self._pieces.pop()
        except IndexError:
            drawn = os.urandom(_ENTROPY)
            pieces = [drawn[i : i + _PIECE] for i in range(0, _ENTROPY, _PIECE)]
            piece = pieces.pop()
            self._pieces = pieces
            return piece

    def jitter(self) -> float:
        """Uniform in [0, 1)."""
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        """`trio.sleep`."""
        await trio.sleep(seconds)

    async def run_sync(
        self,
        fn: Callable[..., T],
        *args: object,
        limiter: trio.CapacityLimiter | None = None,
        abandon_on_cancel: bool = False,
    ) -> T:
        """A worker thread, at most `limiter` at a time (Trio's default limiter is 40)."""
        return await trio.to_thread.run_sync(
            partial(fn, *args), limiter=limiter, abandon_on_cancel=abandon_on_cancel
        )

    def worker(self, name: str) -> Worker:
        """A thread."""
        return ThreadWorker(name)
