"""Names of objects that have something to be done: each once, one piece of work at a time.

The queue of Kubernetes' controllers (client-go, `util/workqueue`): a name that is added while its
work is under way comes again afterwards, so that no change is missed and none is worked on twice at
once. It is bounded by the number of objects.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from typing import Final

import trio

from actors import World
from kube_operator.objects import Key
from protocols.errors import locate

FIRST_DELAY: Final = 0.5  # seconds after the first failure; doubled at each
LAST_DELAY: Final = 300.0
_LEAST_WAIT: Final = 0.001  # seconds: a difference of two times may be too small to wait for
_DOUBLINGS: Final = 12  # beyond that it is `LAST_DELAY` anyway

Work = Callable[[Key], Awaitable[float | None]]

log: Final = logging.getLogger("freehold.kubernetes")


class WorkQueue:
    """Names that are added once until they are worked on, by `workers` tasks."""

    def __init__(self, world: World, *, workers: int = 8) -> None:
        self._world = world
        self._workers = workers
        self._ready: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._active: set[Key] = set()
        self._again: set[Key] = set()  # added while they are worked on
        self._due: dict[Key, float] = {}
        self._later: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._added = trio.Event()
        self._scheduled = trio.Event()
        self.failed = 0

    def __len__(self) -> int:
        """How many wait for a worker."""
        return len(self._ready)

    def add(self, key: Key) -> None:
        """There is something to be done for it now."""
        self._due.pop(key, None)
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._added.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Then, if nothing comes before; the earlier of two times counts."""
        at = self._world.monotonic() + seconds
        if key in self._queued or self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        heappush(self._later, (at, key))
        self._scheduled.set()

    async def run(self, work: Work) -> None:
        """Call `work` with each name until cancelled.

        It returns the seconds after which the name is due again, None for when it is added. What it
        raises is logged, and tried again after a delay that grows.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_time)
            for _ in range(self._workers):
                nursery.start_soon(self._run_worker, work)

    async def _run_worker(self, work: Work) -> None:
        while True:
            while not self._ready:
                self._added = trio.Event() if self._added.is_set() else self._added
                await self._added.wait()
            key = self._ready.popleft()
            self._queued.discard(key)
            self._active.add(key)
            try:
                await self._work_once(key, work)
            finally:
                self._active.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _work_once(self, key: Key, work: Work) -> None:
        try:
            delay = await work(key)
        except Exception as error:  # noqa: BLE001  # one object's failure is not the others'
            self.failed += 1
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, _DOUBLINGS), LAST_DELAY)
            delay *= (1 + self._world.jitter()) / 2
            log.warning("%s/%s: %s; again in %.1f s", *key, _text(error), delay)
        else:
            self._failures.pop(key, None)
        if delay is not None:
            self.add_after(key, delay)

    async def _keep_time(self) -> None:
        while True:
            self._scheduled = trio.Event()
            now = self._world.monotonic()
            while self._later and self._later[0][0] <= now:
                at, key = heappop(self._later)
                if self._due.get(key) == at:
                    self.add(key)
            if not self._later:
                await self._scheduled.wait()
                continue
            with trio.move_on_after(max(self._later[0][0] - now, _LEAST_WAIT)):
                await self._scheduled.wait()


def _text(error: Exception) -> str:
    """Of our errors what they say, which is no value; of others where they were."""
    from kube_operator.errors import ClusterError, ReconcileError

    return str(error) if isinstance(error, ClusterError | ReconcileError) else locate(error)
