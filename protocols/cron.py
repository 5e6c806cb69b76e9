"""Times of a cron expression of five fields, in UTC."""

from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

from protocols.instant import SECOND

_FIELDS: Final = 5


def next_time(expression: str, after: int) -> int:
    """The first time behind `after`; both in Unix nanoseconds.

    Raises `ValueError` for an expression that is malformed, or whose time never comes.
    """
    if len(expression.split()) != _FIELDS:  # cronsim would take seconds, too
        raise _malformed()
    begin = datetime.fromtimestamp(after // SECOND, tz=UTC)
    try:
        return int(next(CronSim(expression, begin)).timestamp()) * SECOND
    except (CronSimError, StopIteration):
        raise _malformed() from None


def _malformed() -> ValueError:
    return ValueError(
        'is five cron fields of a time that comes: minute hour day month weekday, as in "0 2 * * *"'
    )
