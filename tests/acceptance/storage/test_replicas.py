"""`freehold agent serve` with a read replica, which comes and goes."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, running, served_agent
from tests.support.databases import SERVERS, Server
from tests.support.replicas import Follower, run_follower, run_primary, wait_until_followed

SECRETS = 40
WITHIN = 30.0  # seconds, on a busy machine


@pytest.fixture(params=SERVERS)
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Follower]]:
    """A server of each kind, and one that follows it."""
    with run_primary(request.param) as (server, port), run_follower(server, port) as follower:
        yield server, follower


def measured(agent: Agent, name: str) -> float:
    """A sample at `/metrics`."""
    text = agent.call("GET", "/metrics").body.decode()
    found = re.search(rf"^vault_{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def read_all(agent: Agent) -> list[int]:
    """The number that each secret has."""
    answers = [agent.call("GET", f"/v1/secret/data/s{number}") for number in range(SECRETS)]
    assert {answer.status for answer in answers} == {200}
    return [answer.json["data"]["data"]["n"] for answer in answers]


def write_all(agent: Agent, round_: int) -> None:
    """A version more of each secret."""
    for number in range(SECRETS):
        body = {"data": {"n": round_}}
        assert agent.call("POST", f"/v1/secret/data/s{number}", body).status == 200


def look_until(agent: Agent, holds: Callable[[], bool]) -> None:
    """Look for what no cache knows until it holds: the agent commits by itself, and that lags."""
    until, number = time.monotonic() + WITHIN, 0
    while not holds():
        assert time.monotonic() < until
        number += 1
        assert agent.call("GET", f"/v1/secret/data/none{number}").status == 404


def test_reads_go_on_whatever_becomes_of_the_replica(
    servers: tuple[Server, Follower], folder: Path
) -> None:
    """It answers after a restart, when nothing is cached; killed or back, each read is right."""
    server, follower = servers
    url = server.empty()
    agent = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
            "storage": {
                "type": url.partition(":")[0],
                "connection_string": url,
                "replicas": [follower.url(url)],
            },
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
            "cache": {"warmup_enabled": False},
        },
    )
    with running(agent):  # the replica may not have the database yet
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        agent.token = made.json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        write_all(agent, 1)
        assert read_all(agent) == [1] * SECRETS
    wait_until_followed(server, follower, url)
    with running(agent):
        assert read_all(agent) == [1] * SECRETS
        look_until(agent, lambda: measured(agent, "replica_reads_total") > SECRETS / 2)
        look_until(agent, lambda: measured(agent, "replica_lag_commits") == 0)
        assert measured(agent, "replicas_usable") == 1
        follower.server.stop()
        write_all(agent, 2)
        assert read_all(agent) == [2] * SECRETS
    with running(agent):
        assert read_all(agent) == [2] * SECRETS
        assert measured(agent, "replicas_usable") == 0
        follower.start()
        look_until(agent, lambda: measured(agent, "replicas_usable") == 1)
        assert read_all(agent) == [2] * SECRETS
