"""An alert on record when the agent's time is far ahead of the machine's clock.

That is what one wrong reading of the clock leaves: `World.now` never goes back, so what is issued
meanwhile expires late, and what was issued before counts as expired.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from actors import World
from vault.audit.record import AuditEvent, service_alert
from vault.model.instant import SECOND, rfc3339

CLOCK_AHEAD: Final = "sys.clock_ahead"
TOLERATED: Final = 3_600 * SECOND


class ClockAhead:
    """One record each time that it gets so; `record` is the broker's."""

    def __init__(self, record: Callable[[AuditEvent], Awaitable[None]], world: World) -> None:
        self._record = record
        self._world = world
        self._told = False

    async def __call__(self) -> None:
        """Look. Raises what recording raises; then it is tried again."""
        wall = self._world.wall()
        ahead = self._world.now() - wall
        if ahead <= TOLERATED:
            self._told = False
        elif not self._told:
            await self._record(self._event(wall, ahead))
            self._told = True

    def _event(self, wall: int, ahead: int) -> AuditEvent:
        rule = (
            f"the machine's clock says {rfc3339(wall)}, and the agent's time is {ahead // SECOND} "
            "seconds ahead of it, since the clock said so once. Revoke what was issued since; if "
            "the clock is right now, run `freehold operator confirm-clock` and restart the agent"
        )
        return service_alert(
            "clock",
            CLOCK_AHEAD,
            "sys/clock",
            rule,
            self._world.new_id(),
            result="failed",
            code="clock_ahead",
        )
