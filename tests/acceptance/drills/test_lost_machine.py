"""The machine is lost: the bucket and the root key are left; the database is of another kind."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import running
from tests.acceptance.drills.drill import NAME, VALUE, YEARLY, in_bucket, make_drill
from tests.support import backup_servers

SECTION = "The machine is lost"


@pytest.fixture(params=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty database of a server."""
    made: str = request.getfixturevalue(request.param)()
    return made


@pytest.fixture
def bucket(folder: Path) -> Iterator[dict[str, Any]]:
    """Where the backups are."""
    (folder / "servers").mkdir()
    with backup_servers.s3(folder / "servers") as server:
        yield server


def test_on_another_machine(folder: Path, bucket: dict[str, Any], url: str) -> None:
    """Its agent serves the data of the backup, and names the audit log that is lost."""
    plan = {"enabled": True, "schedule": YEARLY, "destinations": [in_bucket(bucket)]}
    lost = make_drill(folder, "lost", backup=plan)
    with running(lost.agent):
        lost.fill()
        key = lost.make_key("kept")
        lost.scheduled()
        lost.back_up()
    (folder / "safe").mkdir()
    shutil.copy(lost.agent.folder / "root.key", folder / "safe/root.key")
    shutil.rmtree(lost.agent.folder)
    storage = {"type": url.partition(":")[0], "connection_string": url}
    other = make_drill(folder, "other", storage=storage)
    other.bucket = bucket
    try:
        output = other.follow(SECTION)
        other.new_root_token(output)
        assert "missing_logs" in output
        assert other.read(NAME) == VALUE
        assert other.read(NAME, token=key["key"]) == VALUE
        (event,) = other.events("sys.restore")
        assert "the machine was lost" in event["rule"]
        other.write("after", "the-restore")
        assert other.back_up()["kind"] == "full"
    finally:
        other.agent.stop()


def test_without_the_root_key(folder: Path, bucket: dict[str, Any]) -> None:
    """The bucket alone restores nothing, and the target stays empty."""
    plan = {"enabled": True, "schedule": YEARLY, "destinations": [in_bucket(bucket)]}
    lost = make_drill(folder, "lost", backup=plan)
    with running(lost.agent):
        lost.fill()
        lost.scheduled()
    other = make_drill(folder, "other")
    other.bucket = bucket
    fetched = other.type("aws s3 sync s3://example-backups/agents/host-7 /restore")
    assert fetched.returncode == 0, fetched.stderr
    restore = "freehold backup restore /restore latest --config /etc/freehold/vault.yaml --reason x"
    refused = other.type(restore)
    assert refused.returncode != 0
    assert "root.key" in refused.stderr
    stranger = make_drill(folder, "stranger")
    with running(stranger.agent):
        stranger.fill()
    shutil.copy(stranger.agent.folder / "root.key", other.agent.folder / "root.key")
    refused = other.type(restore)
    assert refused.returncode != 0
    assert "root key does not open" in refused.stderr
    for text in (refused.stdout, refused.stderr):
        assert VALUE not in text
        assert NAME not in text
