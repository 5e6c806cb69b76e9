"""Reports and legal holds at the terminal."""

import json
import time
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

API = "/api/v1/organizations/acme/"


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


def test_reports_are_made_listed_and_verified(agent: FakeAgent, cli: Run) -> None:
    """As they are asked for."""
    agent.answer({"id": "r1", "state": "waiting"})
    span = ("--since", "1970-01-02", "--until", "1970-01-02T00:00:01Z")
    asked = (*span, "--framework", "soc2", "--framework", "hipaa")
    assert cli("fleet", "report", "create", *asked, "-o", "json").json["state"] == "waiting"
    agent.answer([{"id": "r1", "state": "ready"}])
    assert "ready" in cli("fleet", "report", "list").out
    agent.answer({"whole": True, "faults": []})
    assert cli("fleet", "report", "verify", "r1", "-o", "json").json["whole"]
    assert [path for _, path, *_ in agent.asked] == [
        f"{API}reports", f"{API}reports", f"{API}reports/r1/verify",
    ]  # fmt: skip
    body = agent.asked[0][2]
    assert (body["since"], body["until"]) == (86_400, 86_401)


def test_a_period_is_so_long_ago_until_now(agent: FakeAgent, cli: Run) -> None:
    """Without an end until now."""
    agent.answer({"id": "r1"})
    assert cli("fleet", "report", "create", "--since", "30d", "--framework", "soc2").code == 0
    body = agent.asked[0][2]
    assert abs(body["until"] - time.time()) < 60
    assert abs(body["until"] - body["since"] - 30 * 86_400) <= 1


@pytest.mark.parametrize("since", ["1764500000", "-3d", "yesterday", "2026-13-01", "2026-11-01T"])
def test_a_time_that_is_none_is_refused(agent: FakeAgent, cli: Run, since: str) -> None:
    """With the shapes that there are; nothing is asked."""
    for words in (("report", "create", "--framework", "soc2"), ("hold", "create", "--reason", "x")):
        done = cli("fleet", *words, f"--since={since}")
        assert done.code == 64
        assert "2026-11-01T00:00:00Z" in done.err
    assert agent.seen == []


def test_a_report_is_downloaded_as_it_is(agent: FakeAgent, cli: Run, tmp_path: Path) -> None:
    """Byte for byte, never over another file."""
    data, file = b'{"signed": [1,2] }\n', tmp_path / "report.json"
    agent.answer(data)
    assert cli("fleet", "report", "download", "r1", "--file", str(file)).code == 0
    assert file.read_bytes() == data
    agent.answer(data)
    again = cli("fleet", "report", "download", "r1", "--file", str(file))
    assert again.code == 1
    assert "File exists" in again.err
    agent.answer({"code": "not_ready", "message": "it is not made yet"}, 409)
    refused = cli("fleet", "report", "download", "r1", "--format", "csv")
    assert (refused.code, refused.out) == (5, "")
    paths = [path for _, path, _ in agent.asked]
    assert paths == [f"{API}reports/r1/file?format={form}" for form in ("json", "json", "csv")]


def test_holds_are_placed_and_listed(agent: FakeAgent, cli: Run) -> None:
    """With a reason; a lifted one stays on record."""
    agent.answer({"id": "h1", "reason": "case 7"})
    cli("fleet", "hold", "create", "--reason", "case 7", "--vault", "v1")
    agent.answer([{"id": "h1", "reason": "case 7"}])
    assert json.loads(cli("fleet", "hold", "list", "-o", "json").out)[0]["reason"] == "case 7"
    agent.answer({"id": "h1", "lifted_at": "T"})
    assert cli("fleet", "hold", "lift", "h1", "--reason", "closed", "--yes").code == 0
    assert [method for method, *_ in agent.asked] == ["POST", "GET", "POST"]
    assert agent.asked[2] == ("POST", f"{API}holds/h1/lift", {"reason": "closed"})


def test_schedules_are_made_and_deleted(agent: FakeAgent, cli: Run) -> None:
    """A period is whole days."""
    agent.answer({"id": "s1"}, 201)
    words = ("fleet", "report-schedule")
    asked = ("0 6 1 * *", "--framework", "soc2", "--period", "31d")
    assert cli(*words, "create", *asked).code == 0
    assert (agent.asked[0][2]["cron"], agent.asked[0][2]["days"]) == ("0 6 1 * *", 31)
    agent.answer(None, 204)
    assert cli(*words, "delete", "s1", "--yes").code == 0
    assert agent.asked[1] == ("DELETE", f"{API}report-schedules/s1", None)
