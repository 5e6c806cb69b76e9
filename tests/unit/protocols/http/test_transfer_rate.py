"""What protocols.http.transfer_rate promises."""

import trio.testing

from protocols.http.coarse_clock import CoarseClock
from protocols.http.limits import Limits
from protocols.http.transfer_rate import MinimumTransferRate

LIMITS = Limits(body_seconds=10, body_progress=1000)


async def test_a_trickle_runs_out_of_patience(mock_clock: trio.testing.MockClock) -> None:
    """Bytes alone do not renew the window: enough of them do."""
    pulse = CoarseClock(LIMITS, None)
    pace = MinimumTransferRate(LIMITS, pulse)
    for _ in range(9):
        assert pace.begin_wait() > 0
        mock_clock.jump(1)
        pulse.update()
        pace.end_wait(10)
    assert pace.begin_wait() == 1
    pace.end_wait(1000)
    assert pace.begin_wait() == 10


async def test_a_slow_handler_costs_the_client_nothing(mock_clock: trio.testing.MockClock) -> None:
    """Time between waits does not count."""
    pulse = CoarseClock(LIMITS, None)
    pace = MinimumTransferRate(LIMITS, pulse)
    pace.begin_wait()
    pace.end_wait(1)
    mock_clock.jump(1_000)
    pulse.update()
    assert pace.begin_wait() == 10
