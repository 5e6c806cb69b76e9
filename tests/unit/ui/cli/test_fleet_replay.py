"""`freehold fleet policy replay`: asked once, looked at until all have answered."""

from typing import Any

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli import fleet_replay

BASE = "/api/v1/organizations/acme"


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")
    monkeypatch.setattr(fleet_replay, "EVERY", 0.0)


def found(*, is_open: bool, state: str) -> dict[str, Any]:
    """As the control plane answers."""
    counts = {"denied": 3, "allowed": 0, "unchanged": 5, "undecided": {}, "drifted": 0}
    return {
        "id": "r1", "open": is_open, "states": {state: 1}, "accesses": 8, **counts,
        "undecided": 0, "agents": [{"vault": "one", "state": state, **counts}],
    }  # fmt: skip


def test_a_draft_is_asked_about_until_all_have_answered(agent: FakeAgent, cli: Run) -> None:
    """The document from stdin, the agents by their tags and names."""
    agent.answer(found(is_open=True, state="asked"), 201)
    agent.answer(found(is_open=False, state="done"))
    done = cli("fleet", "policy", "replay", "p", "--tag", "eu", "--vault", "one", stdin="{}")
    assert done.code == 0
    body = {"hours": 24, "targets": [{"tag": "eu"}, {"vault": "one"}], "document": {}}
    assert agent.asked == [
        ("POST", f"{BASE}/policies/p/replays", body),
        ("GET", f"{BASE}/replays/r1", None),
    ]
    assert "done" in done.out
    assert done.err == ""


def test_who_has_not_answered_is_said(agent: FakeAgent, cli: Run) -> None:
    """Without waiting, of a version that is stored."""
    agent.answer(found(is_open=True, state="waiting"), 201)
    done = cli("fleet", "policy", "replay", "p", "--version", "3", "--all", "--wait", "0")
    assert agent.asked[0][2] == {"hours": 24, "targets": [{"all": True}], "version": 3}
    assert "not every agent" in done.err
    assert cli("fleet", "policy", "replay", "p", stdin="[]").code == 1
