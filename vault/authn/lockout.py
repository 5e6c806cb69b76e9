"""Lockout after repeated wrong secrets, as OpenBao counts: 5 failures, 15 minutes.

It guards the secret of one credential against one source address: the right id with a wrong secret.
Of a 256-bit secret nothing is learnt in any number of guesses, so for bearer credentials this only
ends the work that a broken or hostile client causes; it matters for what a person chose. Failures
are not counted by address alone, because one stale token behind a NAT would then lock out its
neighbours, nor for unknown ids, where there is nothing to guard. Whoever is locked out hears what
every refused caller hears. Kept in memory: a restart forgets it, which 2^256 does not notice.
"""

from typing import Final

from protocols.instant import SECOND

FAILURES: Final = 5
DURATION: Final = 15 * 60 * SECOND
RESET: Final = 15 * 60 * SECOND  # this long without a failure, and counting starts anew
MAX_KEYS: Final = 65_536  # about 15 MB

Key = tuple[str, str]  # credential id, source address


class Lockout:
    """Failures by credential and address; the pair that failed longest ago is forgotten first."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._failed: dict[Key, tuple[int, int]] = {}  # (how often, last time)
        self._begun = 0

    @property
    def begun(self) -> int:
        """How many lockouts have begun."""
        return self._begun

    def is_locked(self, key: Key, now: int) -> bool:
        """Say whether the pair has to wait still."""
        count, last = self._failed.get(key, (0, 0))
        return count >= FAILURES and abs(now - last) < DURATION

    def record_failure(self, key: Key, now: int) -> None:
        """Count a wrong secret. A locked pair is not locked for longer by trying on."""
        count, last = self._failed.get(key, (0, 0))
        if self.is_locked(key, now):
            return
        self._failed.pop(key, None)
        count = counted_failure(count, last, now)
        self._failed[key] = (count, now)
        self._begun += count == FAILURES
        if len(self._failed) > self._max_keys:
            del self._failed[next(iter(self._failed))]

    def record_success(self, key: Key) -> None:
        """Forget the pair's failures."""
        self._failed.pop(key, None)

    def __len__(self) -> int:
        return len(self._failed)


def counted_failure(count: int, last: int, now: int) -> int:
    """How many failures there are with one more, after `count` of which the last was at `last`.

    A lockout that ended starts anew: DURATION is no shorter. So does one of a clock ahead.
    """
    return 1 if abs(now - last) >= RESET else count + 1
