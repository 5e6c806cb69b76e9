"""The agents of the harness: the real command, on data of its own."""

import http
import os
import sys
from pathlib import Path
from typing import Final, Literal

from loadtests.agent_process import Agent, AgentError, dev_agent

KEPT_VERSIONS: Final = 10_000  # the most there can be: none may be pruned, a gap would be a loss
Weakness = Literal["", "synchronous", "fdatasync", "early"]


def make_agent(folder: Path, data: Path, workers: int = 1) -> Agent:
    """A development agent with its data elsewhere, not started."""
    agent = dev_agent(folder, data, workers=workers)
    run_this_code(agent)
    return agent


def run_this_code(agent: Agent) -> None:
    """It runs the code that this process runs, wherever that was imported from."""
    agent.environment = {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}


def begin(agent: Agent, weakness: Weakness = "") -> None:
    """Start a new vault that keeps every version. Raises `AgentError`.

    It is made by the real agent; a weakened one (`weakened.py`) takes it over.
    """
    agent.start()
    kept = agent.call("POST", "/v1/secret/config", {"max_versions": KEPT_VERSIONS})
    if kept.status != http.HTTPStatus.NO_CONTENT:
        raise AgentError(f"the versions are not kept: {kept}")
    if weakness:
        agent.stop()
        launcher = [sys.executable, "-m", "loadtests.durability.weakened", weakness]
        agent.command = [*launcher, *agent.command[1:]]
        agent.start()
