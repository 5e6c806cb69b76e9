"""Times of a cron expression of five fields.

Changes of the clock are handled as Debian's cron does (cronsim): a time in a skipped hour is due
once right after it, a time in a repeated hour is due once; but what is due at every hour is due in
each.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

from protocols.instant import SECOND

_FIELDS: Final = 5


def next_time(expression: str, after: int) -> int:
    """The first time behind `after` in UTC; both in Unix nanoseconds.

    Raises `ValueError` for an expression that is malformed, or whose time never comes.
    """
    found = next(times(expression, after, UTC), None)
    if found is None:
        raise _malformed()
    return found


def times(expression: str, after: int, zone: tzinfo) -> Iterator[int]:
    """The times behind `after` in a zone, in order; none if they never come.

    Raises `ValueError` for an expression that is malformed.
    """
    if len(expression.split()) != _FIELDS:  # cronsim would take seconds, too
        raise _malformed()
    begin = datetime.fromtimestamp(after // SECOND, tz=UTC).astimezone(zone)
    try:
        return map(_instant, CronSim(expression, begin))
    except CronSimError:
        raise _malformed() from None


def _instant(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND


def _malformed() -> ValueError:
    return ValueError(
        'is five cron fields of a time that comes: minute hour day month weekday, as in "0 2 * * *"'
    )
