"""What can be shown about records."""

from collections.abc import Awaitable, Callable

from actors.testing import FakeWorld
from control.core import Core
from control.model.compliance import CheckpointProof, Evidence, Result, TrailProof
from control.model.records import Severity
from control.store.rows import Tx
from control.store.tables import audit
from tests.unit.control.compliance.conftest import noted
from tests.unit.control.fleet import enrolled
from tests.unit.control.services.test_witness import leaves
from tests.unit.control.services.test_witness import shown as checkpoint

Shown = Callable[[], Awaitable[dict[str, Evidence]]]


async def test_a_broken_trail_is_a_gap(core: Core, shown: Shown) -> None:
    """And where; a whole one shows its ends."""
    for _ in range(3):
        await noted(core, "users.create")
    item = (await shown())["audit.trail"]
    assert item.result is Result.MET
    assert [p.record.seq for p in item.proofs if isinstance(p, TrailProof)] == [1, 3]

    def edit(tx: Tx) -> None:
        tx.execute(audit.update().where(audit.c.seq == 2).values(actor="x/y"))

    await core.store.write(edit)
    item = (await shown())["audit.trail"]
    assert (item.result, item.exceptions) == (Result.GAP, ("record 2",))


async def test_logs_that_are_not_witnessed_are_named(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Never, too long ago, or with a fault: a fork is a gap whatever the others are."""
    await enrolled(core, world, "v1", "v2")
    log = leaves(9)

    async def cosign(what: object) -> None:
        await core.store.write(
            lambda tx: core.witness.cosign_checkpoint(tx, "acme", "v1", what, now=world.now())  # type: ignore[arg-type]
        )

    await cosign(checkpoint(log[:5], 0))
    await cosign(checkpoint(log, 5))
    item = (await shown())["audit.checkpoints"]
    assert (item.result, item.exceptions) == (
        Result.PARTLY, ("v2: no checkpoint was cosigned",),
    )  # fmt: skip
    [proof] = item.proofs
    assert isinstance(proof, CheckpointProof)
    assert (proof.size, proof.grown_from) == (9, 5)
    world.advance(2 * 86_400)
    assert (await shown())["audit.checkpoints"].result is Result.GAP
    await cosign(checkpoint(leaves(9, "other"), 9))
    item = (await shown())["audit.checkpoints"]
    assert (item.figures["forks"], "v1: fork" in item.exceptions) == (1, True)


async def test_critical_alerts_want_somebody_within_a_day(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Others may wait, and what was over within a day needs nobody."""
    for code, severity in (("x", Severity.CRITICAL), ("y", Severity.WARNING)):
        await core.agents.alerts.fire_alerts(
            core.agents.alerts.new_alert("acme", "v1", code, severity, "m")
        )
    await core.agents.alerts.fire_alerts(
        core.agents.alerts.new_alert("acme", "v2", "sealed", Severity.CRITICAL, "m")
    )
    await core.agents.alerts.resolve_alerts("acme", ["sealed"], "v2")
    assert (await shown())["audit.alerts"].result is Result.MET
    world.advance(2 * 86_400)
    item = (await shown())["audit.alerts"]
    assert (item.result, item.exceptions) == (Result.PARTLY, ("x v1",))
    assert (item.figures["resolved"], item.figures["critical"], item.figures["late"]) == (1, 2, 1)
