"""What is used, at the terminal."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

API = "/api/v1/organizations/acme/"
ROW = {"vault": "v1", "subject": "secret.read", "count": 7, "failed": 1}


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


def test_questions_are_asked_as_they_are_meant(agent: FakeAgent, cli: Run) -> None:
    """Of whom, of what, how many."""
    agent.answer({"count": 7})
    assert cli("fleet", "usage", "get", "--vault", "v1", "-o", "json").json == {"count": 7}
    agent.answer({"rows": [ROW], "next": ""})
    assert "secret.read" in cli("fleet", "usage", "top", "operation", "--limit", "5").out
    agent.answer({"rows": [], "next": ""})
    cli("fleet", "usage", "secret", "list", "rotation", "--threshold", "30d")
    agent.answer({"rows": [], "next": ""})
    cli("fleet", "usage", "key", "list", "--due")
    assert [path for _, path, *_ in agent.asked] == [
        f"{API}usage?vault=v1",
        f"{API}usage/top?of=operation&limit=5",
        f"{API}usage/secrets?which=rotation&days=30&limit=100",
        f"{API}usage/keys?due=true&limit=100",
    ]


def test_a_forecast_is_one_line(agent: FakeAgent, cli: Run) -> None:
    """Now, and the band at the end; without a band the reason."""
    base = {"name": "secrets", "unit": "", "vault": "", "per_day": 2.0, "full_at": None}
    history = [{"at": "T", "value": 4.0}, {"at": "U", "value": 6.0}]
    band = [{"at": "V", "expected": 9.0, "low": 8.0, "high": 10.0}]
    agent.answer([
        base | {"history": history, "band": band, "reason": ""},
        base | {"name": "store_bytes", "history": [], "band": [], "reason": "too little"},
    ])  # fmt: skip
    [one, two] = cli("fleet", "capacity", "get", "--ahead", "7d", "-o", "json").json
    assert (one["now"], one["expected"], one["at"]) == (6.0, 9.0, "V")
    assert (two["now"], two["reason"]) == (None, "too little")
    assert agent.asked[0][1] == f"{API}capacity?days=7"
