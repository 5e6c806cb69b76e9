"""`freehold policy replay`: what is asked for, and what is shown of it."""

from pathlib import Path
from typing import Any

from tests.unit.ui.cli.conftest import FakeAgent, Run

FOUND: dict[str, Any] = {
    "since": "2027-01-14T08:00:00Z",
    "until": "2027-01-15T08:00:00Z",
    "reached": "2027-01-14T08:00:00Z",
    "stopped": "",
    "records": 9,
    "accesses": 4,
    "unchanged": 3,
    "denied": 1,
    "allowed": 0,
    "undecided": {},
    "drifted": 0,
    "changes": [
        {
            "allowed": False,
            "count": 1,
            "actor_name": "ann",
            "operation": "secret.read",
            "path": "secret/app/db",
            "rule": "",
            "rule_now": "app/rules[0]",
            "last": "2027-01-15T07:00:00Z",
        }
    ],
    "others": 0,
}


def test_a_candidate_is_sent_and_its_changes_are_shown(
    agent: FakeAgent, cli: Run, tmp_path: Path
) -> None:
    """A policy to write, policies to delete and a bundle; the document gets the name."""
    bundle = tmp_path / "bundle.json"
    bundle.write_text('[{"name": "central"}]')
    agent.answer(FOUND)
    done = cli(
        "policy", "replay", "app", "--delete", "old", "--bundle", str(bundle), "--hours", "48",
        stdin='{"rules": []}',
    )  # fmt: skip
    assert done.code == 0
    (seen,) = agent.seen
    assert (seen.method, seen.path) == ("POST", "/api/v1/policies-replay")
    assert seen.body["write"] == [{"rules": [], "name": "app"}]
    assert (seen.body["delete"], seen.body["hours"]) == (["old"], 48)
    assert seen.body["bundle"] == [{"name": "central"}]
    assert "secret/app/db" in done.out
    assert "denied" in done.out


def test_without_a_candidate_the_policies_in_force_are_asked(agent: FakeAgent, cli: Run) -> None:
    """That shows what has drifted; JSON is the whole answer."""
    agent.answer(FOUND)
    assert cli("policy", "replay", "-o", "json").json == FOUND
    assert agent.seen[0].body == {"hours": 24, "limit": 100}


def test_what_was_not_looked_at_is_said(agent: FakeAgent, cli: Run) -> None:
    """On stderr, beside the result."""
    agent.answer(FOUND | {"stopped": "records"})
    assert "not everything" in cli("policy", "replay").err


def test_what_makes_no_sense_is_not_sent(agent: FakeAgent, cli: Run, tmp_path: Path) -> None:
    """A document without a name, one that is no object, a bundle that is no list."""
    file = tmp_path / "p.json"
    file.write_text("[]")
    assert cli("policy", "replay", "--file", str(file)).code != 0
    assert cli("policy", "replay", "p", "--file", str(file)).code == 1
    file.write_text("{}")
    assert cli("policy", "replay", "--bundle", str(file)).code == 1
    assert agent.seen == []
