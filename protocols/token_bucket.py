"""A token bucket: so many requests at once, and so many a second from then on. Pure.

Times are seconds of one monotonic clock. For a bucket for each of many keys see
`vault.authz.rate_limits`.
"""

from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0
"""Seconds, for rates: `per_minute / MINUTE`."""


class TokenBucket:
    """One bucket; full at first."""

    __slots__ = ("_burst", "_per_second", "_since", "_tokens")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        """`burst` at once, and `per_second` more as time goes by."""
        self._burst = float(burst)
        self._tokens = self._burst
        self._per_second = per_second
        self._since = now

    def set_rate(self, burst: float, per_second: float, now: float) -> None:
        """Change the limits from now on. Tokens beyond the new `burst` are lost."""
        self._per_second = per_second
        self._burst = float(burst)
        self._refill(now)

    def seconds_until_free(self, now: float) -> float:
        """Seconds until a token is there: 0 if there is one now."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self._per_second)

    def try_consume(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._since)
        self._tokens = min(self._burst, self._tokens + passed * self._per_second)
        self._since = max(self._since, now)
