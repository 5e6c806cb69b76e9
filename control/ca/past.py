"""What this control plane has seen the time to be: its clock may not issue from before that.

A machine without a clock of its own starts in the past. A certificate that is made then is over
when it arrives, and whoever asks again because of it looks like a thief.
"""

from typing import Final

from actors.world import World
from control.ca.ledger import LedgerTx
from control.errors import UnavailableError
from protocols.instant import SECOND, rfc3339
from protocols.pki.names import AgentName
from protocols.pki.profile import AGENT_LIFE, HOUR

TOLERANCE: Final = HOUR
"""Clocks are set back a little now and then; so much less of a certificate's life harms nobody."""
BEHIND: Final = "clock_behind"


class Past:
    """`floor`: Unix nanoseconds that had come before this process began, 0 for none known."""

    def __init__(self, world: World, floor: int = 0, *, checked: bool = True) -> None:
        """`checked`: whether the clock is doubted at all (`link.check_clock`)."""
        self._world = world
        self.floor = floor
        self._latest = 0  # of the readings of this process
        self._checked = checked

    def doubted(self, name: AgentName) -> UnavailableError:
        """For an agent that comes back after the end of a certificate that is not over here.

        One of the clocks is wrong. What it was given since was lost, or over on arrival; once the
        certificate is over here too, it may come back. A thief in its place gets nothing now.
        """
        return UnavailableError(
            BEHIND,
            f"agent {name.vault} comes back after the end of a certificate that, by the control"
            " plane's clock, is not over: set the clock right that is wrong; if both are right, two"
            " use its keys: lock it",
            org=name.org,
            retry_after=60,
        )

    def check(self, tx: LedgerTx, name: AgentName) -> None:
        """Return if the clock may be right. Raises `UnavailableError` (`clock_behind`).

        By the latest time that this process has had: a clock that was ahead in it, and was set
        right, shuts nobody out.
        """
        seen = max(tx.newest_end() - AGENT_LIFE, self.floor)
        self._latest = max(self._latest, self._world.now())
        if self._checked and self._latest + TOLERANCE < seen:
            raise UnavailableError(
                BEHIND,
                f"the control plane's clock is behind {rfc3339(seen // SECOND * SECOND)}, which it"
                " has seen already: set it right, or, if it is, switch link.check_clock off",
                org=name.org,
                retry_after=60,
            )
