"""Tokens that are shown once, and requests that a person decides."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

BASE = "/api/v1/organizations/acme"


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


def test_a_token_comes_with_the_pin(agent: FakeAgent, cli: Run) -> None:
    """Both are what the agent is given."""
    made = {"secret": "fhe_x", "pin": "sha256:y", "token": {"id": "t-1", "vault": "one"}}
    agent.answer(made | {"control": "https://plane:8301"}, 201)
    done = cli("fleet", "enrolment-token", "create", "one", "--replace", "-o", "json")
    told = done.json
    assert (told["token"], told["pin"], told["vault"]) == ("fhe_x", "sha256:y", "one")
    assert "freehold agent enrol --control https://plane:8301 --pin sha256:y" in done.err
    assert "fhe_x" not in done.err
    body = {"vault": "one", "replace": True}
    assert agent.asked == [("POST", f"{BASE}/enrolment-tokens", body)]


def test_tokens_are_listed_and_withdrawn(agent: FakeAgent, cli: Run) -> None:
    """By id."""
    agent.answer([{"id": "t-1", "vault": "one", "created_by": "a/b"}])
    agent.answer(None, 204)
    assert "t-1" in cli("fleet", "enrolment-token", "list").out
    assert cli("fleet", "enrolment-token", "delete", "t-1", "--yes").code == 0
    assert agent.asked[1] == ("DELETE", f"{BASE}/enrolment-tokens/t-1", None)


def test_an_approval_takes_the_fingerprint(agent: FakeAgent, cli: Run) -> None:
    """Without it, it is wrong usage: somebody has to have compared it."""
    assert cli("fleet", "join-request", "approve", "j-1", "one").code == 64
    agent.answer({"id": "j-1"})
    shown = "0000-1111-2222-3333-4444"
    assert cli("fleet", "join-request", "approve", "j-1", "one", "--fingerprint", shown).code == 0
    body = {"vault": "one", "fingerprint": shown, "replace": False}
    assert agent.asked == [("POST", f"{BASE}/joins/j-1/approve", body)]


def test_a_refusal_needs_only_the_request(agent: FakeAgent, cli: Run) -> None:
    """And who waits is listed with what the agent shows."""
    agent.answer([{"id": "j-1", "fingerprint": "f", "label": "rack"}])
    agent.answer({"id": "j-1"})
    assert "rack" in cli("fleet", "join-request", "list").out
    assert cli("fleet", "join-request", "refuse", "j-1").code == 0
    assert agent.asked[1] == ("POST", f"{BASE}/joins/j-1/refuse", None)


def test_vaults_are_listed_with_their_nodes(agent: FakeAgent, cli: Run) -> None:
    """A node that does not serve says how it is; as JSON everything is as it came."""
    nodes = [{"vault": "web-1", "state": "online"}, {"vault": "web-2", "state": "offline"}]
    row = {"vault": "web-1", "id": "6f1c", "state": "partial", "nodes": nodes}
    agent.answer([row])
    agent.answer([row])
    shown = cli("fleet", "vault", "list", "--state", "partial").out
    assert "web-1, web-2 (offline)" in shown
    assert cli("fleet", "vault", "list", "-o", "json").json == [row]
    assert agent.asked[0][1].startswith(f"{BASE}/vaults?state=partial")


def test_vaults_without_a_fresh_certificate_are_listed(agent: FakeAgent, cli: Run) -> None:
    """With the state of their backups; one that never reported any has none."""
    backup = {"state": "late", "newest": "2026-01-02T03:04:05Z", "certified": False}
    row = {"id": "6f1c", "state": "online", "nodes": []}
    agent.answer([{**row, "vault": "a", "backup": backup}, {**row, "vault": "b", "backup": None}])
    shown = cli("fleet", "vault", "list", "--uncertified", "--backup", "late").out
    assert "late" in shown
    assert "2026-01-02" in shown
    query = agent.asked[0][1]
    assert "certified=false" in query
    assert "backup=late" in query
