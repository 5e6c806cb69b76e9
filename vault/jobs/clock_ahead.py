"""An alert on record when the machine's clock is, or was, far from the time that has passed.

A reading that is far ahead makes credentials expire for as long as it lasts, and what is issued by
it is refused afterwards. A clock that was ahead for long leaves the agent's time ahead of it.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from actors import World
from protocols.instant import SECOND, rfc3339
from vault.audit.record import AuditEvent, service_alert

CLOCK_AHEAD: Final = "sys.clock_ahead"
MAX_CLOCK_AHEAD: Final = 3_600 * SECOND


class ClockAheadAlert:
    """A record of each jump, and one when the agent's time is ahead; `record` is the broker's."""

    def __init__(self, record: Callable[[AuditEvent], Awaitable[None]], world: World) -> None:
        self._record = record
        self._world = world
        self._jump = 0  # not on record yet
        self._told = False

    async def __call__(self) -> None:
        """Look. Raises what recording raises; then it is tried again."""
        wall = self._world.wall()
        ahead = self._world.now() - wall
        self._jump = max(self._jump, self._world.clock.jump())
        if self._jump > MAX_CLOCK_AHEAD:
            await self._record(self._event(_jumped(wall, self._jump)))
        self._jump = 0
        if ahead <= MAX_CLOCK_AHEAD:
            self._told = False
        elif not self._told:
            await self._record(self._event(_ahead(wall, ahead)))
            self._told = True

    def _event(self, rule: str) -> AuditEvent:
        return service_alert(
            "clock",
            CLOCK_AHEAD,
            "sys/clock",
            rule,
            self._world.new_id(),
            result="failed",
            code="clock_ahead",
        )


def _jumped(wall: int, jump: int) -> str:
    return (
        f"the machine's clock jumped {jump // SECOND} seconds ahead, or the machine was suspended; "
        f"it says {rfc3339(wall)} now. If that was wrong: credentials seemed expired until it was "
        "put right, and those with an end that were issued meanwhile are refused: revoke them"
    )


def _ahead(wall: int, ahead: int) -> str:
    return (
        f"the machine's clock says {rfc3339(wall)}, and the agent's time is {ahead // SECOND} "
        "seconds ahead of it: the clock was ahead for long, or was set back. If it is right now, "
        "run `freehold operator confirm-clock`, and revoke what was issued meanwhile"
    )
