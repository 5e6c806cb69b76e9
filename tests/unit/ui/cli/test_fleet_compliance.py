"""Reports and legal holds at the terminal."""

import json

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
    asked = ("--since", "1", "--until", "86401", "--framework", "soc2", "--framework", "hipaa")
    assert cli("fleet", "report", "make", *asked, "-o", "json").json["state"] == "waiting"
    agent.answer([{"id": "r1", "state": "ready"}])
    assert "ready" in cli("fleet", "report", "list").out
    agent.answer({"whole": True, "faults": []})
    assert cli("fleet", "report", "verify", "r1", "-o", "json").json["whole"]
    assert [path for _, path, *_ in agent.asked] == [
        f"{API}reports", f"{API}reports", f"{API}reports/r1/verify",
    ]  # fmt: skip


def test_holds_are_placed_and_listed(agent: FakeAgent, cli: Run) -> None:
    """With a reason; lifting takes a browser, where one shows again who one is."""
    agent.answer({"id": "h1", "reason": "case 7"})
    cli("fleet", "hold", "place", "--reason", "case 7", "--vault", "v1")
    agent.answer([{"id": "h1", "reason": "case 7"}])
    assert json.loads(cli("fleet", "hold", "list", "-o", "json").out)[0]["reason"] == "case 7"
    assert [method for method, *_ in agent.asked] == ["POST", "GET"]
