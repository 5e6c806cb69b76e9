"""Two agents on one database, one with workers, that share their rate limits over Redis."""

import http.client
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, Client, running, served_agent
from tests.support.databases import Server
from tests.support.polling import await_value
from tests.support.redis_server import Redis, redis

BALANCER = "127.0.0.2"
BURST = 100
SHARE = 3  # of all failures of a machine: so many times the burst
TOLERANCE = 20
"""Beyond the burst: what is granted until the other agent has heard, on a busy machine."""
SLOWLY = 0.001  # tokens a second: a test sees none come back
PROMPTLY = 2.0  # seconds for an answer, on a busy machine; Redis is waited for no shorter
WITHIN = 60.0
SELF, UNKNOWN = "/v1/auth/token/lookup-self", "/v1/secret/data/none"


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis of the test."""
    with redis() as made:
        yield made


@pytest.fixture
def agents(postgresql_server: Server, server: Redis, folder: Path) -> Iterator[list[Agent]]:
    """Both, started and unsealed."""
    url = postgresql_server.empty()
    made = [agent_at(folder / name, url, server, workers) for name, workers in (("a", 1), ("b", 2))]
    with ExitStack() as stack:
        first, second = made
        stack.enter_context(running(first))
        body = {"secret_shares": 1, "secret_threshold": 1}
        first.token = first.call("PUT", "/v1/sys/init", body).json["root_token"]
        shutil.copy(first.data / "root.key", second.data / "root.key")
        second.token = first.token
        stack.enter_context(running(second))
        for agent in made:
            wait_until(lambda agent=agent: measured(agent, "redis_failing") == 0)
        yield made


def agent_at(folder: Path, url: str, server: Redis, workers: int) -> Agent:
    """An agent that is not started."""
    folder.mkdir()
    limit = {"per_second": SLOWLY, "burst_size": BURST}
    return served_agent(
        folder,
        {
            "server": {
                "listen": "127.0.0.1:0",
                "tls": {"enabled": False},
                "workers": workers,
                "proxies": {"addresses": [BALANCER], "header": "proxy-protocol"},
            },
            "storage": {"type": "postgresql", "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
            "limits": {"self_service": limit, "failures": limit | {"share": SHARE}},
            "cache": {"redis": {"url": server.url}},
        },
    )


def measured(agent: Agent, name: str) -> float:
    """A sample at `/metrics`."""
    found = re.search(
        rf"^vault_{name} (\S+)$", agent.call("GET", "/metrics").body.decode(), re.MULTILINE
    )
    assert found is not None, name
    return float(found[1])


def wait_until(holds: Callable[[], bool]) -> None:
    """Within the time."""
    await_value(holds, WITHIN)


def granted(agents: list[Agent], path: str, token: str, rounds: int = BURST) -> tuple[int, float]:
    """How many of the requests, taken in turns, are not refused for their rate; the longest."""
    statuses, longest = [], 0.0
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(agent.port, token)) for agent in agents]
        for _ in range(rounds):
            for client in clients:
                begun = time.monotonic()
                statuses.append(client.call("GET", path).status)
                longest = max(longest, time.monotonic() - begun)
    assert set(statuses) <= {200, 403, 429}
    return len(statuses) - statuses.count(429), longest


def fails(agents: list[Agent], client: str, rounds: int = BURST) -> int:
    """How many failures of a client are not refused for their rate; in turns, by the balancer."""
    statuses = []
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(by_balancer(agent, client))) for agent in agents]
        for _ in range(rounds):
            for connection in connections:
                connection.request("GET", UNKNOWN, headers={"X-Vault-Token": "hvs.wrong"})
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
    assert set(statuses) <= {403, 429}
    return statuses.count(403)


def by_balancer(agent: Agent, client: str) -> http.client.HTTPConnection:
    """A connection that says whose it is."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", agent.port, timeout=WITHIN, source_address=(BALANCER, 0)
    )
    connection.connect()
    connection.sock.sendall(f"PROXY TCP4 {client} 198.51.100.1 1000 8200\r\n".encode())
    return connection


def child_token(agent: Agent) -> str:
    """A token whose limits nobody has used."""
    made = agent.call("POST", "/v1/auth/token/create-orphan", {"policies": ["default"]})
    return str(made.json["auth"]["client_token"])


def test_a_caller_has_one_limit_at_both(agents: list[Agent]) -> None:
    """Known or not; within the tolerance."""
    wait_until(
        lambda: BURST <= granted(agents, SELF, child_token(agents[0]))[0] <= BURST + TOLERANCE
    )
    own, _ = granted(agents, UNKNOWN, "hvs.wrong")  # from the same machine: at each another one
    assert own > BURST + TOLERANCE
    addresses = (f"198.51.100.{number}" for number in range(9, 99))
    wait_until(lambda: fails(agents, next(addresses)) <= BURST + TOLERANCE)
    # All failures of a machine have a limit as well, which is not shared: half of it is left.
    assert fails(agents[1:], "198.51.100.8") > TOLERANCE
    assert measured(agents[0], "limit_tokens_charged_total") > 0
    assert measured(agents[1], "limit_tokens_charged_total") > 0
    assert measured(agents[0], "limit_messages_refused_total") == 0


def test_whatever_becomes_of_redis_requests_go_on(agents: list[Agent], server: Redis) -> None:
    """Stopped or killed: promptly, and with each agent's own limit; shared again afterwards."""
    server.freeze()
    alone, longest = granted(agents, SELF, child_token(agents[0]))
    assert alone > BURST + TOLERANCE
    assert longest < PROMPTLY
    for agent in agents:
        wait_until(lambda agent=agent: measured(agent, "redis_failing") == 1)
    server.kill()
    alone, longest = granted(agents, SELF, child_token(agents[1]))
    assert alone == 2 * BURST
    assert longest < PROMPTLY
    server.start()
    for agent in agents:
        wait_until(lambda agent=agent: measured(agent, "redis_failing") == 0)
    wait_until(lambda: granted(agents, SELF, child_token(agents[0]))[0] <= BURST + TOLERANCE)
    for agent in agents:
        assert "Traceback" not in agent.output()
        assert agent.output().count("rate limits are each agent's own") >= 1
