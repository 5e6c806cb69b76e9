"""A command waits for its own group to be loaded, and for no other."""

import subprocess
import sys

from tests.unit.ui.cli.conftest import Run
from ui.cli.lazy_groups import GROUPS

PROGRAM = """
import sys
from ui.cli import main
sys.argv = ["freehold", "mount", "list", "--help"]
try:
    main.main()
except SystemExit as ended:
    assert ended.code == 0
print(*sys.modules)
"""


def test_only_the_group_that_was_asked_for_is_loaded() -> None:
    """In a process of its own, as a command is."""
    program = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    loaded = set(said.splitlines()[-1].split())
    assert {name for name in GROUPS if f"ui.cli.{name}" in loaded} == {"mount"}


def test_the_help_has_them_all(cli: Run) -> None:
    """Each with what it is for; whoever mistypes one is told which it may have been."""
    said = cli("--help").out
    lines = [line.strip(" │").split(maxsplit=1) for line in said.splitlines()]
    told = {words[0]: words[1] for words in lines if len(words) == 2}
    assert all(told[name].endswith(".") for name in GROUPS)
    assert "'secret'" in cli("secrt").err


def test_each_is_called_by_its_name(cli: Run) -> None:
    """Also where its own usage is told."""
    for name in GROUPS:
        assert f"freehold {name} " in cli(name, "--help").out
