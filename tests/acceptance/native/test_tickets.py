"""Denial tickets: an administrator sees what was refused; whoever carries one sees nothing."""

from collections.abc import Iterator

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.native.test_story import API, ok

SECRET = "secret/pay/db"


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With a secret that most may not read."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        ok(started, "POST", "secrets", {"name": SECRET, "value": 1})
        yield started


def test_an_administrator_looks_into_a_refusal(agent: Agent) -> None:
    """From either dialect: who, what, when, and what would allow it; then it is allowed."""
    made = ok(agent, "POST", "tokens", {"policies": ["pay-readers"], "display_name": "job"})
    refused = agent.call("GET", f"{API}/secrets/{SECRET}", token=made["token"])
    assert refused.status == 403
    ticket = refused.json["details"]["ticket"]
    asked = ok(agent, "POST", "policies-explain", {"ticket": ticket})
    assert (asked["capability"], asked["path"]) == ("read", SECRET)
    assert asked["request_id"] == refused.request_id
    assert asked["credential"] == made["accessor"]
    assert asked["decision"]["allowed"] is False
    assert asked["decision"]["unknown"] == ["pay-readers"]
    rule = asked["rule"]
    assert (rule["effect"], rule["paths"], rule["capabilities"]) == ("allow", [SECRET], ["read"])
    ok(agent, "PUT", "policies/pay-readers", {"rules": [asked["rule"]]})
    assert ok(agent, "POST", "policies-explain", {"ticket": ticket})["decision"]["allowed"] is True
    assert ok(agent, "GET", f"secrets/{SECRET}", token=made["token"])["value"] == 1

    other = agent.call("POST", "/v1/secret/data/pay/db", {"data": {}}, token=made["token"])
    assert (other.status, other.json) == (
        403,
        {"errors": ["1 error occurred:\n\t* permission denied\n\n"]},
    )
    asked = ok(agent, "POST", "policies-explain", {"ticket": other.headers["x-freehold-ticket"]})
    assert (asked["capability"], asked["path"]) == ("update", SECRET)


def test_a_ticket_is_of_no_use_to_its_holder(agent: Agent) -> None:
    """It says nothing in the clear, and is worth nothing when it is changed."""
    made = ok(agent, "POST", "tokens", {"policies": ["default"]})
    there, gone = (
        agent.call("GET", f"{API}/secrets/{name}", token=made["token"]).json["details"]["ticket"]
        for name in (SECRET, "secret/pay/no")
    )
    assert len(there) == len(gone)
    assert "pay" not in there
    again = agent.call("POST", f"{API}/policies-explain", {"ticket": there}, token=made["token"])
    assert again.status == 403
    middle = len(there) // 2
    flipped = there[:middle] + ("A" if there[middle] != "A" else "B") + there[middle + 1 :]
    for wrong in (flipped, there[:-8], "fdt_", "", "fdt_" + "é", made["token"], "A" * 9_000):
        answered = agent.call("POST", f"{API}/policies-explain", {"ticket": wrong})
        assert (answered.status, answered.json["code"]) == (400, "ticket_invalid"), wrong
