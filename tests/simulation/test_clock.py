"""The clock of a run: time passes when everybody waits, and by as much as is waited for."""

import pytest
import trio

from tests.simulation.clock import Wait, virtual_clock
from tests.simulation.scheduler import simulate


def test_time_is_what_is_waited_for() -> None:
    """Trio's own deadlines and the clock's waits come in the order of their times."""

    async def main() -> list[str]:
        told: list[str] = []
        clock = virtual_clock()

        async def late(seconds: float, *, ours: bool) -> None:
            if ours:
                await clock.sleep(seconds)
            else:
                await trio.sleep(seconds)
            told.append(f"{clock.now:g} {ours}")

        async with trio.open_nursery() as nursery:
            for seconds, ours in (
                (3.0, True),
                (1.5, False),
                (1e6, True),
                (2.5, True),
                (4.0, False),
            ):
                nursery.start_soon(lambda s=seconds, o=ours: late(s, ours=o))
        return told

    assert simulate(1, main) == ["1.5 False", "2.5 True", "3 True", "4 False", "1e+06 True"]


def test_a_wait_ends_early() -> None:
    """By whoever holds it, or by cancellation; a call only by its holder, or in its time."""

    async def main() -> list[float]:
        clock, waits, calls, ends = virtual_clock(), list[Wait](), list[Wait](), list[float]()

        async def wait() -> None:
            await clock.until(100, waits)
            ends.append(clock.now)

        async def call(seconds: float) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await clock.call(seconds, calls)
            ends.append(clock.now)

        async with trio.open_nursery() as nursery:
            for task in (wait, lambda: call(50), lambda: call(70)):
                nursery.start_soon(task)
            await clock.sleep(1)
            for one in waits:
                one.end()
            with trio.move_on_after(1):
                await clock.sleep(40)
            ends.append(clock.now)
            await clock.sleep(58)
            for one in calls:
                one.end()
        return ends

    assert simulate(1, main) == [1, 2, 50, 60]


def test_nobody_waits_for_nothing() -> None:
    """A run in which nobody can ever go on fails instead of standing still."""
    with pytest.raises(RuntimeError, match="for ever"):
        simulate(1, trio.sleep_forever)
