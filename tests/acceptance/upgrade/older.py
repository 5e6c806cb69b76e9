"""This program as it was: the newest commit with an older schema of the agent, out of git.

A shallow clone has no such commit. Then the present tree stands for it, and the tests' names say
so: what they show of an upgrade is then only that of a version to itself.
"""

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.acceptance.agent import Agent
from tests.acceptance.command import FREEHOLD

ROOT = Path(__file__).parents[3]
TABLES = "vault/store/tables.py"
LEVEL = re.compile(r"^SCHEMA_LEVEL: Final = (\d+)$", re.MULTILINE)
PACKAGES = ("actors", "protocols", "vault", "control", "ui/__init__.py", "ui/cli", "ui/web/*.py")
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from ui.cli.main import main; sys.argv[0] = 'freehold'; main()"
)


def git(*arguments: str) -> bytes:
    """What git says of this repository; nothing where it is none."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def find_commit() -> str:
    """The parent of the commit that made the present schema; empty without history."""
    changed = git("log", "-1", "-G^SCHEMA_LEVEL: Final", "--format=%H", "--", TABLES).decode()
    parent = git("rev-parse", "--verify", "--quiet", f"{changed.strip()}~1").decode().strip()
    return parent if changed.strip() else ""


COMMIT = find_commit()
NAME = f"from {COMMIT[:8]}" if COMMIT else "no history here: from itself"


@dataclass(frozen=True)
class Older:
    """An older program. `level`: of its agents' schema."""

    tree: Path
    level: int

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of it."""
        return subprocess.run(
            self.command(arguments), capture_output=True, text=True, timeout=120, check=False
        )

    def command(self, arguments: tuple[str, ...] | list[str]) -> list[str]:
        """What starts it."""
        return [sys.executable, "-c", START, str(self.tree), *arguments]

    def of(self, agent: Agent) -> Agent:
        """The same agent or control plane, of the older program: to be started in its place.

        Its database is made by the older program, too.
        """
        assert agent.command[0] == FREEHOLD
        return replace(agent, command=self.command(agent.command[1:]), anew=True, first=None)


@contextmanager
def older_program() -> Iterator[Older]:
    """It, unpacked."""
    if not COMMIT:
        yield Older(ROOT, level_of((ROOT / TABLES).read_text()))
        return
    with TemporaryDirectory(prefix="freehold-older-") as name:
        archive = git("archive", "--format=tar", COMMIT, "--", *PACKAGES)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(name, filter="data")
        tree = Path(name)
        yield Older(tree, level_of((tree / TABLES).read_text()))


def level_of(text: str) -> int:
    """The level of a schema, as the program has it."""
    found = LEVEL.search(text)
    assert found is not None
    return int(found[1])
