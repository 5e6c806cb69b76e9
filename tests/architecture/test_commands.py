import re
import subprocess
import sys
from pathlib import Path


def test_ci_runs_what_everybody_runs(root: Path) -> None:
    """One command decides, on CI and here."""
    lines = (root / ".ci/run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_make_lists_every_target(root: Path) -> None:
    """`make` alone is the one list of commands: nothing is hidden from it."""
    listed = subprocess.run(["make"], cwd=root, check=True, capture_output=True, text=True).stdout
    targets = re.findall(r"^\.PHONY: (\S+)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\S+)", listed, re.MULTILINE) == targets


def test_the_command_line_starts_without_the_agent(root: Path) -> None:
    """A command imports only what it runs: `freehold secret get` must not wait for a database."""
    program = "import sys, ui.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=root, check=True, capture_output=True, text=True
    ).stdout.split()
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {"vault", "sqlalchemy", "alembic", "trio", "pydantic"}
