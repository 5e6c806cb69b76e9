"""Which control plane, which organization."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "session-of-the-test")
    monkeypatch.delenv("FREEHOLD_ORG", raising=False)


def test_the_organization_is_ones_own(agent: FakeAgent, cli: Run) -> None:
    """It is asked for, with the control plane's own token and not the agent's."""
    agent.answer({"organization": "acme", "name": "ann", "role": "owner", "token": "t"})
    agent.answer([])
    assert cli("fleet", "pending").code == 0
    assert [path for _, path, _ in agent.asked] == [
        "/api/v1/whoami",
        "/api/v1/organizations/acme/joins",
    ]
    assert agent.seen[0].headers["authorization"] == "Bearer session-of-the-test"


def test_another_one_can_be_named(
    agent: FakeAgent, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment; nothing else is asked then."""
    monkeypatch.setenv("FREEHOLD_ORG", "other")
    agent.answer([])
    assert cli("fleet", "pending").code == 0
    assert agent.asked == [("GET", "/api/v1/organizations/other/joins", None)]


def test_the_platforms_people_have_to_name_one(agent: FakeAgent, cli: Run) -> None:
    """It has no agents of its own."""
    agent.answer({"organization": "platform", "name": "admin", "role": "owner", "token": "t"})
    done = cli("fleet", "pending")
    assert done.code == 64
    assert "FREEHOLD_ORG" in done.err


def test_a_refusal_names_the_control_planes_own_way_in(agent: FakeAgent, cli: Run) -> None:
    """Not the agent's login."""
    agent.answer({"type": "authentication", "code": "x", "message": "no", "request_id": "r"}, 401)
    done = cli("fleet", "pending")
    assert done.code == 4
    assert "freehold fleet login" in done.err
    assert "FREEHOLD_CONTROL_TOKEN" in done.err
