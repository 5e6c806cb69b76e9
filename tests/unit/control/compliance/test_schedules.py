"""Schedules ask for a report at their time: once, whatever was missed."""

import pytest

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.compliance import schedules
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.compliance import Schedule
from tests.unit.control.compliance.conftest import DAY, asked


async def daily(plane: Plane) -> Schedule:
    """Each day at six in Berlin, about the week before."""
    return await plane.schedules.add(
        "acme", "Weekly", ["soc2"], when=("0 6 * * *", "Europe/Berlin"), days=7, by="acme/ann"
    )


async def test_it_asks_at_its_time_and_not_again(plane: Plane, world: FakeWorld) -> None:
    """The period ends when it was due; after days of silence there is one report, not several."""
    row = await daily(plane)
    await plane.schedules.tick()
    assert await plane.reports.page("acme", 0, 9) == []
    world.advance((row.next_at - world.now()) / 1e9 + 3 * 86_400)
    await plane.schedules.tick()
    await plane.schedules.tick()
    [report] = await plane.reports.page("acme", 0, 9)
    assert (report.until, report.since) == (row.next_at, row.next_at - 7 * DAY)
    assert report.created_by == f"schedule {row.id}"
    again = await plane.schedules.get("acme", row.id)
    assert again.next_at > world.now() >= again.last_at > 0


async def test_it_is_paused_changed_and_removed(plane: Plane, world: FakeWorld) -> None:
    """A paused one asks for nothing; of another organization it is not found."""
    row = await daily(plane)
    await plane.schedules.change("acme", row.id, {"enabled": False})
    world.advance(3 * 86_400)
    await plane.schedules.tick()
    assert await plane.reports.page("acme", 0, 9) == []
    with pytest.raises(ValidationError):
        await plane.schedules.change("acme", row.id, {"cron": "* * * * *"})
    with pytest.raises(ValidationError, match="framework_unknown"):
        await plane.schedules.change("acme", row.id, {"frameworks": ["nothing"]})
    with pytest.raises(NotFoundError):
        await plane.schedules.change("platform", row.id, {"enabled": True})
    with pytest.raises(NotFoundError):
        await plane.schedules.remove("platform", row.id)
    await plane.schedules.remove("acme", row.id)
    assert await plane.schedules.every("acme") == []


async def test_what_has_no_place_is_an_alert(plane: Plane, world: FakeWorld) -> None:
    """Too many wait: this one is left out, and somebody is told."""
    row = await daily(plane)
    for _ in range(5):
        await asked(plane)
    world.advance((row.next_at - world.now()) / 1e9 + 1)
    await plane.schedules.tick()
    alerts = await plane.alerts.page("acme", vault="", before=0, limit=9)
    assert [alert.code for alert in alerts] == ["report_left_out"]


async def test_there_is_a_bound(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an organization."""
    monkeypatch.setattr(schedules, "MOST", 1)
    await daily(plane)
    with pytest.raises(ConflictError, match="schedules_full"):
        await daily(plane)
