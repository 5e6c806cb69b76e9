"""A backup is stolen: it says no more than the specification, and nothing forged is believed."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import running
from tests.acceptance.drills.drill import NAME, VALUE, YEARLY, Drill, make_drill, printed
from vault.backup.format import Manifest, read_unverified_manifest

FIELDS = {
    "format", "org", "vault", "id", "base", "depth", "created", "commits", "feed", "epoch",
    "schema", "header", "size", "chunks", "chunk_root", "content", "records", "row_root",
    "tables", "checkpoints",
}  # fmt: skip
"""Of a manifest, as docs/spec/backup.md has them."""


@pytest.fixture
def drill(folder: Path) -> Iterator[Drill]:
    """An agent with a full backup and an incremental one."""
    place = [{"type": "local", "path": f"{folder}/backups"}]
    made = make_drill(folder, backup={"enabled": True, "schedule": YEARLY, "destinations": place})
    with running(made.agent):
        made.fill()
        made.scheduled()
        made.write("more", VALUE)
        made.back_up()
        yield made


@pytest.fixture
def thief(drill: Drill) -> Drill:
    """The vault of somebody else, who has made a backup of it, which looks newer."""
    folder = drill.folder / "thief"
    folder.mkdir()
    made = make_drill(folder)
    with running(made.agent):
        made.fill()
        for number in range(30):
            made.write(f"{number}", "forged")
        made.back_up(full=True)
        made.agent.stop()
    return made


def test_what_it_says(drill: Drill) -> None:
    """No value, and no name of a secret, a user or a policy, in any object of the bucket."""
    manifests = list(drill.backups.glob("*.manifest"))
    assert len(manifests) == 2
    for file in drill.backups.iterdir():
        if file.is_file():
            data = file.read_bytes()
            for text in (VALUE, NAME, "ann", "reader"):
                assert re.search(rb"\b" + text.encode() + rb"\b", data) is None, (file, text)
    for file in manifests:
        assert set(json.loads(file.read_text().splitlines()[1])) == FIELDS


def test_what_the_database_says(drill: Drill) -> None:
    """Names are in clear text there, values are not; with the bucket it is no more."""
    drill.agent.stop()
    data = b"".join(file.read_bytes() for file in drill.agent.folder.glob("vault.db*"))
    assert NAME.encode() in data
    assert VALUE.encode() not in data


def test_no_forged_backup_is_believed(drill: Drill, thief: Drill) -> None:
    """Neither listed as verified, nor built on, nor removed, nor restored, nor the newest."""
    real = {each["id"] for each in drill.want("GET", "/api/v1/backups")["backups"]}
    newest = max(drill.backups.glob("*.manifest"), key=lambda file: manifest(file).commits)
    (forged,) = thief.backups.glob("*.manifest")
    relabelled = drill.backups / f"ffffffff-{forged.stem[9:]}.manifest"
    shutil.copy(forged, drill.backups)
    shutil.copy(forged.with_suffix(".backup"), drill.backups)
    text = newest.read_text().replace(newest.stem, relabelled.stem)
    text = re.sub(r'"created":"[^"]+"', '"created":"2099-01-01T00:00:00Z"', text)
    relabelled.write_text(text)
    shutil.copy(newest.with_suffix(".backup"), relabelled.with_suffix(".backup"))
    made = drill.back_up()
    assert made["kind"] == "incremental"
    listed = {each["id"]: each for each in drill.want("GET", "/api/v1/backups")["backups"]}
    assert {name for name, each in listed.items() if each["verified"]} == real | {made["backup"]}
    assert listed[made["backup"]]["base"] in real
    assert drill.want("GET", "/api/v1/backups/schedule")["newest_at"] < "2099"
    for backup in (forged.stem, relabelled.stem):
        answer = drill.agent.call("DELETE", f"/api/v1/backups/{backup}")
        assert (answer.status, answer.json["code"]) == (409, "backup_unverified")
    drill.agent.stop()
    drill.lose_database()
    restore = "freehold backup restore /backup/freehold ID --config /etc/freehold/vault.yaml "
    for backup in (forged.stem, relabelled.stem, "latest"):
        refused = drill.type(f"{restore} --reason x".replace("ID", backup))
        assert refused.returncode != 0, backup
        assert not (drill.agent.folder / "vault.db").exists()
    done = drill.type(f"{restore} --reason x -o json", backup=made["backup"])
    assert printed(done)["backup"] == made["backup"]


def manifest(file: Path) -> Manifest:
    """As it says, unverified."""
    return read_unverified_manifest(file.read_bytes())
