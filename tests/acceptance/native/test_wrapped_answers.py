"""Wrapped answers in the native API and the command line: one mechanism with Vault's API."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.acceptance.command import freehold
from tests.acceptance.native.test_story import API, ok

SECRET = "secret/app/db"
RACING = 40


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With a secret."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        ok(started, "POST", "secrets", {"name": SECRET, "value": {"user": "ann"}})
        yield started


def wrap(agent: Agent, method: str, path: str, body: object = None, **more: Any) -> Answer:
    """A request whose answer is to wait a minute."""
    headers = {"X-Freehold-Wrap-TTL": "1m", "Content-Type": "application/json"}
    return agent.call(method, f"{API}/{path}", body, headers=headers, **more)


def test_an_answer_is_unwrapped_once(agent: Agent) -> None:
    """What it is of is known before; who is not allowed the request gets no token."""
    plain = ok(agent, "GET", f"secrets/{SECRET}")
    told = wrap(agent, "GET", f"secrets/{SECRET}")
    assert (told.status, list(told.json)) == (200, ["wrap"])
    made = told.json["wrap"]
    assert "ann" not in json.dumps(made)
    assert (made["ttl_seconds"], made["path"]) == (60, f"secrets/{SECRET}")
    asked = {"token": made["token"]}
    looked = agent.call("POST", f"{API}/wrapping/lookup", asked, token="")
    assert looked.json["wrap"]["path"] == f"secrets/{SECRET}"
    anybody = ok(agent, "POST", "tokens", {"policies": ["default"]})["token"]
    assert ok(agent, "POST", "wrapping/unwrap", asked, token=anybody)["value"] == plain["value"]
    again = agent.call("POST", f"{API}/wrapping/unwrap", asked)
    assert (again.status, again.json["code"]) == (400, "wrapping_token_invalid")
    assert wrap(agent, "GET", f"secrets/{SECRET}", token=anybody).status == 403


def test_either_api_unwraps_what_the_other_wrapped(agent: Agent) -> None:
    """And a token is rewrapped by either."""
    made = wrap(agent, "GET", f"secrets/{SECRET}").json["wrap"]["token"]
    data = agent.call("POST", "/v1/sys/wrapping/unwrap", {"token": made}).json["data"]
    assert data["value"] == {"user": "ann"}
    headers = {"X-Vault-Wrap-TTL": "1m"}
    other = agent.call("GET", "/v1/secret/data/app/db", headers=headers).json["wrap_info"]["token"]
    new = ok(agent, "POST", "wrapping/rewrap", {"token": other})["wrap"]["token"]
    found = ok(agent, "POST", "wrapping/unwrap", {"token": new})
    assert found["data"]["data"] == {"user": "ann"}


def test_a_wrapped_token_is_known_by_its_accessor(agent: Agent) -> None:
    """So that it can be ended before anybody unwraps it; a wrapping token opens itself alone."""
    told = wrap(agent, "POST", "tokens", {"policies": ["default"]})
    assert told.status == 201
    made = told.json["wrap"]
    assert agent.call("GET", f"{API}/tokens/{made['wrapped_accessor']}").status == 200
    own = agent.call("POST", f"{API}/wrapping/unwrap", {}, token=made["token"])
    assert own.json["accessor"] == made["wrapped_accessor"]


def test_what_is_not_wrapped(agent: Agent) -> None:
    """Errors, empty answers; and a time that is none is refused before anything is done."""
    assert wrap(agent, "GET", "secrets/secret/none").json["code"] == "secret_not_found"
    ok(agent, "PUT", "policies/gone", {"rules": []})
    assert wrap(agent, "DELETE", "policies/gone").status == 204
    for ttl in ("soon", "-1s", "1000h"):
        headers = {"X-Freehold-Wrap-TTL": ttl}
        made = agent.call("PUT", f"{API}/policies/never", {"rules": []}, headers=headers)
        assert (made.status, made.json["code"]) == (400, "wrap_ttl_invalid")
    assert agent.call("GET", f"{API}/policies/never").status == 404
    health = agent.call("GET", f"{API}/openapi.json", headers={"X-Freehold-Wrap-TTL": "1m"})
    assert "paths" in health.json


def test_a_wrapping_token_makes_no_session(agent: Agent) -> None:
    """Which would have the `default` policy, while the answer still waits."""
    made = wrap(agent, "GET", f"secrets/{SECRET}").json["wrap"]["token"]
    for body in ({}, {"exchange": True}):
        told = agent.call("POST", f"{API}/sessions", body, token=made)
        assert (told.status, told.json["code"]) == (400, "restricted_parent")
    assert ok(agent, "POST", "wrapping/unwrap", token=made)["value"] == {"user": "ann"}


def test_of_many_who_unwrap_one_gets_the_answer(agent: Agent) -> None:
    """By both APIs, whichever process they come to."""
    token = wrap(agent, "GET", f"secrets/{SECRET}").json["wrap"]["token"]
    ways = (f"{API}/wrapping/unwrap", "/v1/sys/wrapping/unwrap")
    found: list[int] = []

    def ask(number: int) -> None:
        found.append(agent.call("POST", ways[number % 2], {"token": token}).status)

    racing = [threading.Thread(target=ask, args=(number,)) for number in range(RACING)]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    assert sorted(found) == [200] + [400] * (RACING - 1)


def test_the_command_line(agent: Agent) -> None:
    """`--wrap-ttl` with any command, `unwrap`, grants by a ticket and conversion of a policy."""
    environment = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token}

    def run(*words: str, stdin: str = "", code: int = 0, token: str = "") -> Any:
        told = environment | ({"FREEHOLD_TOKEN": token} if token else {})
        done = freehold("-o", "json", *words, stdin=stdin, environment=told)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    made = run("--wrap-ttl", "5m", "secret", "get", SECRET)
    assert made["ttl_seconds"] == 300
    assert run("unwrap", made["token"], "--lookup")["path"].startswith("secrets/")
    assert run("unwrap", "-", stdin=f"{made['token']}\n")["value"] == {"user": "ann"}
    run("unwrap", made["token"], code=64)
    job = ok(agent, "POST", "tokens", {"policies": ["default"]})["token"]
    denied = run("secret", "get", SECRET, code=4, token=job)
    ticket = next(word.strip("`") for word in denied.split() if word.startswith("fdt_"))
    granted = run("policy", "grant", ticket, "--for", "10m")
    assert run("secret", "get", SECRET, token=job)["value"] == {"user": "ann"}
    assert [one["id"] for one in run("policy", "grants")] == [granted["id"]]
    run("policy", "revoke", granted["id"])
    run("secret", "get", SECRET, code=4, token=job)
    acl = 'path "secret/data/app/*" { capabilities = ["read"] }'
    rules = run("policy", "convert", "any", "--file", "-", stdin=acl)["rules"]
    assert rules == [{"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read"]}]
    run("mount", "create", "moving")
    assert run("mount", "move", "moving", "team/moved")["secrets"] == 0
    assert run("mount", "moves")[0]["target"] == "team/moved/"
