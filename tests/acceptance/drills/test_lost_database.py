"""The database is lost: the newest backup is restored, by the page's own commands."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import running
from tests.acceptance.drills.drill import (
    NAME,
    PREFIX,
    VALUE,
    YEARLY,
    Drill,
    in_bucket,
    make_drill,
)
from tests.support import backup_servers

SECTION = "The database is lost"


@pytest.fixture
def drill(folder: Path) -> Iterator[Drill]:
    """An agent that makes its backups by the schedule, in a folder and in a bucket."""
    (folder / "servers").mkdir()
    with backup_servers.s3(folder / "servers") as bucket:
        destinations = [
            {"type": "local", "name": "here", "path": f"{folder}/backups"},
            in_bucket(bucket, name="away"),
        ]
        backup = {"enabled": True, "schedule": YEARLY, "destinations": destinations}
        made = make_drill(folder, backup=backup)
        made.bucket = bucket
        with running(made.agent):
            yield made


def from_folder(drill: Drill) -> str:
    """As the page says."""
    return drill.follow(SECTION)


def from_bucket(drill: Drill) -> str:
    """As the page says: copied first."""
    synced = drill.type(f"aws s3 sync s3://example-backups/{PREFIX} /restore")
    assert synced.returncode == 0, synced.stderr
    drill.backups.rename(drill.folder / "away")
    (drill.folder / "restore").rename(drill.backups)
    return drill.follow(SECTION)


@pytest.mark.parametrize("restore", [from_folder, from_bucket])
def test_restored(drill: Drill, restore: Callable[[Drill], str]) -> None:
    """Data is that of the backup, less what was revoked since; tokens are gone; it is on record."""
    drill.fill()
    kept, ended = drill.make_key("kept"), drill.make_key("ended")
    policy = {"policies": ["reader"]}
    token = drill.want("POST", "/v1/auth/token/create", policy)["auth"]["client_token"]
    drill.scheduled(2)
    newest = drill.back_up()
    drill.write("after", "the-backup")
    drill.want("DELETE", f"/api/v1/keys/{ended['id']}")
    drill.agent.kill()
    drill.lose_database()
    output = restore(drill)
    drill.new_root_token(output)
    assert drill.read(NAME) == VALUE
    assert drill.read("after") == "404"
    assert drill.read(NAME, token=kept["key"]) == VALUE
    assert drill.read(NAME, token=ended["key"]) == "403"
    assert drill.read(NAME, token=token) == "403"
    (event,) = drill.events("sys.restore")
    assert "the database was lost" in event["rule"]
    assert newest["kind"] == "incremental"
    assert re.search(r"api_keys_revoked\W+1", output)
    users: Any = drill.want("GET", "/api/v1/users")
    assert "ann" in str(users)
