"""The agents of an organization."""

from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

SAID = {"health": "serving", "sync": "queueing"}
ONE = {
    "vault": "one",
    "life": "active",
    "state": "online",
    "presence": "online",
    "last_seen": "T",
    "tags": ["eu"],
}
BUNDLE = {
    "vault": "one", "bundle_version": 2, "policies": {"b": 1, "a": 3}, "outcome": "failed",
    "reason": "above_ceiling", "applied_version": 1, "changed_at": "T",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


def test_list_says_who_is_live_and_whose_policy_is_applied(agent: FakeAgent, cli: Run) -> None:
    """And why not."""
    agent.answer([BUNDLE])
    agent.answer([ONE, ONE | {"vault": "two", "presence": "late"}])
    lines = cli("fleet", "agent", "list", "--tag", "eu").out.splitlines()
    assert lines[1].split()[:3] == ["one", "online", "T"]
    assert "failed: above_ceiling (a v3, b v1)" in lines[1]
    assert lines[2].split()[3] == "none"
    assert agent.asked[1][1] == "/api/v1/organizations/acme/agents?tag=eu&limit=500"


def test_list_has_every_page(agent: FakeAgent, cli: Run) -> None:
    """Each begins behind the last name of the one before."""
    agent.answer([])
    agent.answer([ONE | {"vault": f"v{number:03}"} for number in range(500)])
    agent.answer([ONE])
    assert len(cli("fleet", "agent", "list").out.splitlines()) == 502
    assert "after=v499" in agent.asked[2][1]


def test_show_has_both_sides(agent: FakeAgent, cli: Run) -> None:
    """The agent, and its policy."""
    agent.answer(ONE)
    agent.answer([])
    assert cli("fleet", "agent", "get", "one", "-o", "json").json == ONE | {"policy": "none"}


@pytest.mark.parametrize(("presence", "times"), [("online", 1), ("late", 1), ("offline", 0)])
def test_what_a_silent_agent_said_is_not_shown_as_if_it_were_so(
    agent: FakeAgent, cli: Run, presence: str, times: int
) -> None:
    """Blank for a person; a program gets all, and judges by `last_seen`."""
    row = ONE | SAID | {"presence": presence}
    for _ in range(2):
        agent.answer([])
        agent.answer([row])
    assert cli("fleet", "agent", "list").out.count("queueing") == times
    assert cli("fleet", "agent", "list", "--output", "json").json[0]["health"] == "serving"
    for _ in range(2):
        agent.answer(row)
        agent.answer([])
    assert cli("fleet", "agent", "get", "one").out.count("queueing") == times
    assert cli("fleet", "agent", "get", "one", "--output", "json").json["sync"] == "queueing"
    for words in (("update", "one", "--tag", "eu"), ("lock", "one"), ("retire", "one", "--yes")):
        agent.answer(row)
        assert cli("fleet", "agent", *words).out.count("queueing") == times


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (
            ["agent", "update", "one", "--tag", "eu", "--tag", "prod"],
            "PUT", "agents/one/tags", {"tags": ["eu", "prod"]},
        ),
        (["agent", "update", "one", "--tag", ""], "PUT", "agents/one/tags", {"tags": []}),
        (
            ["agent", "lock", "one", "--reason", "lost"],
            "POST", "agents/one/lock", {"reason": "lost"},
        ),
        (
            ["agent", "accept-log", "one", "--reason", "restored"],
            "POST",
            "agents/one/checkpoint/accept",
            {"reason": "restored"},
        ),
        (["agent", "retire", "one", "--yes"], "POST", "agents/one/retire", {"reason": ""}),
        (
            ["command", "send", "one", "send_metrics"],
            "POST", "agents/one/commands", {"command": "send_metrics"},
        ),
        (["command", "list", "one"], "GET", "agents/one/commands", None),
        (["alert", "list"], "GET", "alerts?state=open", None),
        (["alert", "list", "--state", "all"], "GET", "alerts", None),
        (["alert", "list", "--state", "firing"], "GET", "alerts?state=firing", None),
        (["alert", "ack", "a-1"], "POST", "alerts/a-1/acknowledge", None),
    ],
)  # fmt: skip
def test_each_command_is_one_call(
    agent: FakeAgent, cli: Run, words: list[str], method: str, path: str, body: object
) -> None:
    """Of the organization."""
    agent.answer({"presence": "online"})
    assert cli("fleet", *words).code == 0
    assert agent.asked == [(method, f"/api/v1/organizations/acme/{path}", body)]


def test_login_keeps_the_session_apart_from_the_agents(
    agent: FakeAgent, cli: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password comes from stdin; the session goes to a file of its own, and logout ends it."""
    monkeypatch.delenv("FREEHOLD_CONTROL_TOKEN")
    agent.answer({"state": "open", "secret": "s-1", "token": {"role": "admin"}})
    done = cli("fleet", "login", "acme", "ann", stdin="pass word\n")
    assert done.code == 0
    assert agent.asked[0][2] == {"organization": "acme", "name": "ann", "password": "pass word"}
    assert "s-1" not in done.out + done.err
    kept = home / ".freehold-control-token"
    assert (kept.read_text(), kept.stat().st_mode & 0o077) == ("s-1", 0)
    agent.answer(None, 204)
    assert cli("fleet", "logout").code == 0
    assert agent.seen[1].headers["authorization"] == "Bearer s-1"
    assert not kept.exists()


def test_create_org_is_for_super_admins(agent: FakeAgent, cli: Run) -> None:
    """The only call that is of no organization."""
    agent.answer({"id": "acme"}, 201)
    assert cli("fleet", "organization", "create", "acme").code == 0
    assert agent.asked == [("POST", "/api/v1/organizations", {"id": "acme"})]


def test_login_takes_a_code(agent: FakeAgent, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second line of stdin, where it is asked for; an enrolment is for a browser."""
    monkeypatch.delenv("FREEHOLD_CONTROL_TOKEN")
    agent.answer({"state": "second-factor", "secret": "", "challenge": "c-1", "token": None})
    agent.answer({"state": "open", "secret": "s-1", "token": {"role": "admin"}})
    assert cli("fleet", "login", "acme", "ann", stdin="pass word\n123456\n").code == 0
    assert agent.asked[1] == (
        "POST", "/api/v1/second-factor/answer", {"challenge": "c-1", "code": "123456"},
    )  # fmt: skip
    agent.answer({"state": "enrolment", "secret": "", "challenge": "c-1", "token": None})
    done = cli("fleet", "login", "acme", "ann", stdin="pass word\n")
    assert done.code == 4
    assert "browser" in done.err


def test_login_says_that_a_variable_wins(agent: FakeAgent, cli: Run) -> None:
    """Who keeps a session that nothing will use is told."""
    agent.answer({"state": "open", "secret": "s-1", "token": {"role": "admin"}})
    done = cli("fleet", "login", "acme", "ann", stdin="pass word\n")
    assert done.code == 0
    assert "FREEHOLD_CONTROL_TOKEN is set and wins over it" in done.err


def test_logout_ends_the_session_that_was_kept(agent: FakeAgent, cli: Run, home: Path) -> None:
    """And not the one of the variable, which another shell or program lives on; told as it is."""
    kept = home / ".freehold-control-token"
    done = cli("fleet", "logout")
    assert (done.code, agent.seen) == (4, [])
    assert (
        "has stored no session here; the session in FREEHOLD_CONTROL_TOKEN stays valid" in done.err
    )
    kept.write_text("s-1")
    kept.chmod(0o600)
    agent.answer(None, 204)
    done = cli("fleet", "logout")
    assert (done.code, kept.exists()) == (0, False)
    assert [seen.headers["authorization"] for seen in agent.seen] == ["Bearer s-1"]
    assert "FREEHOLD_CONTROL_TOKEN is still set" in done.err


def test_a_login_that_is_refused_speaks_of_what_was_typed(agent: FakeAgent, cli: Run) -> None:
    """Of no token, which nobody has given."""
    refused = {"code": "unauthenticated", "message": "these do not count", "request_id": "r-1"}
    agent.answer(refused, 401)
    done = cli("fleet", "login", "acme", "ann", stdin="pass word\n")
    assert (done.code, done.err) == (
        4, "freehold: organization, name or password is wrong (request r-1)\n",
    )  # fmt: skip
    assert "authorization" not in agent.seen[0].headers
    agent.answer({"state": "second-factor", "secret": "", "challenge": "c-1", "token": None})
    agent.answer(refused, 401)
    done = cli("fleet", "login", "acme", "ann", stdin="pass word\n123456\n")
    assert (done.code, "the code is wrong" in done.err, "token" in done.err) == (4, True, False)
