"""How much a peer may ask: so much at once, and so much a minute from then on. Pure.

Whoever answers has to write: on the wire, on a ledger, in a log. Without a bound of this kind a
peer decides how fast those fill.
"""

from typing import Final

from protocols.link.errors import Fault, RemoteFaultError

MINUTE: Final = 60.0  # seconds


class TokenBucket:
    """A token bucket; times are of one monotonic clock, in seconds."""

    __slots__ = ("_burst", "_left", "_per_second", "_since")

    def __init__(self, burst: int, a_minute: float, now: float) -> None:
        """`burst` at once, and `a_minute` more as time goes by."""
        self._burst = float(burst)
        self._left = self._burst
        self._per_second = a_minute / MINUTE
        self._since = now

    def seconds_until_free(self, now: float) -> float:
        """Seconds until one more may come: 0 if it may come now."""
        self._refill(now)
        return max(0.0, (1.0 - self._left) / self._per_second)

    def try_consume(self, now: float) -> bool:
        """Count one, if it may come now."""
        self._refill(now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def consume(self, now: float) -> None:
        """Count one. Raises `RemoteFaultError` (`flood`) if it may not come now."""
        if not self.try_consume(now):
            raise RemoteFaultError(Fault.FLOOD, "the peer asks faster than it may")

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._since)
        self._left = min(self._burst, self._left + passed * self._per_second)
        self._since = max(self._since, now)
