"""Request limits: a token bucket for each key.

A bucket is kept as one integer, the instant at which it will be full again (the form called GCRA,
from the ATM Forum's Traffic Management 4.0).
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

from protocols.instant import SECOND
from vault.errors import RateLimitError

MAX_KEYS: Final = 65_536  # about 10 MB of keys and integers

SKEW: Final = 5 * SECOND
"""By how much the clocks of the processes that share a bucket may differ."""

_CREDIT_TOKENS: Final = 64
_CREDIT: Final = (2 * SECOND, 60 * SECOND)
"""How far tokens that other agents granted can overdraw a bucket: 64 tokens, within these times."""


class Limit(StrEnum):
    """What is limited. Each limit has buckets of its own."""

    REQUESTS = "requests"  # by identity
    SELF_SERVICE = "self-service"  # by user, or by the first of a chain of tokens
    FAILURES = "failures"  # by address
    ALL_FAILURES = "all-failures"  # one bucket
    REFUSALS = "refusals"  # by caller
    ALL_REFUSALS = "all-refusals"  # one bucket


class Buckets(Protocol):
    """A token bucket for each key."""

    def take_token(self, key: str, now: int) -> int:
        """Take one token at `now` (ns). Return 0, or the nanoseconds until one will be there."""
        ...


class TokenBuckets:
    """`rate` requests a second, `burst` at once, for each key; at most `max_keys` are remembered.

    The key unused for longest is forgotten first: its bucket is the fullest, so that forgetting
    gives away least.
    """

    def __init__(self, rate: float, burst: int, max_keys: int = MAX_KEYS) -> None:
        if not rate > 0 or burst < 1 or max_keys < 1:
            raise ValueError("rate, burst and max_keys must be positive")
        self._step = max(1, round(SECOND / rate))
        self._burst_ns = self._step * (burst - 1)
        shortest, longest = _CREDIT
        self._credit = min(max(shortest, self._step * _CREDIT_TOKENS), longest)
        self._max_keys = max_keys
        self._full_at: dict[str, int] = {}

    def take_token(self, key: str, now: int) -> int:
        """See `Buckets`."""
        full_at = self._capped(self._full_at.pop(key, 0), now)
        wait = full_at - now - self._burst_ns
        if wait > 0:
            self._full_at[key] = full_at
            return wait
        self._put(key, full_at + self._step)
        return 0

    def charge(self, key: str, count: int, now: int) -> None:
        """Take `count` tokens that another agent has granted, if need be on credit.

        Credit is paid back before the next token is granted, so that agents which grant the same
        token at the same moment exceed the rate only once.
        """
        self._put(key, self._charged(self._capped(self._full_at.pop(key, 0), now), count, now))

    def _put(self, key: str, full_at: int) -> None:
        self._full_at[key] = full_at
        if len(self._full_at) > self._max_keys:
            del self._full_at[next(iter(self._full_at))]

    def _charged(self, full_at: int, count: int, now: int) -> int:
        last = now + self._burst_ns + self._step + self._credit
        return max(full_at, min(full_at + count * self._step, last))

    def _capped(self, full_at: int, now: int) -> int:
        """When the bucket is full, seen from `now`, which may be older than that of the last take.

        By up to `SKEW` it is left as it is: two processes whose clocks differ would else fill it
        for each other. If it is later than that and the credit, the clock was ahead, which would
        close the bucket for long: then one token is left in it.
        """
        last = now + self._burst_ns
        latest = last + self._step + self._credit + SKEW
        return last if full_at > latest else max(full_at, now)

    def __len__(self) -> int:
        return len(self._full_at)


class RateLimiter:
    """A limit that raises where `Buckets` answers."""

    def __init__(self, buckets: Buckets, now: Callable[[], int]) -> None:
        self._buckets = buckets
        self._now = now

    def acquire(self, key: str) -> None:
        """Count one request of `key`; raises `RateLimitError` with `retry_after` in seconds."""
        wait = self._buckets.take_token(key, self._now())
        if wait:
            raise RateLimitError(
                "rate_limited",
                "too many requests; wait and try again",
                retry_after=-(-wait // SECOND),
            )
