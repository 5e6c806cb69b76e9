"""When schedules are due: in their zone, also where the clock is put forward or back."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from control.compliance.cron_schedule import next_run, validated_next_run
from control.errors import ValidationError
from protocols.instant import SECOND


def at(text: str) -> int:
    """An instant."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("cron", "zone", "now", "due"),
    [
        ("0 6 1 * *", "UTC", "2026-01-15T00:00:00", "2026-02-01T06:00:00"),
        ("0 6 1 * *", "Europe/Berlin", "2026-06-15T00:00:00", "2026-07-01T04:00:00"),
        ("0 6 1 * *", "Europe/Berlin", "2026-12-15T00:00:00", "2027-01-01T05:00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),  # skipped
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),  # twice
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),  # once
        ("0 9 * * MON", "Asia/Kolkata", "2026-01-01T00:00:00", "2026-01-05T03:30:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
    ],
)
def test_it_is_due_in_its_zone(cron: str, zone: str, now: str, due: str) -> None:
    """At the time that a clock on the wall there shows."""
    assert next_run(cron, zone, at(now)) == at(due)
    assert validated_next_run(cron, zone, at(now)) == at(due)


def test_no_day_is_left_out_or_doubled() -> None:
    """Over a year with both changes of the clock."""
    now = at("2026-01-01T00:00:00")
    times = [now := next_run("30 2 * * *", "America/New_York", now) for _ in range(365)]
    days = [datetime.fromtimestamp(t // SECOND, tz=UTC).date() for t in times]
    assert all((b - a).days == 1 for a, b in pairwise(days))


@pytest.mark.parametrize(
    ("cron", "zone", "code"),
    [
        ("* * * * *", "UTC", "cron_often"),
        ("0,30 6 * * *", "UTC", "cron_often"),
        ("0 6 31 2 *", "UTC", "cron_invalid"),
        ("0 6 1 * * *", "UTC", "cron_invalid"),
        ("0 25 * * *", "UTC", "cron_invalid"),
        ("nonsense", "UTC", "cron_invalid"),
        ("0 6 1 * *", "Mars/Olympus", "zone_unknown"),
        ("0 6 1 * *", "../../etc/passwd", "zone_unknown"),
    ],
)
def test_what_is_no_time_is_refused(cron: str, zone: str, code: str) -> None:
    """Before it is stored."""
    with pytest.raises(ValidationError) as told:
        validated_next_run(cron, zone, at("2026-01-01T00:00:00"))
    assert told.value.code == code
