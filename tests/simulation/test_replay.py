"""A seed is a run: the same trace in this process, in another, and with another hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bare import BareFleet
from tests.simulation.fleet import RealFleet
from tests.simulation.scenario import Build, Plan, play


@pytest.mark.parametrize("build", [BareFleet, RealFleet])
def test_two_runs_are_one(build: Build) -> None:
    """Every frame, fault and life at the same virtual moment."""
    plan = Plan(seed=5, agents=2, hours=0.1)
    first, second = play(plan, build), play(plan, build)
    assert first.failure is None, first.failure
    assert (first.digest, first.lines) == (second.digest, second.lines)
    assert first.lines > 100


def test_another_seed_is_another_run() -> None:
    """The trace has the seed in it, not only the product."""
    traces = {play(Plan(seed=seed, agents=2, hours=0.1), BareFleet).digest for seed in (1, 2)}
    assert len(traces) == 2


def test_another_process_plays_the_same(root: Path) -> None:
    """Whatever its hash seed: no set or address decides anything."""
    arguments = ["--seed", "5", "--agents", "2", "--hours", "0.1"]
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    outcome = play(Plan(seed=5, agents=2, hours=0.1), RealFleet)
    assert f"seed 5 holds, trace {outcome.digest}" in told.stdout
