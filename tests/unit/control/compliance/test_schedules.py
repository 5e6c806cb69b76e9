"""Schedules ask for a report at their time: once, whatever was missed."""

import pytest

from actors.testing import FakeWorld
from control.compliance import schedules
from control.core import Core
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.compliance import ReportSchedule
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
