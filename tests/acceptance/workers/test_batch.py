"""Many operations in one request, by whichever worker has it: each is one by itself."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Client, own_folder, running
from tests.acceptance.workers.fleet import fleet_agent, pinned
from tests.acceptance.workers.test_consistency import (
    NOTHING,
    READER,
    a_reader,
    a_token,
    value_reads,
    write,
)
from tests.acceptance.workers.waiting import await_true
from vault.edge.native.batch import MAX_CONCURRENT

ATTEMPTS = 50  # at a revocation in the middle of a request


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """Two workers."""
    with own_folder() as folder, running(fleet_agent(folder)) as started:
        yield started


def test_many_reads_in_one_request_on_every_worker(agent: Agent) -> None:
    """Each as it is then, by itself, and on record once, whichever worker has the request."""

    def statuses(client: Client, names: list[str]) -> list[object]:
        answer = client.call("POST", "/api/v1/batch/read", {"names": names})
        if "results" not in answer.json:
            return [answer.status]
        found = [(one["status"], one.get("secret")) for one in answer.json["results"]]
        return [secret["value"]["v"] if secret else status for status, secret in found]

    names = [f"secret/many-{i}" for i in range(40)]
    with pinned(agent) as (one, two):
        for number in range(0, 40, 2):
            write(two if number % 4 else one, f"many-{number}", number)
        known = [404 if i % 2 else i for i in range(40)]
        assert [statuses(client, names) for client in (one, two)] == [known, known]
        write(one, "many-1", "new")
        known[1] = "new"
        token = a_reader(one)
        with pinned(agent, token) as others:
            assert [statuses(other, names) for other in others] == [known, known]
            await_true(lambda: value_reads(one, "many-2") == 4)  # each process writes its own
            assert one.call("PUT", "/api/v1/policies/reader", NOTHING).status == 200
            assert [statuses(other, names) for other in others] == [[403] * 40] * 2
            assert two.call("PUT", "/api/v1/policies/reader", READER).status == 200
            query = "/api/v1/audit/events?path=secret/many-38&operation=secret.read"
            results = [event["result"] for event in one.call("GET", query).json["events"]]
            assert sorted(results) == ["denied"] * 2 + ["ok"] * 4
            done = two.call("POST", "/v1/auth/token/revoke", {"token": token})
            assert done.status == 204
            assert [statuses(other, names) for other in others] == [[401], [401]]


def test_of_several_operations_each_is_done_once(agent: Agent) -> None:
    """Large values and a limited token's uses too, each on record under an id of its own."""
    names = [f"secret/few-{i}" for i in range(8)]
    values = [{"v": "x" * 100_000 if i % 3 else i} for i in range(8)]
    items = [{"name": n, "value": v} for n, v in zip(names, values, strict=True)]
    with pinned(agent) as (one, two):
        for number, client in enumerate((one, two), 1):
            answer = client.call("POST", "/api/v1/batch/write", {"secrets": items})
            assert [item["secret"]["version"] for item in answer.json["results"]] == [number] * 8
            log = agent.audit_log.read_text()
            assert [log.count(f'"{answer.request_id}.{i}"') for i in range(9)] == [2] * 8 + [0]
        read = one.call("POST", "/api/v1/batch/read", {"names": names}).json["results"]
        assert [item["secret"]["value"] for item in read] == values
        a_reader(one)
        asked = {"policies": ["reader"], "num_uses": 3}
        token = one.call("POST", "/v1/auth/token/create", asked).json["auth"]["client_token"]
        answer = two.call("POST", "/api/v1/batch/read", {"names": names}, token=token)
        statuses = [item["status"] for item in answer.json["results"]]
        assert sorted(statuses) == [200] * 3 + [401] * 5
        assert agent.audit_log.read_text().count(f'"{answer.request_id}.') == 8


def test_all_may_be_the_first_to_write_on_every_worker(agent: Agent) -> None:
    """Whoever was slower has written the version after, whichever worker has the request.

    Also one whose policy asks for tags, which are looked up and never guessed.
    """
    upsert = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["create", "update"]}
    tagged = upsert | {"conditions": [{"type": "tags", "none": ["frozen"]}]}
    with pinned(agent) as workers, ThreadPoolExecutor(2) as pool:
        for which, rule in (("plain", upsert), ("tagged", tagged)):
            token = a_token(workers[0], which, rule)
            items = [{"name": f"secret/{which}-{i}", "value": i} for i in range(100)]
            call = partial(batch_of, "write", {"secrets": items}, token)
            one, two = pool.map(call, workers)
            assert (one["failed"], two["failed"]) == (0, 0)
            for first, second in zip(one["results"], two["results"], strict=True):
                assert sorted(each["secret"]["version"] for each in (first, second)) == [1, 2]


def batch_of(verb: str, body: object, token: str, client: Client) -> Any:
    """What a batch is answered with."""
    return client.call("POST", f"/api/v1/batch/{verb}", body, token=token).json


def test_a_token_that_is_revoked_while_many_are_read(agent: Agent) -> None:
    """What begins behind that is refused, whichever worker has the request."""
    names = [f"secret/long-{i}" for i in range(1_000)]
    items = [{"name": name, "value": 1} for name in names]
    with pinned(agent) as (one, two):
        assert one.call("POST", "/api/v1/batch/write", {"secrets": items}).status == 200
        for reader, other in ((one, two), (two, one)):
            for _ in range(ATTEMPTS):
                ok, behind = reads_around_a_revocation(agent, reader, other, names)
                if ok and ok < len(names):
                    break
            assert 0 < ok < len(names)
            assert behind <= MAX_CONCURRENT  # which were under way


def reads_around_a_revocation(
    agent: Agent, reader: Client, other: Client, names: list[str]
) -> tuple[int, int]:
    """How many were answered of a batch, and how many of these are on record behind it."""
    token = a_reader(other)
    with ThreadPoolExecutor(1) as pool:
        body = {"names": names}
        batch = pool.submit(reader.call, "POST", "/api/v1/batch/read", body, token=token)
        time.sleep(0.02)
        revoked = other.call("POST", "/v1/auth/token/revoke", {"token": token})
        answer = batch.result()
    assert revoked.status == 204
    lines = [json.loads(line) for line in agent.audit_log.read_text().splitlines()]
    bodies = [line["body"] for line in lines if line["kind"] == "event"]
    ends = [one for one in bodies if one["phase"] == "outcome"]
    at = next(i for i, one in enumerate(ends) if one["request_id"] == revoked.request_id)
    ours = [
        (i, one["result"]) for i, one in enumerate(ends)
        if one["request_id"].startswith(f"{answer.request_id}.")
    ]  # fmt: skip
    ok = [i for i, result in ours if result == "ok"]
    told = answer.json.get("results", [])
    assert len(ok) == sum(one["status"] == 200 for one in told)
    return len(ok), sum(i > at for i in ok)
