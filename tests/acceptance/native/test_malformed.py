"""Requests that are no operation: told to who may know, and on record as any other."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, own_folder, running
from tests.acceptance.native.test_story import API, ok

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
IN_A_MOUNT: list[tuple[str, str, Any, dict[str, str]]] = [
    ("DELETE", "data/", None, {}),
    ("GET", "data/", None, {}),
    ("LIST", "data//", None, {}),
    ("POST", "data/", {"data": {}}, {}),
    ("POST", "data/x", {}, {}),
    ("POST", "data/x", b"{", {}),
    ("PATCH", "data/x", {}, {}),
    ("PATCH", "data/", {"data": {}}, MERGE_PATCH),
    ("POST", "delete/x", {}, {}),
    ("POST", "undelete/x", {}, {}),
    ("POST", "destroy/x", {}, {}),
    ("DELETE", "metadata/", None, {}),
    ("GET", "metadata", None, {}),
    ("GET", "zzz/x", None, {}),
    ("POST", "zzz", {}, {}),
    ("GET", "", None, {}),
    ("DELETE", "", None, {}),
    ("GET", "data/a//b", None, {}),
    ("GET", "data/x?list=perhaps", None, {}),
    ("GET", "data/x?a=1&a=2", None, {}),
    ("POST", "data/x", b" " * (2 << 20) + b"x", {}),
]


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """KV version 2 at `secret/` and version 1 at `first/`."""
    with own_folder() as folder, running(dev_agent(folder, workers=request.param)) as started:
        ok(started, "POST", "system/mounts/first", {"version": 1})
        yield started


def records(agent: Agent, answer: Answer) -> list[tuple[str, str, str]]:
    """Operation, result and code of what is on record of a request."""
    found = ok(agent, "GET", f"audit/events?request_id={answer.request_id}")["events"]
    return [(event["operation"], event["result"], event["code"]) for event in found]


@pytest.mark.parametrize("who", ["anonymous", "default"])
def test_a_mount_is_not_told(agent: Agent, who: str) -> None:
    """Who may do nothing in a mount hears what he hears where none is, and it is on record."""
    token = (
        ""
        if who == "anonymous"
        else ok(agent, "POST", "tokens", {"policies": ["default"]})["token"]
    )
    for method, rest, body, headers in IN_A_MOUNT:
        heard = {}
        for mount in ("secret", "first", "nowhere"):
            answer = agent.call(method, f"/v1/{mount}/{rest}", body, token=token, headers=headers)
            heard[mount] = (answer.status, answer.body)
            (record,) = records(agent, answer)
            assert record[1] == "denied", (method, rest, record)
        assert heard["secret"] == heard["first"] == heard["nowhere"], (method, rest)
        assert heard["secret"][0] == 403


def test_malformed_requests_are_on_record(agent: Agent) -> None:
    """Of who may be told what is wrong: one record each, with the code of the answer."""
    for method, path, body, headers in (
        ("POST", f"{API}/secrets", {"nonsense": 1}, {}),
        ("POST", f"{API}/secrets", b"{", {}),
        ("POST", f"{API}/users", None, {}),
        ("GET", f"{API}/secrets/a//b", None, {}),
        ("GET", f"{API}/secrets/a%2Fb", None, {}),
        ("GET", f"{API}/secrets?limit=x", None, {}),
        ("GET", f"{API}/nothing", None, {}),
        ("PUT", f"{API}/users", {}, {}),
        ("POST", f"{API}/secrets", b"x" * (2 << 20) + b"x", {}),
        ("PATCH", f"{API}/secrets/a", {}, {}),
    ):
        answer = agent.call(method, path, body, headers=headers)
        assert 400 <= answer.status < 500
        code = answer.json["code"]
        assert records(agent, answer) == [("request.malformed", "failed", code)], (path, code)
        anonymous = agent.call(method, path, body, token="", headers=headers)
        assert anonymous.status == 401
        assert [kind for kind, _, _ in records(agent, anonymous)] == ["request.malformed"]


def test_the_vault_dialect_tells_root_what_openbao_tells(agent: Agent) -> None:
    """Nothing to do is no error; what is wrong has its words."""
    for method, path, body, status in (
        ("DELETE", "/v1/secret/data/", None, 204),
        ("DELETE", "/v1/secret/metadata/", None, 204),
        ("GET", "/v1/secret/data/", None, 404),
        ("GET", "/v1/secret/zzz/x", None, 404),
        ("POST", "/v1/secret/data/x", {}, 400),
        ("GET", "/v1/nowhere/x", None, 404),
        ("GET", "/v1/sys/nothing", None, 404),
    ):
        answer = agent.call(method, path, body)
        assert answer.status == status, (method, path)
        assert len(records(agent, answer)) == 1, (method, path)


@pytest.mark.parametrize("verb", ["lookup", "renew", "revoke", "revoke-orphan"])
def test_a_null_is_no_token(agent: Agent, verb: str) -> None:
    """And not the caller's own."""
    answer = agent.call("POST", f"/v1/auth/token/{verb}", {"token": None})
    assert (answer.status, answer.json) == (403, {"errors": ["invalid token"]})
    if verb != "lookup":  # without one that is the caller's own
        for body in ({}, {"token": ""}):
            answer = agent.call("POST", f"/v1/auth/token/{verb}", body)
            assert (answer.status, answer.json) == (400, {"errors": ["missing token ID"]})
    for path in ("lookup", "revoke"):
        for native in ({"token": None}, {"token": ""}, {}):
            assert agent.call("POST", f"{API}/tokens/{path}", native).status == 400
    for path in ("lookup-accessor", "renew-accessor", "revoke-accessor"):
        for none in ({"accessor": None}, {"accessor": ""}, {}):
            assert agent.call("POST", f"/v1/auth/token/{path}", none).status == 400
    ok(agent, "GET", "tokens/self")
