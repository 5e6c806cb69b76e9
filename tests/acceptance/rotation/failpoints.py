"""An agent that dies within a step of a rotation, of the test's choice. Never product code.

`python -m tests.acceptance.rotation.failpoints` makes them. In the environment of each, `KILL_AT`
says at which state of a rotation and when: `before` it does anything at the target, `within` that,
once that is `done` and the next state is not stored, or once it is `stored`. For the state
`undoing` the new value is found not to work first.
"""

import atexit
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from loadtests.agent_process import AgentProcess
from tests.acceptance import agent as agents
from tests.acceptance.maker import Maker, serve

KILL_AT: Final = "KILL_AT"
STATES: Final = ("planned", "stored", "applied", "verified", "current", "adopted", "undoing")
TIMES: Final = ("before", "within", "done", "stored")
POINTS: Final = tuple((state, time) for state in STATES for time in TIMES)
WITHIN: Final = 0.02  # seconds; a step at a server on this machine takes about as long


@dataclass
class MortalAgent(agents.Agent):
    """One that is told in its environment where it dies."""

    def spawn(self, environment: Mapping[str, str]) -> AgentProcess:
        """Made by the maker of this module."""
        with self.output_file.open("ab") as out:
            return _maker().make(self.command, environment, out)

    def die_at(self, state: str, time: str) -> None:
        """Of its next start."""
        self.environment = {KILL_AT: f"{state} {time}"}


@cache
def _maker() -> Maker:
    made = Maker(module=__name__)
    atexit.register(made.close)
    return made


def die() -> None:
    """Now, with all threads."""
    os.kill(os.getpid(), signal.SIGKILL)


def place() -> None:
    """Have this process die where its environment says."""
    from vault.handlers import rotation_steps
    from vault.rotation.rotator import RotationError

    state, _, time = os.environ.pop(KILL_AT, "").partition(" ")
    steps: Any = rotation_steps.RotationSteps
    act, settle = steps._act, steps._settle

    async def act_or_die(self: Any, call: Any, row: Any, policy: Any) -> Any:
        if state == "undoing" and row.state == "applied":
            raise RotationError("does_not_work", "as the test says", is_final=True)
        if row.state != state:
            return await act(self, call, row, policy)
        if time == "before":
            die()
        if time == "within":
            chance = int.from_bytes(os.urandom(2)) / 2**16
            threading.Timer(WITHIN * chance, die).start()
        settled = await act(self, call, row, policy)
        if time == "done":
            die()
        return settled

    async def settle_or_die(self: Any, row: Any, settled: Any) -> Any:
        found = await settle(self, row, settled)
        if row.state == state and time == "stored":
            die()
        return found

    steps._act, steps._settle = act_or_die, settle_or_die


if __name__ == "__main__":
    serve("agent", place)
