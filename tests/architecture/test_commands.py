import re
import subprocess
import sys
from pathlib import Path

from ui.cli import main

GROUPS = [f"ui.cli.{main.MODULES.get(name, name)}" for name in main.GROUPS]


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
    packages = {name.partition(".")[0] for name in _loaded(root, "ui.cli.main", *GROUPS)}
    assert not packages & {"vault", "sqlalchemy", "alembic", "trio", "pydantic"}


def test_an_agent_starts_without_what_it_does_not_run(root: Path) -> None:
    """Loading is most of a start: no link without a control plane, no websocket without pages."""
    loaded = _loaded(root, "ui.cli.main", "vault.app")
    assert {"vault.core", "sqlalchemy.engine", "protocols.http.server"} <= loaded
    packages = {name.partition(".")[0] for name in loaded}
    assert not packages & {"alembic", "httpx2", "h11", "trio_websocket", "wsproto", "control"}
    assert not loaded & {"sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql"}
    assert not loaded & {
        "vault.control_link.wiring",
        "vault.control_link.client",
        "cryptography.x509",
    }


def _loaded(root: Path, *modules: str) -> set[str]:
    """All that is loaded with these."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", program], cwd=root, check=True, capture_output=True, text=True
        ).stdout.split()
    )
