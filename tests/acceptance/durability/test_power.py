"""Power cuts: `make durability` in short, and that it notices an agent that loses something."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.durability.__main__ import OWN_MOUNTS
from loadtests.durability.faults import power

ROUNDS = 2
WEAK_ROUNDS = 3
"""The first round of a vault may lose nothing: its writes come soon after what is synced anyway."""


@pytest.fixture(scope="module", autouse=True)
def _capable() -> None:
    if why_not := power.why_not():
        pytest.skip(why_not)


def harness(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, in a mount namespace of its own."""
    module = "tests.acceptance.durability.forked"
    command = [sys.executable, "-m", module, "power", "--seed", "20", *options]
    return subprocess.run(
        ["unshare", "--mount", *command], cwd=root, env=os.environ | {OWN_MOUNTS: "yes"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("workers", "kind"), [("1", "power"), ("2", "power, 2 processes")])
def test_after_a_power_cut_nothing_acknowledged_is_lost(
    root: Path, workers: str, kind: str
) -> None:
    """The disk forgets all that was not flushed; the agent starts, and the oracle is content."""
    told = harness(root, "--rounds", str(ROUNDS), "--workers", workers)
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"| {kind} | {ROUNDS} |" in told.stdout


@pytest.mark.parametrize("weakness", ["synchronous", "fdatasync"])
def test_the_harness_fails_for_an_agent_that_does_not_sync(root: Path, weakness: str) -> None:
    """With `synchronous=NORMAL`, or without the audit log's sync, it tells what was lost.

    Of an agent of one process and of one of two.
    """
    told = harness(root, "--rounds", str(WEAK_ROUNDS), "--weaken", weakness)
    assert told.returncode == 1, told.stdout + told.stderr
    found = {"synchronous": ("lost, that version holds None", "does not start again"),
             "fdatasync": ("audited []", "does not start again")}[weakness]  # fmt: skip
    assert any(words in told.stdout for words in found), told.stdout
    rows = re.compile(rf"^\| power, weakened: {weakness}(.*?) \|.* ([\d,]+) \|$", re.MULTILINE)
    wrong = [form for form, count in rows.findall(told.stdout) if count != "0"]
    assert wrong == ["", ", 2 processes"], told.stdout
