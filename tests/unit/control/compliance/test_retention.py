"""Rules delete in batches and say so; a legal hold stays all of it; a shortened trail verifies."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from actors.testing import FakeWorld
from control.compliance import retention
from control.core import Core
from control.errors import ConflictError, NotFoundError, ValidationError
from control.model.records import AuditEvent, Severity
from control.model.retention import Kind
from control.services.signed_heads import SignedHeads
from control.store.rows import Tx
from control.store.tables import audit, trail_bases
from tests.unit.control.compliance.conftest import DAY, noted

YEAR = 365 * 86_400.0


async def aged(core: Core, world: FakeWorld, count: int = 5) -> None:
    """Records of two years ago, one of today, and a head that was signed over them."""
    for _ in range(count):
        await noted(core, "users.create")
    world.advance(2 * YEAR)
    await noted(core, "users.create")
    await core.audit.signed_heads.save_heads()


async def trail(core: Core) -> list[AuditEvent]:
    """All that is left."""
    return await core.audit.log.events_after("acme", 0, 99)


async def test_the_trail_is_shortened_and_still_verifies(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a base that is signed; the newest stays; what went is on the trail; batch by batch."""
    monkeypatch.setattr(retention, "BATCH", 2)
    await aged(core, world)
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)
    [would] = [
        row
        for row in await core.compliance.retention.preview_deletion("acme")
        if row.kind is Kind.TRAIL
    ]
    assert (would.rows, would.held) == (5, 0)
    head = await core.audit.signed_heads.sign_head("acme")
    await core.compliance.retention.apply_rules()
    assert [event.seq for event in await trail(core)] == [6, 7]
    last = (await trail(core))[-1]
    assert (last.operation, last.detail["deleted"]) == ("retention.swept", {"trail": 5})
    verdict = await core.audit.log.verify_chain("acme", (head.size, head.hash))
    assert (verdict.size, verdict.broken_at, verdict.base) == (7, 0, 5)
    await core.compliance.retention.apply_rules()  # once a day
    assert len(await trail(core)) == 2


async def test_a_base_that_is_not_ours_does_not_count(core: Core, world: FakeWorld) -> None:
    """Edited, taken away, or a head of the same trail put in its place: broken from the start."""
    await aged(core, world)
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)
    await core.compliance.retention.apply_rules()
    assert (await core.audit.log.verify_chain("acme")).broken_at == 0
    head = await core.audit.signed_heads.sign_head("acme")
    t = trail_bases
    for change in (
        t.update().values(size=4),
        t.update().values(size=head.size, hash=head.hash, at=head.at, signature=head.signature),
        t.delete(),
    ):

        def edit(tx: Tx, change: sa.Update | sa.Delete = change) -> None:
            tx.execute(change)

        await core.store.write(edit)
        assert (await core.audit.log.verify_chain("acme")).broken_at == 1


async def test_a_trail_that_was_changed_is_not_shortened(core: Core, world: FakeWorld) -> None:
    """One whose chain is broken stays as evidence."""
    await aged(core, world)
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)

    def edit(tx: Tx) -> None:
        tx.execute(audit.update().where(audit.c.seq == 2).values(actor="x/y"))

    await core.store.write(edit)
    await core.compliance.retention.apply_rules()
    assert [event.seq for event in await trail(core)][:6] == [1, 2, 3, 4, 5, 6]


async def test_a_trail_that_is_not_the_signed_one_is_not_shortened(
    core: Core, world: FakeWorld
) -> None:
    """Whole as it looks: whoever cut its end may have written the rest anew."""
    await aged(core, world)
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)

    def shorter(tx: Tx) -> None:
        tx.execute(audit.delete().where(audit.c.seq > 4))

    await core.store.write(shorter)
    await core.compliance.retention.apply_rules()
    assert [event.seq for event in await trail(core)] == [1, 2, 3, 4]


async def test_the_newest_record_that_was_signed_stays(core: Core, world: FakeWorld) -> None:
    """Old as it is: the head beside the keys has to find it."""
    for _ in range(3):
        await noted(core, "users.create")
    await core.audit.signed_heads.save_heads()
    world.advance(2 * YEAR)
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)
    await core.compliance.retention.apply_rules()
    assert [event.seq for event in await trail(core)] == [3, 4]


