"""Before a policy is written, somebody looks whether it reaches anybody."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli.fleet_context import PAGE_SIZE

PUSH = ("fleet", "policy", "push", "p")


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


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
        (["--vault", "on"], 404, {"code": "not_found", "message": "no"}, "there is no agent on"),
        (["--vault", "on"], 200, {"life": "retired"}, "there is no agent on"),
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
