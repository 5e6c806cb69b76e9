"""The loop's working time is counted, its idle time is not."""

import trio
import trio.testing

from protocols.http.server import LoopMeter


class Clock(trio.abc.Clock):
    """Time that a test moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def start_clock(self) -> None:
        """Part of Trio's protocol, as are the following."""

    def current_time(self) -> float:
        """As set."""
        return self.time

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Never, but for what is due."""
        return 0.0 if deadline <= self.time else 0.01


def test_work_counts_and_waiting_does_not() -> None:
    """Between two turns of the loop, and in the middle of one."""
    clock = Clock()

    async def main() -> None:
        meter = LoopMeter()
        assert meter.take_busy_seconds() is None
        meter.set_enabled(wanted=True)
        clock.time = 2.0  # two seconds of work
        meter.before_io_wait(1.0)
        clock.time = 5.0  # three of waiting
        meter.after_io_wait(1.0)
        clock.time = 6.0
        assert meter.take_busy_seconds() == 3.0
        clock.time = 6.5
        meter.before_io_wait(0.0)
        meter.after_io_wait(0.0)
        assert meter.take_busy_seconds() == 0.5
        meter.set_enabled(wanted=False)
        assert meter.take_busy_seconds() is None

    trio.run(main, clock=clock)


async def test_trio_tells_it() -> None:
    """As an instrument of the loop it sees the turns."""
    with LoopMeter() as meter:
        meter.set_enabled(wanted=True)
        began = trio.current_time()
        await trio.sleep(0.02)
        busy = meter.take_busy_seconds()
        assert busy is not None
        assert busy < trio.current_time() - began
    assert meter.take_busy_seconds() is None
