"""Past its limits the agent refuses at once, and those who look after it get through."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.agent import PATIENCE, Agent, running, served_agent

IN_HAND = 16
MANY = 100  # connections, each with one request
URGENT = 5
BURST = 4


@pytest.fixture
def limited(folder: Path) -> Iterator[Agent]:
    """An open agent with room for few requests and few failures: one process, which can stand."""
    limits = {
        "in_hand": IN_HAND,
        "max_delay": "1ns",
        "failures": {"per_second": 0.001, "burst_size": BURST},
    }
    encryption = {"key_management": "file", "key_file": f"{folder}/root.key"}
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1}
    agent = served_agent(folder, {"limits": limits, "encryption": encryption, "server": server})
    with running(agent):
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        agent.token = made.json["root_token"]
        body = {"type": "kv", "options": {"version": "2"}}
        assert agent.call("POST", "/v1/sys/mounts/secret", body).status == 204
        assert agent.call("POST", "/v1/secret/data/a", {"data": {"a": 1}}).status == 200
        yield agent


def at_once(agent: Agent, paths: list[str]) -> list[bytes]:
    """Ask on a connection each, all while the agent is held up; what it says to each."""
    assert agent.process is not None
    request = (
        f"HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: {agent.token}\r\nConnection: close\r\n\r\n"
    )
    with ExitStack() as stack:
        wires = [
            stack.enter_context(socket.create_connection(("127.0.0.1", agent.port), PATIENCE))
            for _ in paths
        ]
        while agent.call("GET", "/health/live").status != 200:
            pass  # all are accepted once this later one is
        os.kill(agent.process.pid, signal.SIGSTOP)
        try:
            for wire, path in zip(wires, paths, strict=True):
                wire.sendall(f"GET {path} {request}".encode())
        finally:
            os.kill(agent.process.pid, signal.SIGCONT)
        return [_all_of(wire) for wire in wires]


def _all_of(wire: socket.socket) -> bytes:
    said = b""
    while more := wire.recv(65536):
        said += more
    return said


def test_a_crowd_is_turned_away_and_operators_are_not(limited: Agent) -> None:
    """A burst: as many as may be are answered, the rest hear when to come back, health always."""
    paths = ["/v1/secret/data/a", "/api/v1/secrets/secret/a"] * (MANY // 2)
    paths += ["/v1/sys/health"] * URGENT
    said = at_once(limited, paths)
    statuses = [answer[9:12].decode() for answer in said]
    assert set(statuses[-URGENT:]) == {"200"}
    seen = Counter(statuses[:MANY])
    assert seen.keys() == {"200", "503"}
    assert seen["200"] >= IN_HAND - URGENT  # whose places they may have when they come first
    refused = [one for one in said if one.startswith(b"HTTP/1.1 503")]
    assert all(b"retry-after: 1\r\n" in one for one in refused)
    assert any(b'{"errors":["too many requests' in one for one in refused)
    assert any(b'"code":"overloaded"' in one for one in refused)
    metrics = limited.call("GET", "/metrics").body.decode()
    assert f"vault_requests_shed_total {float(len(refused))}" in metrics
    assert limited.call("GET", "/v1/secret/data/a").status == 200


def test_failures_are_on_record_at_a_pace(limited: Agent) -> None:
    """Beyond the burst they hear 429 and share one record; who is known gets in all the while."""
    statuses = [
        limited.call("GET", "/v1/secret/data/a", token="s.wrong").status for _ in range(2 * BURST)
    ]
    assert statuses == [403] * BURST + [429] * BURST
    assert limited.call("GET", "/v1/secret/data/a").status == 200
    limited.stop()
    log = limited.audit_log.read_text()
    assert log.count('"code":"unauthenticated"') == BURST
    assert log.count(f"{BURST} refusals, 1 addresses") == 1
    assert limited.verify().returncode == 0
