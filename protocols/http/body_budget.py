"""The bytes of request bodies that all connections of a server may hold at once. Pure.

Small bodies have a part of their own: whoever uploads much and slowly keeps other large uploads
waiting, and nobody else.
"""

from typing import Final

from protocols.http.limits import KIB, Limits

SMALL: Final = 16 * KIB  # four times a long secret; at the slowest pace allowed it is here in 20 s
SHARE: Final = 4  # small bodies have one part in so many


class BodyBudget:
    """How much is held. A request tells what it holds already; it takes and gives by itself."""

    __slots__ = ("_large", "_large_limit", "_small", "_small_limit")

    def __init__(self, limits: Limits) -> None:
        self._small = self._large = 0
        self._small_limit = limits.bodies_bytes // SHARE
        self._large_limit = limits.bodies_bytes - self._small_limit

    @property
    def held(self) -> int:
        """Bytes of all bodies."""
        return self._small + self._large

    def try_reserve(self, held: int, more: int) -> bool:
        """Let a request that holds `held` bytes hold `more`; False, and nothing is taken, if full.

        A body that grows out of being small counts as large with all it holds.
        """
        total = held + more
        if total <= SMALL:
            if self._small + more > self._small_limit:
                return False
            self._small += more
            return True
        moved = held if held <= SMALL else 0
        if self._large + moved + more > self._large_limit:
            return False
        self._small -= moved
        self._large += moved + more
        return True

    def release_body(self, held: int) -> None:
        """A request lets go of all it held."""
        if held <= SMALL:
            self._small -= held
        else:
            self._large -= held
