"""A policy is written, pointed and rolled out by one command."""

from typing import Any

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli import fleet_policy
from ui.cli.fleet_context import PAGE_SIZE

BASE = "/api/v1/organizations/acme"


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")
    monkeypatch.setattr(fleet_policy, "POLL_SECONDS", 0.0)


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
    assert cli("fleet", "policy", "push", "p", stdin="{").code == 64
    assert agent.seen == []


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (["policy", "list"], "GET", "policies", None),
        (["policy", "status", "p"], "GET", "policies/p/status?limit=500", None),
        (["rollout", "list", "p"], "GET", "policies/p/rollouts", None),
        (["rollout", "get", "r-1"], "GET", "rollouts/r-1", None),
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
    done = cli("fleet", "policy", "replay", "p", "--version", "3", "--all", "--wait", "0s")
    assert agent.asked[0][2] == {"hours": 24, "targets": [{"all": True}], "version": 3}
    assert "not every agent" in done.err
    assert cli("fleet", "policy", "replay", "p", stdin="[]").code == 64


PUSH = ("fleet", "policy", "push", "p")


@pytest.mark.parametrize(
    ("status", "answer"),
    [(404, {"code": "not_found", "message": "no"}), (200, {"targets": []})],
)
def test_a_policy_for_nobody_is_not_written(
    agent: FakeAgent, cli: Run, status: int, answer: object
) -> None:
    """Without targets, of its own or given, no roll-out could ever reach anybody."""
    agent.answer(answer, status)
    done = cli(*PUSH, stdin="{}")
    assert done.code == 64
    assert "--all, --tag or --vault" in done.err
    assert [method for method, _, _ in agent.asked] == ["GET"]


@pytest.mark.parametrize(
    ("words", "status", "answer", "told"),
    [
        (["--tag", "prd"], 200, [], "no agent has the tag prd"),
        (["--tag", "prd"], 200, [{"vault": "x", "life": "retired"}], "no agent has the tag prd"),
        (["--vault", "on"], 404, {"code": "not_found", "message": "no"}, "no agent on"),
        (["--vault", "on"], 200, {"life": "retired"}, "no agent on"),
    ],
)
def test_a_policy_is_not_taken_from_everybody_by_a_slip(
    agent: FakeAgent, cli: Run, words: list[str], status: int, answer: object, told: str
) -> None:
    """Targets that no agent fits, in place of those that it has: refused before it is written."""
    agent.answer({"targets": [{"tag": "prod"}]})
    agent.answer(answer, status)
    done = cli(*PUSH, *words, stdin="{}")
    assert done.code == 3
    assert told in done.err
    assert "nothing was written" in done.err
    assert {method for method, _, _ in agent.asked} == {"GET"}


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (["--tag", "west"], {"targets": []}),
        ([], {"targets": [{"tag": "west"}]}),
        (["--tag", "west"], {"targets": [{"tag": "west"}]}),
    ],
)
def test_a_policy_may_wait_for_its_first_agent(
    agent: FakeAgent, cli: Run, words: list[str], before: object
) -> None:
    """It takes nothing from anybody: it is written, and that nobody has it yet is said."""
    agent.answer(before)
    agent.answer([])
    agent.answer({"version": 1}, 201)
    if words:
        agent.answer({})
    agent.answer({"id": "r-1"}, 201)
    done = cli(*PUSH, *words, stdin="{}")
    assert done.code == 0
    assert "no agent has the tag west" in done.err


def test_the_targets_that_a_policy_has_may_be_given_in_any_order(
    agent: FakeAgent, cli: Run
) -> None:
    """And others with them: nothing is taken from anybody, though nobody fits any yet."""
    agent.answer({"targets": [{"tag": "east"}, {"tag": "west"}]})
    for _ in "west", "east", "north":
        agent.answer([])
    agent.answer({"version": 2}, 201)
    agent.answer({})
    agent.answer({"id": "r-1"}, 201)
    words = ["--tag", "west", "--tag", "east", "--tag", "north"]
    done = cli(*PUSH, *words, stdin="{}")
    assert done.code == 0
    assert "no agent has the tag west" in done.err


@pytest.mark.parametrize("words", [["--all"], ["--tag", "east"]])
def test_an_agent_behind_many_that_are_retired_is_found(
    agent: FakeAgent, cli: Run, words: list[str]
) -> None:
    """All pages of the list are looked through, each with the tag."""
    agent.answer({"targets": [{"tag": "west"}]})
    agent.answer([{"vault": f"a{number:03}", "life": "retired"} for number in range(PAGE_SIZE)])
    agent.answer([{"vault": "b", "life": "active"}])
    agent.answer({"version": 2}, 201)
    agent.answer({})
    agent.answer({"id": "r-1"}, 201)
    assert cli(*PUSH, *words, stdin="{}").code == 0
    tag = "tag=east&" if "east" in words else ""
    assert [path.partition("?")[2] for _, path, _ in agent.asked[1:3]] == [
        f"{tag}limit={PAGE_SIZE}",
        f"{tag}after=a{PAGE_SIZE - 1}&limit={PAGE_SIZE}",
    ]


def test_one_target_of_several_that_nobody_fits_is_named(agent: FakeAgent, cli: Run) -> None:
    """The others get it."""
    agent.answer({"targets": []})
    agent.answer([{"vault": "one", "life": "active"}])
    agent.answer([])
    agent.answer({"version": 1}, 201)
    agent.answer({})
    agent.answer({"id": "r-1"}, 201)
    done = cli(*PUSH, "--tag", "east", "--tag", "west", stdin="{}")
    assert done.code == 0
    assert "no agent has the tag west" in done.err
    assert "east" not in done.err
