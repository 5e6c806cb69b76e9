"""An old copy lies over newer data: refused, noticed, and undone by the page's own commands."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import running
from tests.acceptance.command import freehold
from tests.acceptance.drills.drill import NAME, VALUE, YEARLY, Drill, make_drill

SECTION = "An old backup lies over newer data"


@pytest.fixture
def drill(folder: Path) -> Iterator[Drill]:
    """An agent with a backup, a copy of its database, and newer data in both."""
    place = [{"type": "local", "path": f"{folder}/backups"}]
    made = make_drill(folder, backup={"enabled": True, "schedule": YEARLY, "destinations": place})
    with running(made.agent):
        made.fill()
        made.scheduled()
        made.agent.stop()
        shutil.copytree(made.agent.folder, folder / "copy")
        made.agent.start()
        made.write("newer", "than-the-copy")
        made.back_up()
        made.write("newest", "than-the-backup")
        yield made


def test_a_restore_never_writes_over_a_vault(drill: Drill) -> None:
    """It is refused, and the agent goes on with what it had."""
    drill.agent.stop()
    done = drill.type(
        "freehold backup restore /backup/freehold latest --config /etc/freehold/vault.yaml "
        "--reason x"
    )
    assert done.returncode != 0
    assert "empty database" in done.stderr
    drill.agent.start()
    assert drill.read("newest") == "than-the-backup"


def test_a_file_that_was_set_back(drill: Drill) -> None:
    """The agent stays sealed and says why; the newest backup is newer than the copy."""
    drill.agent.stop()
    drill.lose_database()
    for file in (drill.folder / "copy").glob("vault.db*"):
        shutil.copy(file, drill.agent.folder / file.name)
    refused = freehold("agent", "serve", "--config", str(drill.config))
    assert refused.returncode == 1
    assert "storage_rolled_back" in refused.stdout + refused.stderr
    drill.follow(SECTION)
    generated = drill.type("freehold operator generate-root --config /etc/freehold/vault.yaml")
    drill.new_root_token(generated.stdout + generated.stderr)
    assert drill.read(NAME) == VALUE
    assert drill.read("newer") == "than-the-copy"
    assert drill.read("newest") == "404"
    assert len(drill.events("sys.restore")) == 1
