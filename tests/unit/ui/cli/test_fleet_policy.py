"""A policy is written, pointed and rolled out by one command."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

BASE = "/api/v1/organizations/acme"


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


def test_push_is_one_request(agent: FakeAgent, cli: Run) -> None:
    """Document, targets and plan together, once somebody is there to get it."""
    agent.answer({"targets": [{"all": True}]})
    agent.answer([{"vault": "two", "life": "active"}])
    agent.answer({"vault": "one", "life": "active"})
    agent.answer({"id": "r-1", "state": "running"}, 201)
    words = ["fleet", "policy", "push", "p", "--tag", "eu", "--vault", "one", "--canary", "2"]
    done = cli(*words, "--percent", "25", "--max-failures", "1", "--comment", "why", stdin="{}")
    assert done.code == 0
    plan = {"canary": 2, "percentages": [25], "automatic": True, "max_failures": 1}
    targets = [{"tag": "eu"}, {"vault": "one"}]
    body = {"document": {}, "plan": plan, "comment": "why", "targets": targets}
    assert agent.asked[3:] == [("POST", f"{BASE}/policies/p/rollouts", body)]


def test_push_without_targets_leaves_them(agent: FakeAgent, cli: Run) -> None:
    """A new version goes to whom the policy is for."""
    agent.answer({"targets": [{"all": True}]})
    agent.answer([{"vault": "one", "life": "active"}])
    agent.answer({"id": "r-1"}, 201)
    assert cli("fleet", "policy", "push", "p", stdin="{}").code == 0
    assert "targets" not in agent.asked[-1][2]


def test_a_roll_out_by_hand_waits_at_each_step(agent: FakeAgent, cli: Run) -> None:
    """The plan says so; nothing else is different."""
    agent.answer({"targets": [{"all": True}]})
    agent.answer([{"vault": "one", "life": "active"}])
    agent.answer({"id": "r-1"}, 201)
    assert cli("fleet", "policy", "push", "p", "--canary", "1", "--by-hand", stdin="{}").code == 0
    assert agent.asked[-1][2]["plan"]["automatic"] is False


@pytest.mark.parametrize(
    "words",
    [
        ["--percent", "250"], ["--percent", "0"], ["--canary", "100001"],
        ["--max-failures", "100001"], ["--percent", "5"] * 21,
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_before_anything_is_written(
    agent: FakeAgent, cli: Run, words: list[str]
) -> None:
    """Nothing is asked."""
    done = cli("fleet", "policy", "push", "p", "--all", *words, stdin="{}")
    assert (done.code, agent.seen) == (64, [])
    assert words[0] in done.err


def test_a_refused_push_ends_with_the_reason(agent: FakeAgent, cli: Run) -> None:
    """Under its exit code; nothing else was asked for."""
    agent.answer({"targets": [{"all": True}]})
    agent.answer([{"vault": "one", "life": "active"}])
    agent.answer({"code": "rollout_open", "message": "one is open"}, 409)
    done = cli("fleet", "policy", "push", "p", stdin="{}")
    assert done.code == 5
    assert "one is open" in done.err
    assert [method for method, _, _ in agent.asked] == ["GET", "GET", "POST"]


def test_what_is_no_json_is_not_sent(agent: FakeAgent, cli: Run) -> None:
    """Nothing is asked."""
    assert cli("fleet", "policy", "push", "p", stdin="{").code == 1
    assert agent.seen == []


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (["policy", "list"], "GET", "policies", None),
        (["policy", "status", "p"], "GET", "policies/p/status?limit=500", None),
        (["rollout", "list", "p"], "GET", "policies/p/rollouts", None),
        (["rollout", "show", "r-1"], "GET", "rollouts/r-1", None),
        (["rollout", "advance", "r-1", "--step", "0"], "POST", "rollouts/r-1/advance", {"step": 0}),
        (["rollout", "halt", "r-1", "--reason", "x"], "POST", "rollouts/r-1/halt", {"reason": "x"}),
        (["rollout", "rollback", "r-1"], "POST", "rollouts/r-1/rollback", {"reason": ""}),
    ],
)
def test_each_command_is_one_call(
    agent: FakeAgent, cli: Run, words: list[str], method: str, path: str, body: object
) -> None:
    """Of the organization."""
    agent.answer([])
    assert cli("fleet", *words).code == 0
    assert agent.asked == [(method, f"{BASE}/{path}", body)]


def test_an_advance_is_from_where_the_roll_out_was_found(agent: FakeAgent, cli: Run) -> None:
    """Whoever was quicker is not passed over: the control plane refuses another step."""
    agent.answer({"id": "r-1", "step": 2})
    agent.answer({"id": "r-1", "step": 3})
    assert cli("fleet", "rollout", "advance", "r-1").code == 0
    assert agent.asked == [
        ("GET", f"{BASE}/rollouts/r-1", None),
        ("POST", f"{BASE}/rollouts/r-1/advance", {"step": 2}),
    ]
