"""Bounds for values that agents report: numbers that can be added up, times in the past.

The link transports any number of 63 bits. Sums of those fit into no database or JSON, and times
beyond the year 9999 cannot be shown.
"""

from typing import Final

from protocols.instant import MAX_NS, SECOND

MAX_COUNT: Final = 2**40
"""Of one count: a million a second for twelve days. A million of these still fit into 63 bits."""
MAX_SECONDS: Final = MAX_NS // SECOND
"""Unix seconds; the last that an instant holds."""


def clamp_count(number: int) -> int:
    """A count that can be added to others."""
    return min(number, MAX_COUNT)


_UNITS: Final = {"_permille": 2**24, "_bytes": 2**53, "_us": 2**53, "sealed": 1}
"""The most by the end of a figure's name: 16,000 processors, 8 PiB, 285 years of requests."""


def is_plausible(name: str, value: float) -> bool:
    """Whether an agent can have measured this. An impossible value would spoil the curve of all."""
    most = next((most for end, most in _UNITS.items() if name.endswith(end)), MAX_COUNT)
    return 0 <= value <= most  # False for what is no number


def clamp_to_now(at: int, now: int) -> int:
    """The instant, or `now` for one in the future. Any unit, the same for both."""
    return min(at, now)
