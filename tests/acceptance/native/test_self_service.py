"""What every token may do does not fill the disk: it has a pace, for a token and all it made."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.agent import Agent, Answer, own_folder, running, served_agent
from tests.acceptance.native.test_story import API, ok

BURST: Final = 3
LOOKUP: Final = ("GET", "/v1/auth/token/lookup-self")
OF_SELF: Final = [
    LOOKUP,
    ("POST", "/v1/auth/token/lookup-self"),
    ("GET", f"{API}/tokens/self"),
    ("POST", "/v1/auth/token/renew-self"),
    ("GET", f"{API}/policies-effective"),
    ("GET", f"{API}/secrets"),
    ("GET", "/v1/sys/internal/ui/mounts"),
]
MAKER: Final = {
    "rules": [
        {"effect": "allow", "paths": ["auth/token/create"], "capabilities": ["update"]},
        {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read", "create", "list"]},
    ]
}


@pytest.fixture(scope="module")
def agent(workers: int) -> Iterator[Agent]:
    """Open, with a pace that nobody waits out."""
    limits = {
        "self_service": {"per_second": 0.001, "burst_size": BURST},
        "refusals": {"per_second": 0.001, "burst_size": 2 * workers},  # each worker has its part
    }
    with own_folder() as folder:
        server = {
            "listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers, "web": True,
        }  # fmt: skip
        with running(served_agent(folder, {"server": server, "limits": limits})) as started:
            shares = {"secret_shares": 1, "secret_threshold": 1}
            made = started.call("POST", "/v1/sys/init", shares).json
            started.token = made["root_token"]
            started.call("POST", "/v1/sys/unseal", {"key": made["keys"][0]})
            ok(started, "POST", "system/mounts/secret", {"version": 2})
            ok(started, "PUT", "policies/maker", MAKER)
            yield started


def made_token(agent: Agent, *policies: str, by: str | None = None) -> str:
    """A new token, of the root token unless told otherwise."""
    body = {"policies": [*policies]}
    text: str = ok(agent, "POST", "tokens", body, token=by or agent.token)["token"]
    return text


@pytest.mark.parametrize(("method", "path"), OF_SELF)
def test_each_has_a_pace(agent: Agent, method: str, path: str) -> None:
    """429 beyond the burst, with `Retry-After`; of these few have a record."""
    token = made_token(agent, "default")
    answers = [agent.call(method, path, token=token) for _ in range(5 * BURST)]
    assert [answer.status for answer in answers] == [200] * BURST + [429] * 4 * BURST
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers[BURST:])
    recorded = [len(outcomes(agent, answer)) for answer in answers]
    assert recorded[:BURST] == [1] * BURST
    assert sum(recorded[BURST:]) <= 4  # of either worker as many as `refusals` lets through


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"{API}/sessions/current"),
        ("GET", "/v1/sys/internal/ui/mounts/secret/x"),
        ("GET", "/v1/nothing/x"),
        ("GET", f"{API}/secrets?limit=0"),
    ],
)
def test_what_everybody_fails_at_has_a_pace(agent: Agent, method: str, path: str) -> None:
    """Nobody has allowed it: it is refused each time, and few of the refusals have a record."""
    token = made_token(agent, "default")
    size = ok(agent, "GET", "audit/status")["size"]
    for _ in range(10 * BURST):
        assert 400 <= agent.call(method, path, token=token).status < 500
    own = 1  # of the first look
    assert ok(agent, "GET", "audit/status")["size"] - size - own <= 2 * 4  # of either worker


def outcomes(agent: Agent, answer: Answer) -> list[str]:
    """The outcomes on record of a request."""
    found = ok(agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    return [event["result"] for event in found if event["phase"] == "outcome"]


def test_children_do_not_multiply_it(agent: Agent) -> None:
    """Whoever may make tokens has the one pace for all of them, and theirs."""
    parent = made_token(agent, "default", "maker")
    child = made_token(agent, "default", "maker", by=parent)
    line = [parent, child, made_token(agent, "default", by=child)]
    statuses = [agent.call(*LOOKUP, token=token).status for token in line * 2]
    assert statuses == [200] * BURST + [429] * BURST
    assert agent.call(*LOOKUP, token=made_token(agent, "default")).status == 200


def test_what_is_not_everybodys_has_none(agent: Agent) -> None:
    """Secrets are read and listed at any pace, and a spent one can still be given back."""
    token = made_token(agent, "default", "maker")
    ok(agent, "POST", "secrets", {"name": "secret/a", "value": 1}, token=token)
    for _ in range(2 * BURST):
        assert agent.call(*LOOKUP, token=token).status in {200, 429}
    for _ in range(2 * BURST):
        ok(agent, "GET", "secrets/secret/a", token=token)
        assert ok(agent, "GET", "secrets", token=token)["secrets"]
        assert agent.call("GET", "/v1/sys/internal/ui/mounts", token=token).status == 200
    assert agent.call("POST", "/v1/auth/token/revoke-self", token=token).status == 204


def test_nothing_that_every_token_may_do_is_without(agent: Agent) -> None:
    """Of all that the API has, as its own description says."""
    described = json.loads(agent.call("GET", f"{API}/openapi.json").body)["paths"]
    for path, methods in described.items():
        if path.endswith(("/openapi.json", "/system/break-glass/open")):
            continue  # anybody may, and there is no record
        at = API + path.removeprefix(API).replace("{path}", "secret/x")
        for part in ("name", "id", "accessor", "username", "user", "folder"):
            at = at.replace(f"{{{part}}}", "x")
        for method in set(methods) & {"get", "post", "put", "patch", "delete"}:
            token = made_token(agent, "default")
            headers = {"Content-Type": "application/merge-patch+json"} if method == "patch" else {}
            answers = [
                agent.call(
                    method.upper(),
                    at,
                    None if method in {"get", "delete"} else {},
                    token=token,
                    headers=headers,
                )
                for _ in range(BURST + 1)
            ]
            assert answers[-1].status >= 400, (method, at)
