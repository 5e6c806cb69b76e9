"""Faults at single system calls: `make durability` in short."""

from pathlib import Path

import pytest

from loadtests.durability import sweep
from loadtests.durability.faults import syscall_gate
from loadtests.durability.positions import Choice
from loadtests.durability.sweep import Plan

EACH = ("kill", "EIO", "ENOSPC", "delay")
PLANS = (
    Plan(["write"], ["kill", "worker torn", "EIO", "ENOSPC stays", "delay"], Choice(most=2), [2]),
    Plan(["audit record"], [*EACH, "worker killed"], Choice(most=1), [2]),
    Plan(["audit checkpoint"], EACH, Choice(most=1), [1]),
    Plan(["key rotation"], EACH, Choice(most=1), [1]),
    Plan(["migration"], EACH, Choice(most=1), [1]),
    Plan(["stop"], ["tear"], Choice(most=1), [2]),
)


@pytest.mark.parametrize("plan", PLANS, ids=[plan.stories[0] for plan in PLANS])
def test_a_fault_at_a_system_call_loses_nothing(folder: Path, plan: Plan) -> None:
    """503 or an answer, never a lie; the agent heals, or starts again after its death."""
    if why_not := syscall_gate.why_not():
        pytest.skip(why_not)
    done = list(sweep.run_sweep(folder, plan))
    assert [told for told in done if told.round.findings] == []
    struck = {told.group for told in done if told.round.struck}
    [story], [workers] = plan.stories, plan.forms
    assert struck == {sweep.group(story, kind, workers) for kind in plan.kinds}
