"""What agents claim, as far as it is believed: numbers that can be added up, times that were.

The link lets any number of 63 bits through. Sums of those are none that a database or JSON holds,
and times beyond the year 9999 are none that anybody can be shown.
"""

from typing import Final

from protocols.instant import MAX, SECOND

MOST: Final = 2**40
"""Of one count: a million a second for twelve days. A million of these still fit into 63 bits."""
LATEST: Final = MAX // SECOND
"""Unix seconds; the last that an instant holds."""


def counted(number: int) -> int:
    """A count that can be added to others."""
    return min(number, MOST)


def passed(at: int, now: int) -> int:
    """An instant that is over; `now` for one that is said to come. Any unit, the same for both."""
    return min(at, now)
