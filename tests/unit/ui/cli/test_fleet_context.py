"""Which control plane, which organization."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli import fleet_context


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "session-of-the-test")
    monkeypatch.delenv("FREEHOLD_ORG", raising=False)


def test_the_organization_is_ones_own(agent: FakeAgent, cli: Run) -> None:
    """It is asked for, with the control plane's own token and not the agent's."""
    agent.answer({"organization": "acme", "name": "ann", "role": "owner", "token": "t"})
    agent.answer([])
    assert cli("fleet", "join-request", "list").code == 0
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
    assert cli("fleet", "join-request", "list").code == 0
    assert agent.asked == [("GET", "/api/v1/organizations/other/joins", None)]


def test_the_platforms_people_have_to_name_one(agent: FakeAgent, cli: Run) -> None:
    """It has no agents of its own."""
    agent.answer({"organization": "platform", "name": "admin", "role": "owner", "token": "t"})
    done = cli("fleet", "join-request", "list")
    assert done.code == 64
    assert "FREEHOLD_ORG" in done.err


def test_a_refusal_names_the_control_planes_own_way_in(agent: FakeAgent, cli: Run) -> None:
    """Not the agent's login."""
    agent.answer({"type": "authentication", "code": "x", "message": "no", "request_id": "r"}, 401)
    done = cli("fleet", "join-request", "list")
    assert done.code == 4
    assert "freehold fleet login" in done.err
    assert "FREEHOLD_CONTROL_TOKEN" in done.err


@pytest.mark.parametrize(("active", "shown"), [(True, "code"), (False, "password")])
def test_who_is_at_the_terminal_shows_it_again(
    agent: FakeAgent, cli: Run, monkeypatch: pytest.MonkeyPatch, *, active: bool, shown: str
) -> None:
    """A code, or the password of who has no second factor; then what was asked is asked again."""
    monkeypatch.setenv("FREEHOLD_ORG", "acme")
    monkeypatch.setattr(fleet_context, "_at_terminal", lambda: True)
    agent.answer({"code": "step_up", "message": "show", "request_id": "r"}, 403)
    agent.answer({"second_factor": active, "password": True})
    agent.answer(None, 204)
    agent.answer({"vault": "v1", "presence": "offline"})
    assert cli("fleet", "agent", "lock", "v1", stdin="123456\n").code == 0
    lock = ("POST", "/api/v1/organizations/acme/agents/v1/lock", {"reason": ""})
    assert agent.asked == [
        lock,
        ("GET", "/api/v1/sessions/current", None),
        ("POST", "/api/v1/sessions/current/confirm", {shown: "123456"}),
        lock,
    ]


def test_who_has_nothing_to_show_signs_in_anew(
    agent: FakeAgent, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom the identity provider alone knows is not asked for a password that is none."""
    monkeypatch.setenv("FREEHOLD_ORG", "acme")
    monkeypatch.setattr(fleet_context, "_at_terminal", lambda: True)
    agent.answer({"code": "step_up", "message": "show", "request_id": "r"}, 403)
    agent.answer({"second_factor": False, "password": False})
    done = cli("fleet", "agent", "lock", "v1")
    assert (done.code, "freehold fleet login" in done.err) == (4, True)


def test_a_script_is_not_asked(agent: FakeAgent, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is piped in is for the command: it is told to sign in again."""
    monkeypatch.setenv("FREEHOLD_ORG", "acme")
    agent.answer({"code": "step_up", "message": "show", "request_id": "r"}, 403)
    done = cli("fleet", "agent", "lock", "v1", stdin="123456\n")
    assert done.code == 4
    assert "freehold fleet login" in done.err
    assert len(agent.asked) == 1
