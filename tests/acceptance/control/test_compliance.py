"""Compliance over the wire: who may what, files as announced, the command that verifies."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane

ORG = "organizations/acme/"
DAY = 86_400
PATIENCE = 60.0  # seconds


def made(plane: Plane) -> dict[str, Any]:
    """A report that is ready."""
    now = int(time.time())
    body = {"title": "Q", "frameworks": ["soc2"], "since": now - DAY, "until": now}
    told: dict[str, Any] = plane.want(201, "POST", ORG + "reports", body)
    end = time.monotonic() + PATIENCE
    while told["state"] == "waiting" and time.monotonic() < end:
        time.sleep(0.2)
        told = plane.want(200, "GET", f"{ORG}reports/{told['id']}")
    assert told["state"] == "ready", told
    return told


def test_a_report_is_made_and_its_file_verified(plane: Plane, tmp_path: Path) -> None:
    """Each form with its type, as an attachment; an edited file is told from a whole one."""
    report = made(plane)
    path = f"{ORG}reports/{report['id']}"
    assert sum(report["counts"]["soc2"].values()) == 18
    content = plane.want(200, "GET", f"{path}/content")
    assert content["header"]["org"] == "acme"
    checked = plane.want(200, "GET", f"{path}/verify")
    assert (checked["whole"], checked["digest"]) == (True, report["digest"])
    files = {}
    for form, kind in (
        ("json", "application/json"), ("html", "text/html; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8"),
    ):  # fmt: skip
        answer = plane.ask("GET", f"{path}/file?format={form}")
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        name = f"report-acme-{report['id']}.{form}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        files[form] = answer.body
    kept = tmp_path / "report.json"
    kept.write_bytes(files["json"])
    key = plane.want(200, "GET", ORG + "audit/head")["key"]
    words = ("control", "report", "verify", str(kept), "--output", "json")
    for more in (["--key", key], ["--data-dir", str(plane.data)]):
        done = freehold(*words, *more)
        assert (done.returncode, json.loads(done.stdout)["digest"]) == (0, report["digest"])
    kept.write_bytes(files["json"].replace(b'"result":"gap"', b'"result":"met"', 1))
    done = freehold(*words, "--key", key)
    assert done.returncode == 1
    assert "it was edited" in done.stdout


def test_roles_are_kept(plane: Plane) -> None:
    """A report holds records of the trail: for admins. Rules and lifting are an owner's."""
    hold = plane.want(201, "POST", ORG + "holds", {"reason": "case"})
    rule = {"kind": "alerts", "days": 90}
    for role, reads, rules in (("operator", 403, 403), ("admin", 200, 403), ("owner", 200, 200)):
        token = plane.people["acme", role]
        for path in ("reports", "report-schedules", "control-notes", "retention", "holds"):
            plane.want(reads, "GET", ORG + path, token=token)
        plane.want(rules, "PUT", ORG + "retention", rule, token=token)
        plane.want(rules, "POST", f"{ORG}holds/{hold['id']}/lift", {"reason": "x"}, token=token)
    plane.want(409, "POST", f"{ORG}holds/{hold['id']}/lift", {"reason": "x"})
    plane.want(400, "PUT", ORG + "retention", {"kind": "trail", "days": 30})
    events = plane.want(200, "GET", ORG + "audit?operation=holds.&phase=outcome")
    assert {(e["actor"], e["result"]) for e in events} >= {
        ("acme/admin", "denied"), ("acme/owner", "ok"),
    }  # fmt: skip


def test_a_document_comes_back_and_stays_off_the_trail(plane: Plane) -> None:
    """Its digest is there; what it says is not."""
    content = base64.b64encode(b"a plan nobody may read").decode()
    body = {"framework": "soc2", "control": "CC1.4", "text": "see", "name": "plan.txt"}
    note = plane.want(201, "POST", ORG + "control-notes", body | {"content": content})
    answer = plane.ask("GET", f"{ORG}control-notes/{note['id']}/document")
    assert (answer.body, answer.headers["content-type"]) == (
        b"a plan nobody may read", "application/octet-stream",
    )  # fmt: skip
    events = plane.want(200, "GET", ORG + "audit?operation=control-notes.")
    assert content not in json.dumps(events)
    assert note["digest"] in json.dumps(events)
    plane.want(400, "POST", ORG + "control-notes", body | {"name": 'x"\r\ny'})


def test_a_schedule_is_kept(plane: Plane) -> None:
    """With when it is due; what is no time is refused by its field."""
    body = {"title": "M", "frameworks": ["hipaa"], "cron": "0 6 1 * *", "zone": "Europe/Berlin"}
    row = plane.want(201, "POST", ORG + "report-schedules", body)
    path = f"{ORG}report-schedules/{row['id']}"
    assert not plane.want(200, "PATCH", path, {"enabled": False})["enabled"]
    assert plane.want(400, "PATCH", path, {"cron": "* * * * *"})["details"]["field"] == "cron"
    plane.want(204, "DELETE", path)
    assert plane.want(200, "GET", ORG + "report-schedules") == []
