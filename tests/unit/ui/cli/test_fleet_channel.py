"""How people are told, from the command line."""

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

BASE = "/api/v1/organizations/acme"
CHANNEL = {"name": "on call", "id": "c-1", "type": "webhook"}


@pytest.fixture(autouse=True)
def _plane(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_CONTROL_ADDR", agent.address)
    monkeypatch.setenv("FREEHOLD_CONTROL_TOKEN", "t")
    monkeypatch.setenv("FREEHOLD_ORG", "acme")


@pytest.mark.parametrize("kind", ["webhook", "slack"])
def test_an_address_is_asked_for(agent: FakeAgent, cli: Run, kind: str) -> None:
    """It is not in the shell's history; a webhook's key is shown."""
    key = "whsec_x" if kind == "webhook" else ""
    agent.answer({"channel": CHANNEL, "key": key}, 201)
    words = [
        "fleet",
        "channel",
        "create",
        kind,
        "on call",
        "--tag",
        "prod",
        "--digest",
        "15m",
        "-o",
        "json",
    ]
    told = cli(*words, stdin="https://hooks.example/x\n").json
    assert told.get("key", "") == key
    body = {
        "name": "on call", "type": kind, "severity": "warning", "tags": ["prod"], "digest": 900,
        "url": "https://hooks.example/x",
    }  # fmt: skip
    assert agent.asked == [("POST", f"{BASE}/channels", body)]


def test_mail_by_the_control_planes_own_server(agent: FakeAgent, cli: Run) -> None:
    """To as many as are named."""
    agent.answer({"channel": CHANNEL, "key": ""}, 201)
    assert cli("fleet", "channel", "create", "email", "us", "a@b.example", "c@d.example").code == 0
    ((method, path, body),) = agent.asked
    assert (method, path) == ("POST", f"{BASE}/channels")
    assert body["to"] == ["a@b.example", "c@d.example"]


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        (["test", "on call"], "POST", "channels/c-1/test"),
        (["retry", "on call"], "POST", "channels/c-1/replay"),
        (["delete", "c-2", "--yes"], "DELETE", "channels/c-2"),
        (["failed", "on call"], "GET", "deliveries?channel=c-1&state=dead"),
    ],
)
def test_a_channel_by_name_or_id(
    agent: FakeAgent, cli: Run, words: list[str], method: str, path: str
) -> None:
    """Its name is looked up; what is no name is taken for an id."""
    agent.answer([CHANNEL])
    agent.answer([] if method == "GET" else {})
    assert cli("fleet", "channel", *words).code == 0
    assert agent.asked == [("GET", f"{BASE}/channels", None), (method, f"{BASE}/{path}", None)]
