"""Wrong secrets, counted once for all processes: by the leader.

A pair of credential and address that has failures is the leader's case, right or wrong, until it
has succeeded there. So no worker lets in whom the leader locked out, and none counts by itself.
"""

from typing import Final

from vault.authn.lockout import DURATION, MAX_KEYS, RESET, Key, Lockout
from vault.workers.elsewhere import Elsewhere
from vault.workers.journal import JournalWriter
from vault.workers.page import FAILED_AT, Page

_REMEMBERED: Final = max(DURATION, RESET)


class LeaderLockout(Lockout):
    """Counts, and tells the workers whose failures it remembers."""

    def __init__(self, journal: JournalWriter, max_keys: int = MAX_KEYS) -> None:
        super().__init__(max_keys)
        self._journal = journal

    def record_failure(self, key: Key, now: int) -> None:
        """As `Lockout.record_failure`."""
        super().record_failure(key, now)
        self._journal.failed(key, now)

    def record_success(self, key: Key) -> None:
        """As `Lockout.record_success`."""
        if key in self._failed:
            super().record_success(key)
            self._journal.cleared(key)


class WorkerLockout(Lockout):
    """Knows the pairs with failures; one that it may have missed counts as one, too."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._words = page.words
        self._pairs: set[Key] = set()
        self._last = 0  # failure of a pair that may have been missed
        self.lost()

    def is_locked(self, key: Key, now: int) -> bool:
        """Raise `Elsewhere` for a pair with failures; False for others."""
        if key in self._pairs or (self._last and abs(now - self._last) < _REMEMBERED):
            raise Elsewhere
        return False

    def record_failure(self, key: Key, now: int) -> None:  # noqa: ARG002  # the leader looks itself
        """Raise `Elsewhere`: the leader looks again, counts and refuses."""
        raise Elsewhere

    def record_success(self, key: Key) -> None:
        """Nothing to forget: a pair with failures does not come this far."""

    def note(self, key: Key) -> None:
        """It has failures now."""
        self._pairs.add(key)
        if len(self._pairs) > MAX_KEYS:
            self.lost()

    def clear(self, key: Key) -> None:
        """It has none any more."""
        self._pairs.discard(key)

    def lost(self) -> None:
        """Some may have been missed: until the last failure is forgotten, every pair is a case."""
        self._pairs.clear()
        self._last = self._words[FAILED_AT]
