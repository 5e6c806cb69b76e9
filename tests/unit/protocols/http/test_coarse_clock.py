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
