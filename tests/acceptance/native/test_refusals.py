"""A caller who may nothing does not fill the disk: of many refusals few have a record each."""

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.acceptance.native.test_story import API, ok

BATCHES = 8
ITEMS = 1_000
BURST = 500  # of the settings that ship, limits.refusals


@pytest.fixture(scope="module", params=[1, 2], ids=["1 process", "2 workers"])
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """With the limits that ship."""
    with own_folder() as folder:
        server = {
            "listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": request.param,
        }  # fmt: skip
        with running(served_agent(folder, {"server": server})) as started:
            shares = {"secret_shares": 1, "secret_threshold": 1}
            made = started.call("POST", "/v1/sys/init", shares).json
            started.token = made["root_token"]
            started.call("POST", "/v1/sys/unseal", {"key": made["keys"][0]})
            ok(started, "POST", "system/mounts/secret", {"version": 2})
            yield started


def test_denied_batches(agent: Agent) -> None:
    """Each item is denied; the log grows by a bounded number of records, and tells the rest."""
    token = ok(agent, "POST", "tokens", {"policies": ["default"]})["token"]
    accessor = ok(agent, "GET", "tokens/self", token=token)["accessor"]
    names = [f"secret/{'x' * 200}{number}" for number in range(ITEMS)]
    before = agent.audit_log.stat().st_size
    for _ in range(BATCHES):
        answer = agent.call("POST", f"{API}/batch/read", {"names": names}, token=token)
        assert (answer.status, answer.json["failed"]) == (207, ITEMS)
        assert {item["error"]["code"] for item in answer.json["results"]} == {"permission_denied"}
    grown = agent.audit_log.stat().st_size - before
    assert grown < (BURST + BATCHES * 60) * 1_000, grown
    allowed = [agent.call("GET", f"{API}/tokens/self", token=token).request_id for _ in range(20)]
    for request_id in allowed:
        (event,) = ok(agent, "GET", f"audit/events?request_id={request_id}")["events"]
        assert event["result"] == "ok"
    agent.stop()
    lines = agent.audit_log.read_text().splitlines()
    shared = [line for line in lines if '"authz.refused"' in line]
    counted = sum(int(json.loads(line)["body"]["rule"].split()[0]) for line in shared)
    single = sum('"permission_denied"' in line and accessor in line for line in lines)
    assert all(accessor in line for line in shared)
    assert counted + single == BATCHES * ITEMS
    assert agent.verify().returncode == 0
