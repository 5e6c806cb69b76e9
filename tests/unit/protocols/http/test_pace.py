"""What protocols.http.pace promises."""

import trio.testing

from protocols.http.limits import Limits
from protocols.http.pace import Pace
from protocols.http.pulse import Pulse

LIMITS = Limits(body_seconds=10, body_progress=1000)


async def test_a_trickle_runs_out_of_patience(mock_clock: trio.testing.MockClock) -> None:
    """Bytes alone do not renew the window: enough of them do."""
    pulse = Pulse(LIMITS, None)
    pace = Pace(LIMITS, pulse)
    for _ in range(9):
        assert pace.wait() > 0
        mock_clock.jump(1)
        pulse.beat()
        pace.waited(10)
    assert pace.wait() == 1
    pace.waited(1000)
    assert pace.wait() == 10


async def test_a_slow_handler_costs_the_client_nothing(mock_clock: trio.testing.MockClock) -> None:
    """Time between waits does not count."""
    pulse = Pulse(LIMITS, None)
    pace = Pace(LIMITS, pulse)
    pace.wait()
    pace.waited(1)
    mock_clock.jump(1_000)
    pulse.beat()
    assert pace.wait() == 10
