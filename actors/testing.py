"""For tests: a world that stands still, actors that keep a diary, and crashes on demand."""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import trio

from actors.actor import Actor, BatchActor
from actors.child import Child
from actors.ref import Ref
from actors.report import FailureReport
from actors.restart import RestartPolicy
from actors.slewed_clock import SlewedClock
from actors.supervisor import Supervisor
from actors.world import World

T = TypeVar("T")

_NANO = 1_000_000_000

# Knuth's MMIX generator (The Art of Computer Programming, volume 2, section 3.3.4).
_MMIX_A = 6364136223846793005
_MMIX_C = 1442695040888963407


class InlineWorker:
    """A `Worker` that runs its calls in the caller's task, one after the other."""

    def __init__(self) -> None:
        self._one = trio.Lock()

    async def run(self, fn: Callable[..., T], *args: object) -> T:
        """The call, inline after a checkpoint."""
        async with self._one:
            return fn(*args)

    def close(self) -> None:
        """Nothing to end."""


class FakeWorld:
    """A `World` whose clock moves only when told, and whose chance repeats.

    `sleep` returns once `advance` has moved the clock far enough. Trio's own clock, by which `call`
    measures its deadlines, is not this one: use `trio.testing.MockClock` for that.
    """

    def __init__(self, now: int = 1_800_000_000 * _NANO, seed: int = 0) -> None:
        """`now`: Unix nanoseconds."""
        self._wall = now
        self._monotonic = 0.0
        self.clock = SlewedClock(now, self.wall, self.uptime)
        self._ids = 0
        self._chance = seed
        self._sleepers: list[tuple[float, int, trio.Event]] = []
        self._slept = 0

    def now(self) -> int:
        """Unix nanoseconds; see `World`."""
        return self.clock.latest()

    def wall(self) -> int:
        """Unix nanoseconds, also when stepped back."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def uptime(self) -> float:
        """The same."""
        return self._monotonic

    def new_id(self) -> str:
        """`00000000-0000-4000-8000-000000000001`, and so on."""
        self._ids += 1
        return str(uuid.UUID(int=self._ids, version=4))

    def new_request_id(self) -> str:
        """As `new_id`, and of the same sequence."""
        return self.new_id()

    def jitter(self) -> float:
        """The next of the seed's numbers in [0, 1)."""
        self._chance = (self._chance * _MMIX_A + _MMIX_C) % 2**64
        return (self._chance >> 11) / 2**53

    async def sleep(self, seconds: float) -> None:
        """Wait for `advance`; at least a checkpoint."""
        await trio.lowlevel.checkpoint()
        if seconds <= 0:
            return
        entry = (self._monotonic + seconds, self._slept, trio.Event())
        self._slept += 1
        heapq.heappush(self._sleepers, entry)
        try:
            await entry[2].wait()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    async def run_sync(
        self,
        fn: Callable[..., T],
        *args: object,
        limiter: trio.CapacityLimiter | None = None,  # noqa: ARG002  # the protocol's
        abandon_on_cancel: bool = False,  # noqa: ARG002  # the protocol's
    ) -> T:
        """The call, inline after a checkpoint."""
        await trio.lowlevel.checkpoint()
        return fn(*args)

    def worker(self, name: str) -> InlineWorker:  # noqa: ARG002  # the protocol's
        """One without a thread."""
        return InlineWorker()

    @property
    def sleepers(self) -> int:
        """How many tasks wait in `sleep`."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward and wake those whose sleep is over, earliest first."""
        if seconds < 0:
            raise ValueError("time does not go backwards; see step_wall")
        self._monotonic += seconds
        self._wall += round(seconds * _NANO)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            heapq.heappop(self._sleepers)[2].set()

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, forward or back, as an administrator or NTP would."""
        self._wall += round(seconds * _NANO)


class Diary:
    """What happened, in order; tests wait for it instead of sleeping."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self._written = trio.Event()

    def write(self, entry: str) -> None:
        """Add one entry."""
        self.entries.append(entry)
        self._written.set()
        self._written = trio.Event()

    async def wait_for(self, entry: str, times: int = 1) -> None:
        """Return once `entry` is there so many times."""
        while self.entries.count(entry) < times:
            await self._written.wait()


