"""The keys in an agent's or a control plane's memory are nobody's else, not even its own user's."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from loadtests.process import process_tree
from tests.acceptance.agent import Agent, own_folder, running
from tests.acceptance.command import FREEHOLD

NOBODY: Final = 65_534  # root may read everything, so it cannot be the user here
PLAIN: Final = NOBODY if os.geteuid() == 0 else os.geteuid()
AGENT: Final = [FREEHOLD, "agent", "dev", "--listen", "127.0.0.1:0"]
CONTROL: Final = [FREEHOLD, "control", "dev", "--listen", "127.0.0.1:0"]
READ: Final = """
import sys
for name in ("mem", "environ", "maps"):
    try:
        with open(f"/proc/{sys.argv[1]}/{name}", "rb") as file:
            file.read(1)
    except PermissionError:
        print("refused", name)
with open(f"/proc/{sys.argv[1]}/status") as file:
    print("VmRSS:" in file.read())
"""


class PlainAgent(Agent):
    """A process of a user who is not root."""

    def spawn(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """As that user."""
        with self.output_file.open("ab") as out:
            return subprocess.Popen(
                self.command, stdout=out, stderr=out, env=environment, **as_plain_user()
            )


def as_plain_user() -> dict[str, int]:
    """How `subprocess` starts something as that user."""
    return {"user": PLAIN, "group": PLAIN} if os.geteuid() == 0 else {}


@contextmanager
def plain(command: list[str], *options: str) -> Iterator[PlainAgent]:
    """It runs for the length of the block."""
    with own_folder() as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, PLAIN, PLAIN)
        data = folder / "data"
        agent = PlainAgent(folder, [*command, "--data-dir", str(data), *options], data=data)
        with running(agent):
            yield agent


@pytest.mark.parametrize(
    ("command", "options", "processes"),
    [(AGENT, [], 1), (AGENT, ["--workers", "2"], 4), (CONTROL, [], 1)],
    ids=["agent", "agent with workers", "control plane"],
)
def test_its_memory_is_not_for_others_of_its_user(
    command: list[str], options: list[str], processes: int
) -> None:
    """Of each process: no memory, no core file; what a monitor reads is still there."""
    with plain(command, *options) as agent:
        assert agent.process is not None
        pids = process_tree(agent.process.pid)
        assert len(pids) == processes  # with workers: a leader, who forks them, and they
        for pid in pids:
            limits = Path(f"/proc/{pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if "core file" in line)
            assert core.split()[4:6] == ["0", "0"]
            done = subprocess.run(
                [sys.executable, "-c", READ, str(pid)],
                capture_output=True, text=True, check=True, **as_plain_user(),
            )  # fmt: skip
            said = done.stdout.splitlines()
            assert said == ["refused mem", "refused environ", "refused maps", "True"]
