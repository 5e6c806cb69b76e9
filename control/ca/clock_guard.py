"""What this control plane has seen the time to be: its clock may not issue from before that.

A machine without a clock of its own starts in the past. A certificate that is made then is over
when it arrives, and whoever asks again because of it looks like a thief.
"""

from typing import Final

from actors.world import World
from control.ca.store import CaTransaction
from control.errors import UnavailableError
from protocols.instant import SECOND, rfc3339
from protocols.pki.names import AgentName
from protocols.pki.profile import AGENT_LIFE, HOUR

CLOCK_TOLERANCE: Final = HOUR
"""Clocks are set back a little now and then; so much less of a certificate's life harms nobody."""
CLOCK_BEHIND: Final = "clock_behind"


class ClockGuard:
    """`earliest`: Unix nanoseconds that had come before this process began, 0 for none known."""

    def __init__(self, world: World, earliest: int = 0, *, enabled: bool = True) -> None:
        """`checked`: whether the clock is doubted at all (`link.check_clock`)."""
        self._world = world
        self.earliest = earliest
        self._latest = 0  # of the readings of this process
        self._checked = enabled

    def clock_disagreement(self, name: AgentName) -> UnavailableError:
        """For an agent that comes back after the end of a certificate that is not over here.

        One of the clocks is wrong. What it was given since was lost, or over on arrival; once the
        certificate is over here too, it may come back. A thief in its place gets nothing now.
        """
        return UnavailableError(
            CLOCK_BEHIND,
            f"agent {name.vault} comes back after the end of a certificate that, by the control"
            " plane's clock, is not over: set the clock right that is wrong; if both are right, two"
            " use its keys: lock it",
            org=name.org,
            retry_after=60,
        )

    def check_clock(self, tx: CaTransaction, name: AgentName) -> None:
        """Return if the clock may be right. Raises `UnavailableError` (`clock_behind`).

        By the latest time that this process has had: a clock that was ahead in it, and was set
        right, shuts nobody out.
        """
        seen = max(tx.latest_expiry() - AGENT_LIFE, self.earliest)
        self._latest = max(self._latest, self._world.now())
        if self._checked and self._latest + CLOCK_TOLERANCE < seen:
            raise UnavailableError(
                CLOCK_BEHIND,
                f"the control plane's clock is behind {rfc3339(seen // SECOND * SECOND)}, which it"
                " has seen already: set it right, or, if it is, switch link.check_clock off",
                org=name.org,
                retry_after=60,
            )
