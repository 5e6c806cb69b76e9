"""The people of an organization."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

BASE = "/api/v1/organizations/acme"


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


def test_an_invitation_shows_its_link(agent: FakeAgent, cli: Run) -> None:
    """This once, as a viewer unless more is said."""
    agent.answer({"link": "https://p/#invitation=fhi_x", "invitation": {"id": "i-1"}}, 201)
    told = cli("fleet", "invitation", "create", "new@x.example", "-o", "json").json
    assert told == {"link": "https://p/#invitation=fhi_x", "id": "i-1"}
    body = {"email": "new@x.example", "role": "viewer"}
    assert agent.asked == [("POST", f"{BASE}/invitations", body)]


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (["user", "list"], "GET", "users?limit=500", None),
        (["user", "get", "bob"], "GET", "users/bob", None),
        (["invitation", "list"], "GET", "invitations", None),
        (["invitation", "delete", "i-1", "--yes"], "DELETE", "invitations/i-1", None),
        (["user", "update", "bob", "--role", "admin"], "PATCH", "users/bob", {"role": "admin"}),
        (["user", "update", "bob", "--disable"], "PATCH", "users/bob", {"disabled": True}),
        (["user", "update", "bob", "--enable"], "PATCH", "users/bob", {"disabled": False}),
        (["user", "delete", "bob", "--yes"], "DELETE", "users/bob", None),
        (
            ["user", "reset-second-factor", "bob", "--yes"],
            "DELETE",
            "users/bob/second-factor",
            None,
        ),
    ],
)
def test_each_command_is_one_call(
    agent: FakeAgent, cli: Run, words: list[str], method: str, path: str, body: object
) -> None:
    """Of the organization."""
    agent.answer([] if method == "GET" else {})
    assert cli("fleet", *words).code == 0
    assert agent.asked == [(method, f"{BASE}/{path}", body)]
