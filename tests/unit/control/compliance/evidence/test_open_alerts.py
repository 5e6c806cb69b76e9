"""Evidence is not met while an open critical alert says otherwise."""

from collections.abc import Awaitable, Callable

import pytest

from actors.testing import FakeWorld
from control.compliance.evidence.open_alerts import CONTRADICTED_EVIDENCE
from control.compliance.frameworks import assess_controls, load_frameworks
from control.core import Core
from control.model.compliance import Evidence, Result
from control.model.records import Severity
from tests.unit.control.compliance.conftest import noted

Shown = Callable[[], Awaitable[dict[str, Evidence]]]


async def raised(core: Core, code: str, severity: Severity = Severity.CRITICAL) -> str:
    """One alert of agent v1; its id."""
    alert = core.agents.alerts.new_alert("acme", "v1", code, severity, f"agent v1: {code}")
    await core.agents.alerts.fire_alerts(alert)
    return alert.id


async def test_an_open_critical_alert_makes_a_gap_and_is_named(core: Core, shown: Shown) -> None:
    """In the evidence that it bears on, and in every control that rests on it."""
    await noted(core, "users.create")
    assert (await shown())["audit.trail"].result is Result.MET
    await raised(core, "trail_broken")
    found = await shown()
    item = found["audit.trail"]
    assert item.result is Result.GAP
    assert item.exceptions[0].startswith("agent v1: trail_broken (open since ")
    assert item.summary.startswith("1 critical alert open against this.")
    assert item.proofs[0].name == "open alert trail_broken"  # type: ignore[union-attr]  # reported
    controls = assess_controls(load_frameworks()["soc2"], found, {})
    resting = [control for control in controls if "audit.trail" in control.evidence]
    assert resting
    assert {control.result for control in resting} == {Result.GAP}


async def test_one_that_is_over_is_no_gap(core: Core, world: FakeWorld, shown: Shown) -> None:
    """Nor is one that is not critical, or about something else."""
    await noted(core, "users.create")
    await raised(core, "trail_broken")
    await core.agents.alerts.resolve_alerts("acme", ["trail_broken"], "v1")
    world.advance(3600)
    await raised(core, "trail_broken", Severity.WARNING)
    await raised(core, "backup_failed")
    assert (await shown())["audit.trail"].result is Result.MET


async def test_a_condition_is_open_until_it_is_over(core: Core, shown: Shown) -> None:
    """To acknowledge it silences it, and changes nothing about what is so."""
    await noted(core, "users.create")
    assert (await shown())["audit.checkpoints"].figures.get("open_alerts", 0) == 0
    id_ = await raised(core, "audit_sink_failed")
    await core.agents.alerts.acknowledge_alert("acme", id_, "acme/ann")
    item = (await shown())["audit.checkpoints"]
    assert (item.result, item.figures["open_alerts"]) == (Result.GAP, 1)
    await core.agents.alerts.resolve_alerts("acme", ["audit_sink_failed"], "v1")
    assert "open_alerts" not in (await shown())["audit.checkpoints"].figures


async def test_an_alert_is_open_however_old_it_is(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """It may have been raised before the period began."""
    await noted(core, "users.create")
    await raised(core, "trail_broken")
    world.advance(60 * 86_400)
    assert (await shown())["audit.trail"].result is Result.GAP


@pytest.mark.parametrize("code", sorted(CONTRADICTED_EVIDENCE))
async def test_each_code_bears_on_evidence_that_there_is(shown: Shown, code: str) -> None:
    """A name that is not collected would contradict nothing."""
    assert set(CONTRADICTED_EVIDENCE[code]) <= (await shown()).keys()
