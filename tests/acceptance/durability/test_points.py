"""Faults at single system calls: `make durability` in short."""

from pathlib import Path

import pytest

from loadtests.durability import sweep
from loadtests.durability.faults import gate
from loadtests.durability.sweep import Plan

LIVE = Plan(stories=["write"], kinds=["kill", "EIO", "ENOSPC stays", "delay"], most=2)
STOP = Plan(stories=["stop"], kinds=["tear"], most=1)


@pytest.mark.parametrize("plan", [LIVE, STOP], ids=["write", "stop"])
def test_a_fault_at_a_system_call_loses_nothing(folder: Path, plan: Plan) -> None:
    """503 or an answer, never a lie; the agent heals, or starts again after its death."""
    if why_not := gate.why_not():
        pytest.skip(why_not)
    done = list(sweep.run(folder, plan))
    assert [(group, label, this.findings) for group, label, this in done if this.findings] == []
    struck = {group for group, label, _ in done if label != "end" and "not reached" not in label}
    assert struck == {f"{plan.stories[0]}, {kind}" for kind in plan.kinds}
