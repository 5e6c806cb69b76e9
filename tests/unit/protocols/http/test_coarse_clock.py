"""What protocols.http.coarse_clock promises."""

import trio
import trio.testing

from protocols.http.coarse_clock import CoarseClock
from protocols.http.limits import Limits


async def test_deadline_is_never_early(mock_clock: trio.testing.MockClock) -> None:
    """Even a deadline made just before the next tick leaves its whole time."""
    pulse = CoarseClock(Limits(), None)
    mock_clock.jump(pulse.tick * 0.999)
    deadline = pulse.deadline_after(10)
    assert deadline >= trio.current_time() + 10
    assert deadline <= trio.current_time() + 10 + pulse.tick


async def test_tick_suits_the_shortest_time_out(mock_clock: trio.testing.MockClock) -> None:
    """A quarter of it, at most a second, and never a busy loop."""
    assert CoarseClock(Limits(), None).tick == 0.5  # close_seconds is the shortest
    assert CoarseClock(Limits(header_seconds=0.4), None).tick == 0.1
    assert CoarseClock(Limits(header_seconds=0.0001), None).tick == 0.02


async def test_date_follows_the_wall_clock(mock_clock: trio.testing.MockClock) -> None:
    """RFC 9110 section 5.6.7's form, renewed by each beat; absent without a clock."""
    times = iter([0.0, 86_400.0])
    pulse = CoarseClock(Limits(), lambda: next(times))
    assert pulse.date == b"Thu, 01 Jan 1970 00:00:00 GMT"
    pulse.update()
    assert pulse.date_line == b"date: Fri, 02 Jan 1970 00:00:00 GMT\r\n"
    assert CoarseClock(Limits(), None).date_line == b""
