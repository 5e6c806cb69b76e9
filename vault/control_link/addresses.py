"""Where the control plane may be reached: one address, or several of its processes.

Whoever has several begins with any of them, so that a fleet is spread, and goes on to the next when
one does not serve. It is the certificate that says who is there, not the address.
"""

from collections.abc import Sequence

from actors import World


class ControlPlaneAddresses:
    """The one to try now."""

    def __init__(self, more: Sequence[str], world: World) -> None:
        """`more`: beside the address that the agent was enrolled at."""
        self._more = tuple(more)
        self._place = int(world.jitter() * (len(self._more) + 1)) if self._more else 0

    def address_for(self, endpoint: str) -> str:
        """The address to try, for an agent that was enrolled at `endpoint`."""
        every = tuple(dict.fromkeys((endpoint, *self._more)))
        return every[self._place % len(every)]

    def use_next(self) -> None:
        """That one does not serve: the next."""
        self._place += 1