async def test_a_hold_that_comes_in_between_counts(
    core: Core, world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a record still may go is asked in the transaction that deletes it."""
    await aged(core, world)
    fifth = (await trail(core))[4]
    monkeypatch.setattr(core.compliance.retention, "_end", lambda *_: (fifth.seq, fifth.hash))
    hold = await core.compliance.retention.place_hold("acme", "", (0, 0), "case 7", "acme/ann")
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)
    await core.compliance.retention.apply_rules()
    assert (await trail(core))[0].seq == 1
    await core.compliance.retention.lift_hold("acme", hold.id, "closed", "acme/bea")
    world.advance(86_401)
    await core.compliance.retention.apply_rules()
    assert (await trail(core))[0].seq == 6


async def test_heads_know_a_shortened_trail(core: Core, world: FakeWorld, tmp_path: Path) -> None:
    """A process that kept an older head does not take the base for tampering."""
    for _ in range(3):
        await noted(core, "users.create")
    await core.audit.signed_heads.save_heads()
    old = SignedHeads(core.store, core.agents.alerts, _key(core), tmp_path / "old.json", core.world)
    await old.save_heads()
    world.advance(2 * YEAR)
    for _ in range(3):
        await noted(core, "users.create")
    await core.audit.signed_heads.save_heads()
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)
    await core.compliance.retention.apply_rules()
    assert (await trail(core))[0].seq == 4
    await old.save_heads()
    alerts = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert [alert.code for alert in alerts] == []


async def test_a_hold_stays_deletion_until_an_owner_lifts_it(core: Core, world: FakeWorld) -> None:
    """Of everything in its span; who, why and when stay known."""
    await aged(core, world)
    alert = core.agents.alerts.new_alert("acme", "", "x", Severity.INFO, "old")
    await core.agents.alerts.fire_alerts(alert)
    await core.agents.alerts.acknowledge_alert("acme", alert.id, "acme/ann")
    hold = await core.compliance.retention.place_hold("acme", "", (0, 0), "case 7", "acme/ann")
    world.advance(31 * 86_400)
    for kind, days in ((Kind.TRAIL, 365), (Kind.ALERTS, 30)):
        await core.compliance.retention.set_rule("acme", kind, days)
    would = {
        row.kind: (row.rows, row.held)
        for row in await core.compliance.retention.preview_deletion("acme")
    }
    assert would[Kind.TRAIL] == (0, 5)
    assert would[Kind.ALERTS] == (0, 1)
    await core.compliance.retention.apply_rules()
    assert (await trail(core))[0].seq == 1
    await core.compliance.retention.lift_hold("acme", hold.id, "closed", "acme/bea")
    with pytest.raises(ConflictError, match="hold_lifted"):
        await core.compliance.retention.lift_hold("acme", hold.id, "again", "acme/bea")
    world.advance(86_401)
    await core.compliance.retention.apply_rules()
    assert (await trail(core))[0].seq == 6
    gone = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert gone == []
    [known] = await core.compliance.retention.list_holds("acme")
    assert (known.created_by, known.lifted_by, known.lifted_why) == (
        "acme/ann", "acme/bea", "closed",
    )  # fmt: skip


async def test_a_hold_of_a_time_keeps_the_trail_from_there_on(core: Core, world: FakeWorld) -> None:
    """A chain has no holes: what is after the beginning of the hold stays with it."""
    await noted(core, "users.create")
    world.advance(86_400)
    since = world.now()
    await noted(core, "users.create")
    await aged(core, world, 1)
    await core.compliance.retention.place_hold(
        "acme", "v1", (since, since + DAY), "case", "acme/ann"
    )  # before the rule: the job of the control plane applies that at once
    await core.compliance.retention.set_rule("acme", Kind.TRAIL, 365)
    await core.compliance.retention.apply_rules()
    assert (await trail(core))[0].seq == 2


async def test_what_is_asked_for_has_bounds(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days of each kind, spans, the number of holds; another organization's are not found."""
    for kind, days in ((Kind.TRAIL, 364), (Kind.ALERTS, 366), (Kind.METRICS, 6)):
        with pytest.raises(ValidationError, match="days_invalid"):
            await core.compliance.retention.set_rule("acme", kind, days)
    await core.compliance.retention.set_rule("acme", Kind.ALERTS, 90)
    assert (await core.compliance.retention.list_rules("acme"))[Kind.ALERTS].days == 90
    await core.compliance.retention.set_rule("acme", Kind.ALERTS, 0)
    assert (await core.compliance.retention.list_rules("acme"))[Kind.ALERTS].days == 365
    with pytest.raises(ValidationError, match="span_invalid"):
        await core.compliance.retention.place_hold("acme", "", (5, 5), "x", "acme/ann")
    hold = await core.compliance.retention.place_hold("acme", "", (0, 0), "x", "acme/ann")
    with pytest.raises(NotFoundError):
        await core.compliance.retention.lift_hold("platform", hold.id, "x", "acme/ann")
    monkeypatch.setattr(retention, "MAX_HOLDS", 1)
    with pytest.raises(ConflictError, match="holds_full"):
        await core.compliance.retention.place_hold("acme", "", (0, 0), "x", "acme/ann")


def _key(core: Core) -> object:
    return core.audit.signed_heads._sign.__self__  # type: ignore[attr-defined]
