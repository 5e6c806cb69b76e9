"""A world whose clock is Trio's."""

import trio

from actors.testing import FakeWorld
from protocols.instant import SECOND


class TrioWorld(FakeWorld):
    """With `autojump_clock`, weeks pass in a moment."""

    def wall(self) -> int:
        """Unix nanoseconds, from the fake's own beginning on."""
        return super().wall() + round(trio.current_time() * SECOND)

    def monotonic(self) -> float:
        """Trio's clock."""
        return trio.current_time()

    def uptime(self) -> float:
        """The same, once Trio runs."""
        return trio.current_time() if trio.lowlevel.in_trio_run() else 0.0

    async def sleep(self, seconds: float) -> None:
        """`trio.sleep`."""
        await trio.sleep(seconds)
