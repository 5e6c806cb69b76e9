"""Schedules ask for a report at their time: once, whatever was missed."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from actors.testing import FakeWorld
from control.compliance import schedules
from control.compliance.schedules import next_run, validated_next_run
from control.core import Core
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.compliance import ReportSchedule
from protocols.instant import SECOND
from tests.unit.control.compliance.conftest import DAY, asked


async def daily(core: Core) -> ReportSchedule:
    """Each day at six in Berlin, about the week before."""
    return await core.compliance.schedules.create_schedule(
        "acme", "Weekly", ["soc2"], when=("0 6 * * *", "Europe/Berlin"), days=7, by="acme/ann"
    )


async def test_it_asks_at_its_time_and_not_again(core: Core, world: FakeWorld) -> None:
    """The period ends when it was due; after days of silence there is one report, not several."""
    row = await daily(core)
    await core.compliance.schedules.request_due()
    assert await core.compliance.reports.list_reports("acme", 0, 9) == []
    world.advance((row.next_at - world.now()) / 1e9 + 3 * 86_400)
    await core.compliance.schedules.request_due()
    await core.compliance.schedules.request_due()
    [report] = await core.compliance.reports.list_reports("acme", 0, 9)
    assert (report.until, report.since) == (row.next_at, row.next_at - 7 * DAY)
    assert report.created_by == f"schedule {row.id}"
    again = await core.compliance.schedules.get_schedule("acme", row.id)
    assert again.next_at > world.now() >= again.last_at > 0


async def test_it_is_paused_changed_and_removed(core: Core, world: FakeWorld) -> None:
    """A paused one asks for nothing; of another organization it is not found."""
    row = await daily(core)
    await core.compliance.schedules.change_schedule("acme", row.id, {"enabled": False})
    world.advance(3 * 86_400)
    await core.compliance.schedules.request_due()
    assert await core.compliance.reports.list_reports("acme", 0, 9) == []
    with pytest.raises(ValidationError):
        await core.compliance.schedules.change_schedule("acme", row.id, {"cron": "* * * * *"})
    with pytest.raises(ValidationError, match="framework_unknown"):
        await core.compliance.schedules.change_schedule("acme", row.id, {"frameworks": ["nothing"]})
    with pytest.raises(NotFoundError):
        await core.compliance.schedules.change_schedule("platform", row.id, {"enabled": True})
    with pytest.raises(NotFoundError):
        await core.compliance.schedules.remove_schedule("platform", row.id)
    await core.compliance.schedules.remove_schedule("acme", row.id)
    assert await core.compliance.schedules.list_schedules("acme") == []


async def test_what_has_no_place_is_an_alert(core: Core, world: FakeWorld) -> None:
    """Too many wait: this one is left out, and somebody is told."""
    row = await daily(core)
    for _ in range(5):
        await asked(core)
    world.advance((row.next_at - world.now()) / 1e9 + 1)
    await core.compliance.schedules.request_due()
    alerts = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert [alert.code for alert in alerts] == ["report_left_out"]


async def test_there_is_a_bound(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an organization."""
    monkeypatch.setattr(schedules, "MOST", 1)
    await daily(core)
    with pytest.raises(ConflictError, match="schedules_full"):
        await daily(core)


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
