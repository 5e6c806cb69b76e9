"""Batches through HTTP on the running agent: each item authorized, recorded and told by itself."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from tests.acceptance.agent import Agent, Client
from tests.acceptance.native.test_story import ok

API = "/api/v1"


def batch(client: Client | Agent, verb: str, body: dict[str, Any]) -> tuple[int, list[Any]]:
    """Status and results of a batch."""
    answer = client.call("POST", f"{API}/batch/{verb}", body)
    assert answer.status in {200, 207}, answer.body
    told = answer.json
    assert told["failed"] == sum("error" in item for item in told["results"])
    assert (answer.status == 200) == (told["failed"] == 0)
    return answer.status, told["results"]


def test_written_and_read_again(shared_agent: Agent) -> None:
    """A thousand in one request, and byte for byte back in another."""
    items = [{"name": f"secret/many/{i}", "value": {"n": i, "f": 1.5}} for i in range(1_000)]
    status, results = batch(shared_agent, "write", {"secrets": items})
    assert status == 200
    assert [item["secret"]["version"] for item in results] == [1] * 1_000
    status, results = batch(shared_agent, "read", {"names": [item["name"] for item in items]})
    assert status == 200
    assert [item["secret"]["value"] for item in results] == [item["value"] for item in items]


def test_each_by_itself(shared_agent: Agent) -> None:
    """What the caller may not, what is not there and what a cas forbids takes nothing with it."""
    rule = {"effect": "allow", "paths": ["secret/own/*"], "capabilities": ["read", "create"]}
    ok(shared_agent, "PUT", "policies/own", {"rules": [rule]})
    token = ok(shared_agent, "POST", "tokens", {"policies": ["own"]})["token"]
    ok(shared_agent, "POST", "secrets", {"name": "secret/other", "value": 1})
    with shared_agent.client(token) as client:
        _, results = batch(
            client,
            "write",
            {
                "secrets": [
                    {"name": "secret/own/a", "value": "A"},
                    {"name": "secret/other", "value": "stolen"},
                    {"name": "secret/own/b", "value": "B", "cas": 0},
                    {"name": "secret/own/c", "value": "C", "cas": 4},
                ]
            },
        )
        assert [item["status"] for item in results] == [200, 403, 200, 409]
        names = ["secret/own/a", "secret/other", "secret/own/none", "secret/own/b"]
        answer = client.call("POST", f"{API}/batch/read", {"names": names})
        results = answer.json["results"]
        assert [item["status"] for item in results] == [200, 403, 404, 200]
        # May create and not update: the second write of the same name is another capability.
        again = {"secrets": [{"name": "secret/own/a", "value": "A2"}]}
        assert batch(client, "write", again)[1][0]["status"] == 403
    assert ok(shared_agent, "GET", "secrets/secret/other")["value"] == 1
    for i, (name, result) in enumerate(zip(names, ("ok", "denied", "failed", "ok"), strict=True)):
        records = recorded(shared_agent, f"{answer.request_id}.{i}")
        assert [(r["path"], r["operation"], r["result"]) for r in records] == [
            (name, "secret.read", result)
        ]


def test_all_may_be_the_first_to_write(shared_agent: Agent) -> None:
    """Who finds that another was quicker has written the version after his, and is told so.

    One intent, and an outcome with the capability that it took in the end.
    """
    body = {"secrets": [{"name": f"secret/first/{i}", "value": i} for i in range(50)]}
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        clients = [stack.enter_context(shared_agent.client()) for _ in range(4)]
        told = list(pool.map(lambda one: one.call("POST", f"{API}/batch/write", body), clients))
    assert [(one.status, one.json["failed"]) for one in told] == [(200, 0)] * 4
    log = [json.loads(line) for line in shared_agent.audit_log.read_text().splitlines()]
    records = [line["body"] for line in log if line["kind"] == "event"]
    for i in range(50):
        versions = [one.json["results"][i]["secret"]["version"] for one in told]
        assert sorted(versions) == [1, 2, 3, 4]
        ids = {f"{one.request_id}.{i}": n for one, n in zip(told, versions, strict=True)}
        own = [each for each in records if each["request_id"] in ids]
        assert sorted(each["phase"] for each in own) == ["intent"] * 4 + ["outcome"] * 4
        for each in (each for each in own if each["phase"] == "outcome"):
            first = ids[each["request_id"]] == 1
            assert (each["result"], each["capability"]) == ("ok", "create" if first else "update")


def test_each_write_is_announced_and_concluded(shared_agent: Agent) -> None:
    """Two records an item, under its own request id."""
    body = {"secrets": [{"name": f"secret/rec/{i}", "value": i} for i in range(3)]}
    answer = shared_agent.call("POST", f"{API}/batch/write", body)
    assert answer.status == 200
    for i in range(3):
        phases = [r["phase"] for r in recorded(shared_agent, f"{answer.request_id}.{i}")]
        assert phases == ["intent", "outcome"]


def test_one_write_to_disk_serves_many(shared_agent: Agent) -> None:
    """The records of a hundred items, and the items, are made durable a few times in all."""
    names = [f"secret/group/{i}" for i in range(100)]
    items = [{"name": name, "value": 1} for name in names]
    for verb, body, phases in (("write", {"secrets": items}, 2), ("read", {"names": names}, 1)):
        answer = shared_agent.call("POST", f"{API}/batch/{verb}", body)
        assert answer.status == 200
        lines = [json.loads(line) for line in shared_agent.audit_log.read_text().splitlines()]
        ours = [
            line
            for line in lines
            if line["body"].get("request_id", "").startswith(answer.request_id)
        ]
        assert len(ours) == 100 * phases
        # A batch of the log ends with a record that has a commit mark, and is synced once.
        assert sum("commit" in line for line in ours) <= 5 * phases


def test_uses_of_a_token_are_items(shared_agent: Agent) -> None:
    """Each item spends one: what comes after the last use is refused, and told as such."""
    rule = {"effect": "allow", "paths": ["secret/uses/*"], "capabilities": ["read"]}
    ok(shared_agent, "PUT", "policies/uses", {"rules": [rule]})
    ok(shared_agent, "POST", "secrets", {"name": "secret/uses/a", "value": 1})
    made = ok(shared_agent, "POST", "tokens", {"policies": ["uses"], "num_uses": 3})
    with shared_agent.client(made["token"]) as client:
        _, results = batch(client, "read", {"names": ["secret/uses/a"] * 8})
        assert sorted(item["status"] for item in results) == [200] * 3 + [401] * 5
        gone = client.call("POST", f"{API}/batch/read", {"names": ["secret/uses/a"]})
        assert gone.status == 401


def test_a_body_is_bounded_and_an_answer_too(shared_agent: Agent) -> None:
    """2 MiB may come in; 8 MiB of values go out, and the rest is asked for again."""
    big = "x" * (1 << 20) + "x" * 100
    answer = shared_agent.call(
        "POST",
        f"{API}/batch/write",
        {"secrets": [{"name": f"secret/big/{i}", "value": big} for i in range(2)]},
    )
    assert answer.status == 413
    for i in range(12):
        item = {"name": f"secret/big/{i}", "value": "x" * 1_000_000}
        assert batch(shared_agent, "write", {"secrets": [item]})[0] == 200
    names = [f"secret/big/{i}" for i in range(12)]
    status, results = batch(shared_agent, "read", {"names": names})
    assert status == 207
    assert sorted(item["status"] for item in results) == [200] * 8 + [413] * 4
    rest = [item["name"] for item in results if item["status"] == 413]
    assert batch(shared_agent, "read", {"names": rest})[0] == 200


def recorded(agent: Agent, request_id: str) -> list[dict[str, Any]]:
    """The records of one operation, as they stand in the log."""
    lines = [json.loads(line) for line in agent.audit_log.read_text().splitlines()]
    bodies = [line["body"] for line in lines if line["kind"] == "event"]
    return [body for body in bodies if body["request_id"] == request_id]
