"""An agent of several processes, and connections of which it is known who serves them."""

from pathlib import Path

from loadtests.agent_process import await_workers, is_gone, pinned, server_of, workers_of
from tests.acceptance.agent import Agent, dev_agent

__all__ = ["await_workers", "fleet_agent", "is_gone", "pinned", "server_of", "workers_of"]


def fleet_agent(folder: Path, workers: int = 2) -> Agent:
    """A development agent with workers, not started."""
    return dev_agent(folder, workers=workers)
