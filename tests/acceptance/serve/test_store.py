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


@pytest.mark.parametrize(
    ("broken", "why"),
    [(a_folder, "unable to open database file"), (no_database, "SQLite cannot read it")],
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
