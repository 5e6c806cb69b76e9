"""Rate limits of all processes together: token buckets in shared memory.

As `vault.authz.rate_limits`, a bucket is one number, the instant at which it will be full again.
Nobody locks: of two processes that change one bucket at once (or of which one is suspended in
between) the later one's figure counts, and the other's token is not counted. A limit survives
that, and a lock in every request would cost more.
"""

from typing import Final

from vault.authz.rate_limits import TokenBuckets
from vault.workers.page import BUCKETS, Page

_PROBES: Final = 8  # places where a bucket may be


class SharedBuckets(TokenBuckets):
    """`take_token` on the page. With all of its places taken, the fullest bucket is given away."""

    def __init__(self, page: Page, rate: float, burst: int) -> None:
        super().__init__(rate, burst)
        self._words = page.buckets

    def take_token(self, key: str, now: int) -> int:
        """As `TokenBuckets.take_token`."""
        words = self._words
        tag = _tag(key)
        place = self._place(tag)
        full_at = self._capped(words[place + 1], now) if words[place] == tag else now
        wait = full_at - now - self._burst_ns
        if wait > 0:
            return wait
        words[place + 1] = full_at + self._step
        words[place] = tag
        return 0

    def _place(self, tag: int) -> int:
        words = self._words
        first = tag % BUCKETS * 2
        if words[first] == tag:  # nearly always
            return first
        places = [(tag + i) % BUCKETS * 2 for i in range(_PROBES)]
        for place in places:
            if words[place] == tag or not words[place]:
                return place
        return min(places, key=lambda place: words[place + 1])


def _tag(key: str) -> int:
    return hash(key) & (2**64 - 1) or 1  # the same in all: they are forks of one process
