"""A database that cannot be opened: whoever starts the agent is told which file, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.agent import dev_agent

pytestmark = pytest.mark.usefixtures("workers")


def a_folder(file: Path) -> None:
    """It is where the file should be."""
    file.mkdir()


def no_database(file: Path) -> None:
    """It is some other file."""
    file.write_bytes(b"no database" * 1000)
    file.chmod(0o600)


def of_everybody(file: Path) -> None:
    """Whoever likes can write to it."""
    file.touch()
    file.chmod(0o666)


def elsewhere(file: Path) -> None:
    """It is where somebody has had a link lead."""
    target = file.with_name("target")
    target.touch(mode=0o600)
    file.symlink_to(target)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (a_folder, "is not a plain file"),
        (no_database, "SQLite cannot read it"),
        (of_everybody, "run chmod 600"),
        (elsewhere, "set `storage.connection_string` to the file itself"),
    ],
)
def test_a_start_without_its_database_names_it(
    folder: Path, broken: Callable[[Path], None], why: str
) -> None:
    """Path and cause, without a traceback."""
    agent = dev_agent(folder)
    agent.data.mkdir(mode=0o700)
    broken(agent.database)
    refused = agent.refused_start()
    assert str(agent.database) in refused
    assert why in refused
    assert "Traceback" not in refused
