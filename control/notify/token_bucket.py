"""A token bucket: so many an hour. Times are seconds of a monotonic clock."""

from typing import Final

BURST: Final = 10
HOUR: Final = 3600.0


class TokenBucket:
    """One bucket; full at first."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._last = now

    def try_take(self, per_hour: int, now: float) -> bool:
        """Take a token, if there is one."""
        gained = (now - self._last) * per_hour / HOUR
        self._left = min(float(min(BURST, per_hour)), self._left + gained)
        self._last = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
