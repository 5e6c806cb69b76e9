"""Reports are made once, signed, kept within bounds; what was changed in one is named."""

import msgspec
import pytest
import sqlalchemy as sa

from actors.testing import FakeWorld
from control.compliance import reports
from control.compliance.collector import STEP_COUNT
from control.core import Core
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.compliance import State
from control.model.people import PLATFORM
from control.store.rows import Tx
from control.store.tables import audit
from control.store.tables import reports as table
from tests.unit.control.compliance.conftest import DAY, asked, made, noted
from tests.unit.control.fleet import enrolled


async def test_one_is_made_signed_and_on_the_trail(core: Core, world: FakeWorld) -> None:
    """Its digest is that of its file, and it counts every control of its frameworks."""
    await enrolled(core, world, "one", "two")
    await noted(core, "users.create", target="bea")
    row, _ = await made(core, "soc2", "hipaa")
    assert (row.state, row.done, row.steps) == (State.READY, STEP_COUNT, STEP_COUNT)
    assert set(row.counts) == {"soc2", "hipaa"}
    assert sum(row.counts["soc2"].values()) == 18
    [event] = await core.audit.log.newest_events("acme", 0, 1)
    assert (event.operation, event.target) == ("reports.made", row.id)
    assert event.detail["digest"] == row.digest
    verdict = await core.compliance.reports.verify_report("acme", row.id)
    assert (verdict.digest, verdict.faults) == (row.digest, ())


async def test_it_is_made_once(core: Core) -> None:
    """Also where two processes think that they lead."""
    row = await asked(core)
    first, second = await core.compliance.reports._made(row), row
    assert first[1].digest
    await core.compliance.reports.make_waiting()
    await core.compliance.reports._make(second)
    events = await core.audit.log.newest_events("acme", 0, 99)
    assert [e.operation for e in events].count("reports.made") == 1


async def test_what_cannot_be_made_fails_and_says_so(
    core: Core, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are made all the same."""
    broken, fine = await asked(core), await asked(core)
    real = core.compliance.reports._made

    async def failing(row: object) -> object:
        if row == broken:
            raise RuntimeError("no")
        return await real(row)  # type: ignore[arg-type]

    monkeypatch.setattr(core.compliance.reports, "_made", failing)
    await core.compliance.reports.make_waiting()
    assert (await core.compliance.reports.get_report("acme", broken.id)).state is State.FAILED
    assert (await core.compliance.reports.get_report("acme", fine.id)).state is State.READY
    assert "RuntimeError" in caplog.text
    with pytest.raises(ConflictError, match="report_not_ready"):
        await core.compliance.reports.read_report("acme", broken.id)


@pytest.mark.parametrize("days", [0, -1, 401])
async def test_a_period_has_bounds(core: Core, days: int) -> None:
    """Over, not empty, not endless."""
    with pytest.raises(ValidationError, match="period_invalid"):
        await asked(core, days=days)


async def test_nobody_asks_for_too_many(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few wait; of all that are kept the oldest makes room."""
    for _ in range(reports.MAX_WAITING):
        await asked(core)
        world.advance(1e-6)
    with pytest.raises(ConflictError, match="reports_waiting"):
        await asked(core)
    await core.compliance.reports.make_waiting()
    monkeypatch.setattr(reports, "MOST", reports.MAX_WAITING)
    oldest = (await core.compliance.reports.list_reports("acme", 0, 99))[-1]
    await asked(core)
    with pytest.raises(NotFoundError):
        await core.compliance.reports.get_report("acme", oldest.id)
    await core.compliance.reports.make_waiting()
    await core.compliance.retention.place_hold("acme", "", (0, 0), "court", "acme/ann")
    with pytest.raises(ConflictError, match="reports_full"):
        await asked(core)


async def test_another_organization_has_none_of_it(core: Core) -> None:
    """Not found there."""
    row, _ = await made(core)
    for org in (PLATFORM, "nowhere"):
        with pytest.raises(NotFoundError):
            await core.compliance.reports.get_report(org, row.id)
        with pytest.raises(NotFoundError):
            await core.compliance.reports.read_report(org, row.id)


async def test_an_edited_row_or_trail_is_told(core: Core) -> None:
    """Held against what is on the trail, too."""
    row, body = await made(core)
    other = msgspec.json.decode(body)
    other["evidence"].pop("people.roles")

    def swap(tx: Tx) -> None:
        tx.execute(sa.update(table).values(body=msgspec.json.encode(other)))

    await core.store.write(swap)
    faults = (await core.compliance.reports.verify_report("acme", row.id)).faults
    assert "evidence people.roles: it was taken out" in faults

    def forget(tx: Tx) -> None:
        tx.execute(sa.update(table).values(body=body))
        tx.execute(sa.delete(audit).where(audit.c.operation == "reports.made"))

    await core.store.write(forget)
    assert (await core.compliance.reports.verify_report("acme", row.id)).faults == (
        "trail: it is not there",
    )


async def test_the_period_decides_what_is_in_it(core: Core, world: FakeWorld) -> None:
    """What was before it does not count."""
    await noted(core, "users.create")
    world.advance(40 * 86_400)
    row, body = await made(core, days=30)
    assert row.since > world.now() - 31 * DAY
    changes = msgspec.json.decode(body)["evidence"]["people.changes"]
    assert (changes["figures"]["changes"], changes["proofs"]) == (0, [])
