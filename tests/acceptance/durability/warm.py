"""Makes the agents of `loadtests.durability`: half of a round is what a start imports.

`python -m tests.acceptance.durability.warm` makes them as `tests.acceptance.maker` does the plain
command: behind the gate that the command names, weakened or of the next schema as it says. What an
agent does with its files is the same; `make durability` starts each by itself.
"""

import atexit
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from loadtests.agent_process import Agent, AgentProcess
from loadtests.durability.faults import gated_exec
from tests.acceptance.command import freehold
from tests.acceptance.maker import Maker, end_at_once, serve


@cache
def _maker() -> Maker:
    """This process's own."""
    made = Maker(module=__name__)
    atexit.register(made.close)
    return made


def spawn(agent: Agent, environment: Mapping[str, str]) -> AgentProcess:
    """In the place of `Agent.spawn`."""
    with agent.output_file.open("ab") as out:
        return _maker().make(agent.command, environment, out)


def verify(agent: Agent) -> subprocess.CompletedProcess[str]:
    """In the place of `Agent.verify`."""
    return freehold("audit", "verify", "--log", str(agent.audit_log))


def become() -> None:
    """Do what `python -m MODULE …` of the command does, one after the other, without a start."""
    if sys.argv[1:3] == ["-m", gated_exec.__name__]:
        _, _, _, gate, *sys.argv = sys.argv
        gated_exec.enter(gate)
    if sys.argv[1:2] == ["-m"]:
        _, _, *sys.argv = sys.argv
        end_at_once(import_module(sys.argv[0]).main)


if __name__ == "__main__":
    serve("agent", become)
