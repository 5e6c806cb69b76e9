"""Agents whose processes say which keys they hold (`tests/acceptance/serve/witness`)."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from loadtests.agent_process import has_ended
from loadtests.process import process_tree
from tests.acceptance.agent import Agent, AgentError

WITNESS = Path(__file__).parent / "serve" / "witness"
PATIENCE = 60.0  # seconds


def watch(agent: Agent, folder: Path) -> None:
    """Have its processes answer `held_by`; before it is started."""
    (folder / "needles").touch()
    agent.environment = {"PYTHONPATH": str(WITNESS), "FREEHOLD_WITNESS": str(folder)}


def members_of(agent: Agent) -> list[int]:
    """The process that writes, the one that starts others, and those."""
    return process_tree(agent.process.pid) if agent.process else []


def held_by(folder: Path, members: list[int]) -> dict[int, list[str]]:
    """Who holds what, by the process's id; one that has ended holds nothing.

    Raises `AgentError` when one of them does not say.
    """
    for pid in members:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR2)
    return {pid: _told(folder / f"{pid}.json", pid) for pid in members}


def _told(file: Path, pid: int) -> list[str]:
    end = time.monotonic() + PATIENCE
    while not file.exists():
        if has_ended(pid):
            return []
        if time.monotonic() > end:
            raise AgentError(f"{file.stem} does not say what it holds")
        time.sleep(0.02)
    found: list[str] = json.loads(file.read_text())
    file.unlink()
    return found