class CrashError(Exception):
    """An injected crash, told apart from every real one."""


EAGER = RestartPolicy(intensity=3, window=60, backoff_base=0, backoff_cap=0)
"""Restarts at once, three times a minute."""
STRICT = RestartPolicy(intensity=0, window=60, backoff_base=0, backoff_cap=0)
"""The first failure escalates."""


def quiet(_: FailureReport) -> None:
    """A reporter for tests that crash actors on purpose."""


def state_of(supervisor: Supervisor, path: str) -> str:
    """The state of the node at `path`, which counts from the root: `root/child`."""
    return next(node.state for node in supervisor.snapshot().walk() if node.name == path)


async def crash(ref: Ref[Any]) -> None:
    """Crash a `Probe` and return once its asker has been told."""
    try:
        await ref.call(CrashError("injected"), 1)
    except CrashError:
        return
    raise AssertionError("the probe did not crash")


class Probe(Actor[Any]):
    """Writes its life to a diary; echoes what it is sent, calls callables, raises exceptions."""

    def __init__(self, name: str, diary: Diary) -> None:
        self.name = name
        self.diary = diary

    async def on_start(self) -> None:
        """`name: start`."""
        self.diary.write(f"{self.name}: start")

    async def receive(self, message: Any) -> object:
        """`name: got …` for text; an exception is raised, an async callable is awaited."""
        if isinstance(message, Exception):
            raise message
        if callable(message):
            return await message()
        self.diary.write(f"{self.name}: got {message}")
        return message

    async def on_stop(self) -> None:
        """`name: stop`."""
        self.diary.write(f"{self.name}: stop")


class BatchProbe(BatchActor[Any]):
    """A probe that keeps its batches; the first exception or callable in one is obeyed."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    async def receive_batch(self, batch: Sequence[Any]) -> Sequence[object]:
        """Echo the batch."""
        self.batches.append(list(batch))
        for message in batch:
            if isinstance(message, Exception):
                raise message
            if callable(message):
                await message()
        return batch


def probes(names: Iterable[str], diary: Diary, **terms: Any) -> list[Child]:
    """A probe child for each of `names` ("abc" are three); `terms` are fields of `Child`."""
    return [Child(name, partial(Probe, name, diary), **terms) for name in names]


Fault = Callable[[Any], Exception | None]


def crash_on_nth(n: int, error: Exception) -> Fault:
    """A fault that strikes once: at the n-th message, counted from 1 over all incarnations."""
    seen = 0

    def fault(_: Any) -> Exception | None:
        nonlocal seen
        seen += 1
        return error if seen == n else None

    return fault


def inject(
    factory: Callable[[], Actor[Any] | BatchActor[Any]], fault: Fault
) -> Callable[[], Actor[Any] | BatchActor[Any]]:
    """A factory of the same actors, crashing with `fault(message)` before such a message is served.

    A batch crashes if any of its messages does, before any of them is served.
    """

    def make() -> Actor[Any] | BatchActor[Any]:
        inner = factory()
        if isinstance(inner, BatchActor):
            return _FaultyBatch(inner, fault)
        return _Faulty(inner, fault)

    return make


class _Faulty(Actor[Any]):
    def __init__(self, inner: Actor[Any], fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    async def on_start(self) -> None:
        await self._inner.on_start()

    async def receive(self, message: Any) -> object:
        if error := self._fault(message):
            raise error
        return await self._inner.receive(message)

    async def on_stop(self) -> None:
        await self._inner.on_stop()


class _FaultyBatch(BatchActor[Any]):
    def __init__(self, inner: BatchActor[Any], fault: Fault) -> None:
        self._inner = inner
        self._fault = fault
        self.max_batch = inner.max_batch  # type: ignore[misc]  # as the one it stands in for
        self.hold = inner.hold  # type: ignore[misc]  # the same

    async def on_start(self) -> None:
        await self._inner.on_start()

    async def receive_batch(self, batch: Sequence[Any]) -> Sequence[object]:
        for message in batch:
            if error := self._fault(message):
                raise error
        return await self._inner.receive_batch(batch)

    async def on_stop(self) -> None:
        await self._inner.on_stop()


_: World = FakeWorld()  # the type checker's proof that it is one
