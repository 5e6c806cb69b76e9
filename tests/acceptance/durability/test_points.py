"""Faults at single system calls: `make durability` in short."""

from pathlib import Path

import pytest

from loadtests.durability import sweep
from loadtests.durability.faults import gate
from loadtests.durability.positions import Choice
from loadtests.durability.sweep import Plan

LIVE = Plan(["write"], ["kill", "EIO", "ENOSPC stays", "delay"], Choice(most=2))
MIGRATION = Plan(["migration"], ["kill", "delay"], Choice(most=1))
STOP = Plan(["stop"], ["tear"], Choice(most=1))


@pytest.mark.parametrize("plan", [LIVE, MIGRATION, STOP], ids=["write", "migration", "stop"])
def test_a_fault_at_a_system_call_loses_nothing(folder: Path, plan: Plan) -> None:
    """503 or an answer, never a lie; the agent heals, or starts again after its death."""
    if why_not := gate.why_not():
        pytest.skip(why_not)
    done = list(sweep.run(folder, plan))
    assert [told for told in done if told.round.findings] == []
    struck = {told.group for told in done if told.round.struck}
    assert struck == {f"{plan.stories[0]}, {kind}" for kind in plan.kinds}
