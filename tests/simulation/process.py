"""A process that may die at any moment and be started again; its machine's disk survives it."""

import random
from collections.abc import Awaitable, Callable

import trio

from tests.simulation.machine import Clock, Disk, SimWorld
from tests.simulation.trace import Trace

Main = Callable[[SimWorld], Awaitable[None]]


class Process:
    """Runs `main` with a new world each life, from `run` until it is cancelled."""

    def __init__(
        self, name: str, main: Main, chance: random.Random, disk: Disk, trace: Trace
    ) -> None:
        self.name = name
        self.clock = Clock()
        self.lives = 0
        self.world: SimWorld | None = None
        """Of the present life; None while it is down."""
        self._main = main
        self._chance = chance
        self.disk = disk
        self._trace = trace
        self._wanted = True
        self._news = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def up(self) -> bool:
        """Whether it lives."""
        return self.world is not None

    async def run(self) -> None:
        """Live, die and live again. A death by itself is a failure of the run."""
        while True:
            while not self._wanted:
                await self._news.wait()
            self.lives += 1
            self.world = SimWorld(self._chance, self.clock, self.disk)
            self._trace.write(self.name, f"life {self.lives}")
            await self._live(self.world)
            self.world = None
            self._trace.write(self.name, "down")

    def crash(self) -> None:
        """Die now: nothing more reaches the disk, nothing in memory survives."""
        self._want(False)
        if self.world is not None:
            self.world.die()
            self._scope.cancel()

    def stop(self) -> None:
        """Ask it to end, as at SIGTERM; its main does, or is killed by the next start."""
        self._want(False)
        if self.world is not None:
            self.world.stopping.set()

    def start(self) -> None:
        """Live again, if it does not."""
        if self.world is not None and self.world.stopping.is_set():
            self.crash()
        self._want(True)

    async def _live(self, world: SimWorld) -> None:
        with trio.CancelScope() as self._scope:
            try:
                await self._main(world)
            except BaseException:
                if not world.dead:
                    raise
                # whatever a dying process says is not heard
        if not world.dead and not world.stopping.is_set():
            raise RuntimeError(f"{self.name} has ended by itself")

    def _want(self, wanted: bool) -> None:
        self._wanted = wanted
        self._news.set()
        self._news = trio.Event()
