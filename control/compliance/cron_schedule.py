"""When a cron expression is due in a time zone, changes of the clock included.

As Debian's cron does it (cronsim): what falls into an hour that is skipped is due once right after
it, what falls into one that comes twice is due once; but what is due at every hour is due in each.
"""

from datetime import UTC, datetime
from functools import cache
from itertools import islice, pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from control.errors import ValidationError
from protocols.instant import SECOND

MIN_INTERVAL: Final = 3600 * SECOND  # the shortest time between two reports of a schedule
FIELD_COUNT: Final = 5
CHECKED_RUNS: Final = 50  # times of a schedule that are looked at for that


def validated_next_run(cron: str, zone: str, now: int) -> int:
    """When it is due next. Raises `ValidationError` for what is none, or too often."""
    times = list(islice(_run_times(cron, zone, now), CHECKED_RUNS))
    if not times:
        raise ValidationError(
            "cron_invalid", "this time never comes: give a day that there is", field="cron"
        )
    if any(later - sooner < MIN_INTERVAL for sooner, later in pairwise(times)):
        raise ValidationError("cron_often", "at most once an hour", field="cron")
    return times[0]


def next_run(cron: str, zone: str, now: int) -> int:
    """The first time behind `now`; both in Unix nanoseconds. Raises `ValidationError`."""
    return next(iter(_run_times(cron, zone, now)))


def _run_times(cron: str, zone: str, now: int) -> "map[int]":
    begin = datetime.fromtimestamp(now // SECOND, tz=UTC).astimezone(_load_zone(zone))
    if len(cron.split()) != FIELD_COUNT:  # cronsim would take seconds, too
        raise _malformed()
    try:
        return map(_instant, CronSim(cron, begin))
    except CronSimError:
        raise _malformed() from None


def _malformed() -> ValidationError:
    told = "cron is five fields: minute hour day month weekday"
    return ValidationError("cron_invalid", told, field="cron")


@cache
def _load_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(
            "zone_unknown",
            "there is no such time zone: give one as Europe/Berlin, or UTC",
            field="zone",
        ) from None


def _instant(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND
