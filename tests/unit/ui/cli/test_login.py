from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

STATE = {"initialized": True, "sealed": False, "version": "2.7.2"}
LIVE = {"status": "live", "version": "0.1.0"}


def test_status_needs_no_token(agent: FakeAgent, cli: Run) -> None:
    """0 when open. The version is the agent's own, beside the one whose API it speaks."""
    agent.answer(STATE)
    agent.answer(LIVE)
    told = cli("status", "-o", "json").json
    assert told == STATE | {"version": "0.1.0", "speaks": "OpenBao 2.7.2"}


def test_status_of_a_sealed_vault_is_2(agent: FakeAgent, cli: Run) -> None:
    """As `bao status` has it; the state is printed all the same."""
    agent.answer(STATE | {"sealed": True})
    agent.answer(LIVE)
    done = cli("status")
    assert (done.code, "sealed       true" in done.out) == (2, True)


def test_login_tries_the_token_before_it_keeps_it(agent: FakeAgent, cli: Run, home: Path) -> None:
    """It is that of stdin that is tried, not that of the environment."""
    agent.answer({"root": False, "policies": [{"name": "app"}], "unknown": []})
    done = cli("login", stdin="typed\n")
    assert agent.seen[0].headers["authorization"] == "Bearer typed"
    assert done.code == 0
    assert "typed" not in done.out + done.err
    assert (home / ".freehold-token").read_text() == "typed"
    assert '["app"]' in done.out


def test_login_heals_a_token_file_that_others_can_read(
    agent: FakeAgent, cli: Run, home: Path
) -> None:
    """The old file is not even looked at."""
    (home / ".freehold-token").write_text("old")
    (home / ".freehold-token").chmod(0o644)
    agent.answer({"root": True, "policies": [], "unknown": []})
    assert cli("login", stdin="typed\n").code == 0


def test_login_says_that_a_variable_wins(
    agent: FakeAgent, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where there is one; and a token that is refused is the typed one, not the variable's."""
    agent.answer({"root": True, "policies": [], "unknown": []})
    assert "FREEHOLD_TOKEN is set and wins over it" in cli("login", stdin="typed\n").err
    agent.answer({"message": "permission denied"}, 401)
    assert "FREEHOLD_TOKEN is" not in cli("login", stdin="typed\n").err
    monkeypatch.delenv("FREEHOLD_TOKEN")
    agent.answer({"root": True, "policies": [], "unknown": []})
    assert "wins" not in cli("login", stdin="typed\n").err


def test_a_refused_login_says_nothing_of_tokens(agent: FakeAgent, cli: Run) -> None:
    """A wrong password or code was refused: another token would not help."""
    agent.answer({"message": "invalid username or password", "code": "login_failed"}, 401)
    done = cli("login", "--method", "userpass", "--username", "ann", stdin="wrong\n")
    assert (done.code, done.err) == (4, "freehold: invalid username or password\n")


def test_a_login_where_nothing_is_mounted_says_so(agent: FakeAgent, cli: Run) -> None:
    """The agent's own answer is OpenBao's, of a route."""
    agent.answer({"message": "no handler for this route", "code": "unknown_route"}, 404)
    done = cli("login", "--method", "ldap", "--username", "ann", stdin="x\n")
    assert done.code == 3
    assert "no login of this method at auth/ldap/: give the mount with --path" in done.err


def test_a_certificate_logs_in_by_the_connection(agent: FakeAgent, cli: Run, home: Path) -> None:
    """Nothing is asked for; the role is optional."""
    for role in ((), ("--role", "web")):
        agent.answer({"token": "s.made"})
        agent.answer({"root": False, "policies": [], "unknown": []})
        assert cli("login", "--method", "cert", *role, stdin="").code == 0
        assert (home / ".freehold-token").read_text() == "s.made"
    sent = [asked for asked in agent.asked if asked[0] == "POST"]
    assert sent == [
        ("POST", "/api/v1/auth/login/cert/login", {}),
        ("POST", "/api/v1/auth/login/cert/login", {"name": "web"}),
    ]
