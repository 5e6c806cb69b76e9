"""Refusals of strangers at the API: each operation has a pace of its own (`Refusals`).

So a flood of one, of forged ways back from a provider for instance, hides no wrong passwords. There
are a dozen operations that are open to strangers, and a cookie without its session key has one pace
for all, so the trail grows by 20 MB a day at most.
"""

from actors import World
from control.services.refusals import Refusals
from control.services.trail import Trail


class Strangers:
    """Of one process."""

    def __init__(self, trail: Trail, world: World) -> None:
        self._trail = trail
        self._world = world
        self._of: dict[str, Refusals] = {}

    def has_room(self, operation: str, source: str) -> bool:
        """Whether one more refusal of this client gets a record; else it is counted.

        `operation`: one that is declared, never what a client says.
        """
        if operation not in self._of:
            self._of[operation] = Refusals(self._trail, self._world, operation)
        return self._of[operation].has_room(source)

    async def tell(self) -> None:
        """Put on the trail how many were only counted, if any. Raises `UnavailableError`."""
        for each in list(self._of.values()):  # one may come while another is told
            await each.tell()
