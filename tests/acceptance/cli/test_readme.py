"""The README's tour is typed, and what it shows is what comes."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.command import FREEHOLD

MARK = "--- next command ---"
ADDRESS = re.compile(r"FREEHOLD_ADDR=\S+")
VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "KEY"),
    (re.compile(r"size +\d+"), "size N"),
    (re.compile(r"line \d+, record \d+: .*"), "line N, record N: WHY"),
    (re.compile(r"^\d+ +TIME", re.MULTILINE), "N TIME"),
    (re.compile(r"[ -]{2,}"), " "),  # the width of a column follows from what is in it
    (re.compile(r" +$", re.MULTILINE), ""),
)


def steps(text: str) -> list[tuple[str, str]]:
    """Each command of the README's consoles with what is shown below it."""
    found: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif line.startswith("> "):
                found[-1][0].append(line[2:])
            else:
                found[-1][1].append(line)
    return [("\n".join(command), "\n".join(shown).strip()) for command, shown in found]


def typed(commands: list[str], agent: Agent, folder: Path) -> list[str]:
    """What one shell shows for each command, against this agent."""
    ours = f"FREEHOLD_ADDR={agent.address}"
    script = "".join(f"{ADDRESS.sub(ours, command)}\necho '{MARK}'\n" for command in commands)
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=240, check=True,
        env={"PATH": f"{Path(FREEHOLD).parent}:{os.environ['PATH']}", "HOME": str(folder)},
    )  # fmt: skip
    return [shown.strip() for shown in done.stdout.split(f"{MARK}\n")[:-1]]


def settled(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text


@pytest.fixture
def tour(root: Path) -> list[tuple[str, str]]:
    """The README's tour."""
    return steps((root / "README.md").read_text())


def test_the_tour_shows_what_comes(tour: list[tuple[str, str]]) -> None:
    """Every command, in order, in one shell; times, ids and hashes apart."""
    with own_folder() as folder, running(dev_agent(folder)) as agent:
        came = typed([command for command, _ in tour], agent, folder)
    assert len(tour) > 10
    for (command, shown), real in zip(tour, came, strict=True):
        assert f"$ {command}\n{settled(real)}" == f"$ {command}\n{settled(shown)}"
