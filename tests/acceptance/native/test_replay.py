"""The policy time machine on a real agent: what it predicts is what happens afterwards."""

import time
from collections import Counter
from typing import Any

from tests.acceptance.agent import Agent
from tests.acceptance.native.test_story import API, ok

PEOPLE = ("ann", "bob")
PATHS = ("secret/app/db", "secret/app/web", "secret/pay/roll", "secret/own/x")
FORBIDDEN = 403


def rule(*paths: str, **more: Any) -> dict[str, Any]:
    """All that the traffic does, on these paths."""
    asked = {"effect": "allow", "capabilities": ["create", "read", "update", "list", "delete"]}
    return {**asked, "paths": list(paths), **more}


def traffic(keys: dict[str, str], agent: Agent) -> Counter[tuple[str, str, bool]]:
    """What everybody does: (who, path, whether it was let in) and how often."""
    seen: Counter[tuple[str, str, bool]] = Counter()
    for who, key in keys.items():
        with agent.client(key) as client:
            for path in PATHS:
                for method, body in (("PUT", {"value": 1}), ("GET", None), ("GET", None)):
                    answer = client.call(method, f"{API}/secrets/{path}", body)
                    assert answer.status in {200, 201, 403, 404}, answer.body
                    seen[who, path, answer.status != FORBIDDEN] += 1
    return seen


def replayed(agent: Agent, **candidate: Any) -> Any:
    """Of what the two have done since the test began."""
    return ok(agent, "POST", "policies-replay", {"limit": 500, **candidate})


def narrower() -> dict[str, Any]:
    """The policy `app`, with conditions that hold and others that do not."""
    hour = time.gmtime().tm_hour
    elsewhen = {
        "type": "time_window",
        "from": f"{(hour + 12) % 24:02}:00",
        "to": f"{(hour + 13) % 24:02}:00",
    }
    here = {"type": "source_network", "networks": ["127.0.0.0/8"]}
    by_token = {"type": "auth_method", "methods": ["token"]}
    return {
        "name": "app",
        "rules": [
            rule("secret/app/*", conditions=[here]),
            rule("secret/own/*", conditions=[elsewhen]),
            rule("secret/app/web", effect="deny", conditions=[by_token]),
            rule("secret/pay/*", capabilities=["read"]),
        ],
    }


def test_what_is_predicted_happens(shared_agent: Agent) -> None:
    """The policies in force predict the record; a candidate predicts what follows it.

    Conditions count: on the address, the time of day and the way of authentication.
    """
    ok(shared_agent, "PUT", "policies/app", {"rules": [rule("secret/app/*", "secret/own/*")]})
    ok(shared_agent, "PUT", "policies/pay", {"rules": [rule("secret/pay/*")]})
    ok(shared_agent, "POST", "users", {"username": "ann", "policies": ["app", "pay"]})
    ok(shared_agent, "POST", "users", {"username": "bob", "policies": ["app"]})
    keys = {
        who: ok(shared_agent, "POST", "keys", {"user": who, "name": "k"})["key"] for who in PEOPLE
    }
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    before = traffic(keys, shared_agent)
    assert sum(before.values()) == 24

    same = replayed(shared_agent, since=began)
    assert (same["denied"], same["allowed"], same["drifted"]) == (0, 0, 0)
    assert same["undecided"] == {}
    assert same["unchanged"] == same["accesses"] >= 24

    candidate = narrower()
    found = replayed(shared_agent, since=began, write=[candidate], delete=["pay"])
    predicted = {
        (one["actor_name"], one["path"], one["operation"]): one["allowed"]
        for one in found["changes"]
    }
    assert predicted == {
        ("ann", "secret/own/x", "secret.write"): False,
        ("ann", "secret/own/x", "secret.read"): False,
        ("ann", "secret/pay/roll", "secret.write"): False,
        ("bob", "secret/own/x", "secret.write"): False,
        ("bob", "secret/own/x", "secret.read"): False,
        ("bob", "secret/pay/roll", "secret.read"): True,
    }
    assert (found["denied"], found["allowed"], found["drifted"]) == (7, 2, 0)
    assert found["unchanged"] == found["accesses"] - 9
    assert replayed(shared_agent, since=began)["denied"] == 0  # nothing was put in force

    ok(shared_agent, "PUT", "policies/app", candidate)
    ok(shared_agent, "DELETE", "policies/pay")
    after = traffic(keys, shared_agent)
    for who, path, allowed in before:
        turned = {a for (w, p, _), a in predicted.items() if (w, p) == (who, path)}
        if not turned:
            assert after[who, path, allowed] == before[who, path, allowed]
    gone = sum((before - after).values())
    assert gone == found["denied"] + found["allowed"]
    again = replayed(shared_agent, since=began)
    assert (again["denied"], again["allowed"]) == (0, 0)
    assert again["drifted"] == 9  # the first round, which was decided by other policies


def test_it_is_authorized_and_on_record(shared_agent: Agent) -> None:
    """It shows the audit log's content: it takes a policy, and somebody sees who looked."""
    ok(shared_agent, "PUT", "policies/writer", {"rules": [rule("sys/policies/*")]})
    token = ok(shared_agent, "POST", "tokens", {"policies": ["writer"]})["token"]
    with shared_agent.client(token) as writer:
        refused = writer.call("POST", f"{API}/policies-replay", {"write": [{"name": "x"}]})
    assert refused.status == FORBIDDEN
    answer = shared_agent.call("POST", f"{API}/policies-replay", {"write": [{"name": "x"}]})
    assert answer.status == 200
    for asked, result in ((refused, "denied"), (answer, "ok")):
        (event,) = ok(shared_agent, "GET", f"audit/events?request_id={asked.request_id}")["events"]
        assert (event["operation"], event["result"]) == ("policy.replay", result)


def test_whose_credentials_are_gone_is_told(shared_agent: Agent) -> None:
    """A revoked token's accesses are counted apart, and not guessed."""
    ok(shared_agent, "PUT", "policies/short", {"rules": [rule("secret/short/*")]})
    token = ok(shared_agent, "POST", "tokens", {"policies": ["short"]})["token"]
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    with shared_agent.client(token) as client:
        client.call("PUT", f"{API}/secrets/secret/short/a", {"value": 1})
    assert replayed(shared_agent, since=began, delete=["short"])["denied"] == 1
    with shared_agent.client(token) as client:
        ok(client, "DELETE", "tokens/self")
    found = replayed(shared_agent, since=began, delete=["short"])
    assert found["denied"] == 0
    assert found["undecided"]["credential_gone"] >= 1
