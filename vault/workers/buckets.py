"""Rate limits and lockouts of all processes together: tables in shared memory.

Nobody locks: of two processes that change one entry at once (or of which one is suspended in
between) the later one's figure counts, and the other's token or failure is not counted. A limit
survives that, and a lock in every request would cost more.
"""

from typing import Final

from vault.authn.lockout import DURATION, FAILURES, Key, Lockout, counted_failure
from vault.authz.rate_limits import Limit, TokenBuckets
from vault.workers.page import LOCKOUTS, Page

_PROBES: Final = 8  # places where an entry may be
_COUNT: Final = 7  # the bits of a failure's word that hold the count; the others are its time


class SharedTable:
    """Pairs of words: what an entry belongs to, and a number. In full places the least one goes."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._places = len(words) // 2

    def find(self, tag: int) -> tuple[int, int]:
        """Where the entry is, or would be, and its number; 0 if it is not there."""
        words = self._words
        first = tag % self._places * 2
        if words[first] == tag:  # nearly always
            return first, words[first + 1]
        places = [(tag + i) % self._places * 2 for i in range(_PROBES)]
        for place in places:
            if words[place] == tag:
                return place, words[place + 1]
        free = next((place for place in places if not words[place]), None)
        return min(places, key=lambda at: words[at + 1]) if free is None else free, 0

    def put(self, place: int, tag: int, number: int) -> None:
        """Set the entry at the place that `find` has told."""
        self._words[place + 1] = number
        self._words[place] = tag


class SharedBuckets(TokenBuckets):
    """`TokenBuckets` on the page. A number is when the bucket is full again.

    A limit has a table of its own. Of a full one the bucket is forgotten that is the fullest of
    those in reach, which gives away least.
    """

    def __init__(self, page: Page, limit: Limit, rate: float, burst: int) -> None:
        super().__init__(rate, burst)
        self._table = SharedTable(page.buckets[limit])

    def take_token(self, key: str, now: int) -> int:
        """As `TokenBuckets.take_token`."""
        tag = _tag(key)
        place, found = self._table.find(tag)
        full_at = self._capped(found, now)
        wait = full_at - now - self._burst_ns
        if wait > 0:
            return wait
        self._table.put(place, tag, full_at + self._step)
        return 0

    def charge(self, key: str, count: int, now: int) -> None:
        """As `TokenBuckets.charge`."""
        tag = _tag(key)
        place, found = self._table.find(tag)
        self._table.put(place, tag, self._charged(self._capped(found, now), count, now))


class SharedLockout(Lockout):
    """Failures on the page: the time of the last one, its lowest bits replaced by their count."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._table = SharedTable(page.failures)
        self._words = page.words

    @property
    def begun(self) -> int:
        """How many lockouts have begun."""
        return self._words[LOCKOUTS]

    def is_locked(self, key: Key, now: int) -> bool:
        """As `Lockout.is_locked`."""
        count, last = _failures(self._table.find(_tag(key))[1])
        return count >= FAILURES and abs(now - last) < DURATION

    def record_failure(self, key: Key, now: int) -> None:
        """As `Lockout.record_failure`."""
        tag = _tag(key)
        place, found = self._table.find(tag)
        if self.is_locked(key, now):
            return
        count = counted_failure(*_failures(found), now)
        self._table.put(place, tag, now & ~_COUNT | count)
        self._words[LOCKOUTS] += count == FAILURES

    def record_success(self, key: Key) -> None:
        """As `Lockout.record_success`."""
        tag = _tag(key)
        place, found = self._table.find(tag)
        if found:
            self._table.put(place, tag, 0)


def _failures(number: int) -> tuple[int, int]:
    """How many there were, and when the last one was."""
    return number & _COUNT, number & ~_COUNT


def _tag(key: object) -> int:
    return hash(key) & (2**64 - 1) or 1  # the same in all: they are forks of one process
