"""What a request may cost: nobody else waits for the work that a small document makes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.native.test_story import API, ok

RULES = 139
WINDOWS = 16
NETWORKS = 9_000
EACH = 6  # documents that a connection sends


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With a token that may do nothing but look at itself, and one that may write policies."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        yield started


def unknown_zones() -> dict[str, object]:
    """As many time windows as fit, each in a zone of its own that does not exist."""
    rule = {"effect": "allow", "paths": ["secret/a"], "capabilities": ["read"]}
    return {
        "rules": [
            {
                **rule,
                "conditions": [
                    {"type": "time_window", "tz": f"No/Z{i}x{j}"} for j in range(WINDOWS)
                ],
            }
            for i in range(RULES)
        ]
    }


def test_validating_takes_the_right_to_write(agent: Agent) -> None:
    """A token that has only `default` is refused, and the refusal is on record."""
    token = ok(agent, "POST", "tokens", {"policies": ["default"]})["token"]
    at = f"{API}/policies/x/validate"
    answer = agent.call("POST", at, unknown_zones(), token=token)
    assert (answer.status, answer.json["code"]) == (403, "permission_denied")
    (record,) = ok(agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    assert (record["operation"], record["result"]) == ("policy.validate", "denied")


def test_validating_holds_up_nobody(agent: Agent) -> None:
    """Four connections validate the dearest documents; reads by others go on meanwhile."""
    ok(agent, "POST", "secrets", {"name": "secret/a", "value": 1})
    zones = json.dumps(unknown_zones()).encode()
    rule = {"effect": "allow", "paths": ["secret/a"], "capabilities": ["read"]}
    nets = [f"10.{i >> 8}.{i & 255}.0/24" for i in range(NETWORKS)]
    many = [
        {"type": "source_network", "networks": nets[i : i + 256]} for i in range(0, NETWORKS, 256)
    ]
    rules = [{**rule, "conditions": many[i : i + 16]} for i in range(0, len(many), 16)]
    networks = json.dumps({"rules": rules}).encode()

    def attack(body: bytes) -> list[int]:
        with agent.client() as client:
            return [
                client.call("POST", f"{API}/policies/x/validate", body).status for _ in range(EACH)
            ]

    reads = 0
    with ThreadPoolExecutor(4) as pool, agent.client() as client:
        attacks = [pool.submit(attack, body) for body in (zones, networks) * 2]
        while not all(running.done() for running in attacks):
            ok(client, "GET", "secrets/secret/a")
            reads += 1
        assert [set(running.result()) for running in attacks] == [{400}, {200}] * 2
    assert reads > len(attacks) * EACH, reads  # on one connection: they took turns before


def _large(begin: bytes) -> bytes:
    return begin + b"1e300," * 330_000 + b"1"  # cut short: whoever decodes it says so


@pytest.mark.parametrize("credential", ["", "s.unknown-unknown-unknown"])
@pytest.mark.parametrize("path", [f"{API}/secrets", f"{API}/batch/read", "/v1/secret/data/a"])
def test_who_is_not_known_has_nothing_decoded(agent: Agent, path: str, credential: str) -> None:
    """A large body costs its bytes, and the refusal is on record."""
    answer = agent.call("POST", path, _large(b'{"a":['), token=credential)
    assert answer.status == (401 if path.startswith(API) else 403)
    (record,) = ok(agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    assert (record["operation"], record["result"]) == ("request.malformed", "denied")
    known = agent.call("POST", path, _large(b'{"a":['))
    assert known.status == 400


def test_what_needs_no_credential_takes_no_large_body(agent: Agent) -> None:
    """A share is short."""
    answer = agent.call("PUT", "/v1/sys/unseal", _large(b'{"key":['), token="")
    assert answer.status == 413


def test_policies_that_are_too_heavy_together_allow_nothing(agent: Agent) -> None:
    """Each is all right: who has them all is refused at once, told why, and on record."""
    rule = {
        "effect": "allow",
        "paths": ["secret/app/*"],
        "capabilities": ["read"],
        "conditions": [{"type": "mfa_present"} for _ in range(15)],
    }
    names = [f"heavy{number}" for number in range(3)]
    for name in names:
        ok(agent, "PUT", f"policies/{name}", {"rules": [rule] * 60})
    sets = (names[:2], names)
    held = [ok(agent, "POST", "tokens", {"policies": those})["token"] for those in sets]
    answers = [agent.call("GET", "/v1/secret/data/app/x", token=token) for token in held]
    assert [answer.status for answer in answers] == [403, 403]
    refused = [agent.call("GET", f"{API}/secrets/secret/app/x", token=token) for token in held]
    assert [answer.json["code"] for answer in refused] == [
        "permission_denied",
        "policy_set_too_heavy",
    ]
    assert "heavy0 (900)" in refused[1].json["message"]
    (record,) = ok(agent, "GET", f"audit/events?request_id={refused[1].request_id}")["events"]
    assert (record["result"], record["code"]) == ("denied", "policy_set_too_heavy")
