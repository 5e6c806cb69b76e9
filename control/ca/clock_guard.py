"""Refuses to issue certificates by a clock that is behind a time that has been seen already.

A machine without a battery-backed clock starts in the past. A certificate that is made then has
expired when it arrives, and an agent that asks again because of it looks like a thief.
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
    """`earliest`: Unix nanoseconds that had passed before this process began, 0 for unknown."""

    def __init__(self, world: World, earliest: int = 0, *, enabled: bool = True) -> None:
        """`enabled`: whether the clock is checked at all (`link.check_clock`)."""
        self._world = world
        self.earliest = earliest
        self._latest = 0  # of the readings of this process
        self._checked = enabled

    def clock_disagreement(self, name: AgentName) -> UnavailableError:
        """The error for an agent whose certificate has expired by its clock and not by ours.

        One of the clocks is wrong. Certificates that the agent was given since were lost, or had
        expired on arrival. Once the certificate has expired here too, the agent may return. A thief
        in its place gets nothing now.
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
        """Raise `UnavailableError` (`clock_behind`) while the clock is certainly wrong.

        The reference is the latest time of this process: a clock that was ahead in it, and was set
        right, blocks nothing.
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
