"""A database that is away, and workers that are started meanwhile: an outage and no more."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.agent_process import await_open
from tests.acceptance.agent import SEVERAL, Agent, running, served_agent
from tests.acceptance.workers.fleet import await_workers, pinned, workers_of
from tests.acceptance.workers.waiting import await_true
from tests.support.databases import SERVERS, Server

SECRET = "/v1/secret/data/app"


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """A running server of each kind, which the test may stop."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def agent(server: Server, folder: Path) -> Iterator[Agent]:
    """One with workers and a secret, on a database of its own; it unseals by itself."""
    url = server.empty()
    made = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": SEVERAL},
            "storage": {"type": url.partition(":")[0], "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )
    with running(made):
        initialized = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = initialized.json["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert made.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        assert made.call("POST", SECRET, {"data": {"v": 1}}).status == 200
        await_open(made)
        yield made


def test_workers_started_in_an_outage_wait_for_the_database(server: Server, agent: Agent) -> None:
    """They answer 503 meanwhile and serve by themselves once it is back; none of them ends."""
    server.stop()
    try:
        for victim in workers_of(agent):
            os.kill(victim, signal.SIGKILL)
            await_workers(agent, victim)
        await_true(lambda: told(agent, "waits for the database") == SEVERAL)
        started = workers_of(agent)
        with pinned(agent) as clients:
            assert [client.call("GET", SECRET).status for client in clients] == [503] * SEVERAL
            assert clients[0].call("GET", "/health/ready").status == 503
    finally:
        server.start()
    with pinned(agent) as clients:
        for client in clients:
            await_true(lambda client=client: client.call("GET", SECRET).status == 200)  # type: ignore[misc]  # a default
    await_true(lambda: told(agent, "serves by itself again") == SEVERAL)
    assert workers_of(agent) == started
    for figure in (f"vault_worker_restarts_total {SEVERAL}.0\n", "vault_workers_failing 0.0\n"):
        await_true(lambda figure=figure: figure.encode() in agent.call("GET", "/metrics").body)  # type: ignore[misc]  # a default
    assert agent.stop() == 0


def told(agent: Agent, what: str) -> int:
    """How often its processes have said this."""
    return agent.output().count(what)
