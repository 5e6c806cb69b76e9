"""Limits of so many an hour, of which a few may come at once."""

from typing import Final

from protocols.token_bucket import HOUR, TokenBucket

BURST: Final = 10


def hourly_bucket(per_hour: int, now: float) -> TokenBucket:
    """A full bucket: `per_hour` an hour, at most `BURST` of them at once."""
    return TokenBucket(min(BURST, per_hour), per_hour / HOUR, now)


def set_hourly_rate(bucket: TokenBucket, per_hour: int, now: float) -> None:
    """Change the rate of an hourly bucket."""
    bucket.set_rate(min(BURST, per_hour), per_hour / HOUR, now)
