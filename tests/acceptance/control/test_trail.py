"""The trail from outside: searched over the wire, verified by a command against what was signed."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator

import pytest

from tests.acceptance.agent import own_folder, running
from tests.acceptance.command import FREEHOLD
from tests.acceptance.control.plane import Plane, dev_plane


@pytest.fixture
def stopped() -> Iterator[Plane]:
    """A control plane that ran, and stopped as it should."""
    with own_folder() as path:
        made = dev_plane(path)
        with running(made):
            made.sign_in()
            made.organization("acme", "viewer")
            made.want(201, "POST", "organizations/acme/agents", {"vault": "one"})
            made.want(403, "POST", "organizations/acme/agents", {"vault": "two"},
                      token=made.people["acme", "viewer"])  # fmt: skip
            found = made.want(200, "GET", "organizations/acme/audit?result=denied")
            assert [(e["actor"], e["operation"]) for e in found] == [
                ("acme/viewer", "agents.register")
            ]
            page = made.want(200, "GET", "organizations/acme/audit/export?limit=2")
            onward = made.want(
                200, "GET", f"organizations/acme/audit/export?after={page[-1]['seq']}"
            )
            assert [e["seq"] for e in page + onward] == list(range(1, len(page + onward) + 1))
            head = made.want(200, "GET", "organizations/acme/audit/head")
            assert (head["size"], head["hash"]) == (onward[-1]["seq"], onward[-1]["hash"])
            made.stop()
            yield made


def command(plane: Plane, *words: str) -> subprocess.CompletedProcess[str]:
    """One of `freehold control audit`."""
    return subprocess.run(
        [FREEHOLD, "control", "audit", *words, "--data-dir", str(plane.data)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_who_is_locked_out_is_let_in(stopped: Plane) -> None:
    """From the machine itself: a new password, the old sessions gone, and that on the trail."""
    old = stopped.people["acme", "viewer"]
    words = ["user", "recover", "acme", "viewer", "--data-dir", str(stopped.data)]
    for password, code in (("short", 1), ("another long password", 0)):
        done = subprocess.run(
            [FREEHOLD, "control", *words], input=f"{password}\n",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert password not in done.stdout + done.stderr
    with running(stopped):
        assert stopped.ask("GET", "whoami", token=old).status == 401
        stopped.login("acme", "viewer", "another long password")
        events = stopped.want(200, "GET", "organizations/acme/audit?operation=users.rescue")
        assert [(e["ip"], e["target"]) for e in events] == [("local", "viewer")]


def test_read_beside_a_control_plane_that_runs(stopped: Plane) -> None:
    """Verified and exported without stopping anybody; a change says what has to be stopped."""
    with running(stopped):
        verified = command(stopped, "verify", "--output", "json")
        assert verified.returncode == 0, verified.stderr
        assert {row["verdict"] for row in json.loads(verified.stdout)} == {"whole"}
        assert len(command(stopped, "export", "acme").stdout.splitlines()) > 3
        nobody = command(stopped, "export", "nosuch")
        assert (nobody.returncode, nobody.stdout) == (3, "")
        assert "there is no organization nosuch" in nobody.stderr


def changed(plane: Plane, statement: str) -> None:
    """What somebody does to the database."""
    database = sqlite3.connect(plane.data / "control.db")
    with database:
        assert database.execute(statement).rowcount
    database.close()


def test_verified_and_read_out(stopped: Plane) -> None:
    """Whole as it was left; then a trail that was cut short, and one that was edited, is not."""
    told = command(stopped, "verify", "--output", "json")
    assert told.returncode == 0, told.stderr
    rows = {row["organization"]: row for row in json.loads(told.stdout)}
    assert {row["verdict"] for row in rows.values()} == {"whole"}
    assert rows["acme"]["signed"] == rows["acme"]["records"] > 3
    lines = command(stopped, "export", "acme").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    changed(stopped, f"DELETE FROM audit WHERE org = 'acme' AND seq > {len(lines) - 1}")  # noqa: S608
    told = command(stopped, "verify")
    assert told.returncode == 1
    assert f"broken at record {len(lines)}" in told.stdout
    changed(stopped, "UPDATE audit SET actor = 'x/y' WHERE org = 'acme' AND seq = 2")
    assert "broken at record 2" in command(stopped, "verify").stdout
