"""Somebody with the credentials of the bucket removes everything, or fills it with names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.acceptance.agent import running
from tests.acceptance.drills.drill import (
    NAME,
    PREFIX,
    VALUE,
    YEARLY,
    Drill,
    credentials,
    in_bucket,
    make_drill,
    printed,
    until,
)
from tests.support import backup_servers
from tests.support.backup_servers import LOCKED_BUCKET
from vault.backup.destinations.interface import MAX_OBJECTS

SECTION = "The bucket was emptied"


@pytest.fixture
def drill(folder: Path) -> Iterator[Drill]:
    """An agent whose backups are locked in a bucket."""
    (folder / "servers").mkdir()
    with backup_servers.s3(folder / "servers") as bucket:
        plan = {
            "enabled": True,
            "schedule": YEARLY,
            "destinations": [in_bucket(bucket, object_lock="1d")],
        }
        made = make_drill(folder, backup=plan)
        made.bucket = bucket
        with running(made.agent):
            yield made


def attacker(drill: Drill) -> Any:
    """A client with what the agent has: it may list, read, write and remove."""
    key, secret = credentials(drill.bucket["credentials_file"])
    return boto3.client(
        "s3",
        endpoint_url=drill.bucket["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def attack(drill: Drill) -> None:
    """Overwrite and remove everything, each object's locked versions as well."""
    client = attacker(drill)
    # A certificate of a restore may still come.
    while found := client.list_objects_v2(Bucket=LOCKED_BUCKET, Prefix=PREFIX).get("Contents"):
        for each in found:
            place = {"Bucket": LOCKED_BUCKET, "Key": each["Key"]}
            version = client.head_object(**place)["VersionId"]
            with pytest.raises(ClientError):
                client.delete_object(**place, VersionId=version)
            client.put_object(**place, Body=b"pay, and you get it back")
            client.delete_object(**place)


def test_locked_objects_survive(drill: Drill) -> None:
    """The agent says what is gone and makes a new one; the old ones restore by the page."""
    drill.fill()
    drill.scheduled()
    made = drill.back_up()
    attack(drill)
    drill.want("GET", "/api/v1/backups")
    (alert,) = until(lambda: drill.events("backup.missing"), "the alert")
    assert alert["code"] == "backups_missing"
    assert "2 verified backups" in alert["rule"]
    state = drill.want("GET", "/api/v1/backups/schedule")
    assert state["state"] == "failed"
    assert state["destinations"][0]["error_code"] == "backups_missing"
    assert (
        "vault_backup_destinations_failing 1" in drill.agent.call("GET", "/metrics").body.decode()
    )
    (new,) = drill.scheduled()
    assert new["kind"] == "full"
    drill.agent.kill()
    drill.lose_database()
    output = drill.follow(SECTION, backup=made["backup"])
    drill.new_root_token(output)
    assert drill.read(NAME) == VALUE


def test_names_of_somebody_else(folder: Path) -> None:
    """More than the agent looks at: full backups are made all the same, and can be restored."""
    place = [{"type": "local", "path": f"{folder}/backups"}]
    drill = make_drill(folder, backup={"destinations": place})
    with running(drill.agent):
        drill.fill()
        drill.back_up()
        for number in range(MAX_OBJECTS):
            (drill.backups / f"garbage-{number}.manifest").touch()
        made = drill.back_up()
        assert made["kind"] == "full"
        (state,) = drill.want("GET", "/api/v1/backups/schedule")["destinations"]
        assert state["error_code"] == "backups_too_many"
        assert (
            "vault_backup_destinations_failing 1"
            in drill.agent.call("GET", "/metrics").body.decode()
        )
        drill.agent.stop()
        drill.lose_database()
        restored = drill.type(
            "freehold backup restore /backup/freehold ID --config /etc/freehold/vault.yaml "
            "--reason x -o json",
            backup=made["backup"],
        )
        assert printed(restored)["backup"] == made["backup"]


def test_manifests_of_somebody_else(folder: Path) -> None:
    """Within the bound: the real ones are listed, built on and restored as ever."""
    place = [{"type": "local", "path": f"{folder}/backups"}]
    drill = make_drill(folder, backup={"destinations": place})
    with running(drill.agent):
        drill.fill()
        first = drill.back_up()
        for number in range(2_000):
            (drill.backups / f"garbage-{number}.manifest").write_bytes(b"x" * 1_000)
        made = drill.back_up()
        assert made["kind"] == "incremental"
        assert drill.want("GET", f"/api/v1/backups/{made['backup']}")["base"] == first["backup"]
        drill.agent.stop()
        drill.lose_database()
        restored = drill.type(
            "freehold backup restore /backup/freehold latest --config /etc/freehold/vault.yaml "
            "--reason x -o json"
        )
        assert printed(restored)["backup"] == made["backup"]
