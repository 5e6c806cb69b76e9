"""Another commit of this repository as a command that runs it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ENTRY: Final = """
import sys
from ui.cli.main import main
sys.argv[0] = 'freehold'
sys.exit(main())
"""


@contextmanager
def command_of_commit(commit: str, folder: Path, python: Path) -> Iterator[Path]:
    """A command in `folder` that is `freehold` of that commit, run by this environment's python.

    What the environment holds is today's. Raises `subprocess.CalledProcessError` where git does
    not make the tree.
    """
    tree = folder / "tree"
    _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        command = folder / "freehold"
        command.write_text(
            f'#!/bin/sh\nPYTHONPATH="{tree}" exec "{python.absolute()}" -P -c "{ENTRY}" "$@"\n'
        )
        command.chmod(0o755)
        yield command
    finally:
        _git("worktree", "remove", "--force", str(tree))


def is_commit(name: str) -> bool:
    """Whether this repository has a commit of that name."""
    command = ["git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # PATH's git
    return done.returncode == 0


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, stdout=sys.stderr)  # noqa: S603, S607  # PATH's
