"""What clients that ask for much and read nothing cost in memory, in each process of an agent.

`limits.answer_bytes` bounds the answers of a process from before a value is decrypted until the
client has it. Measured is the peak of the resident set (VmHWM, proc(5)), so no moment is missed.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.acceptance.agent import PATIENCE, Agent, own_folder, running, served_agent
from tests.acceptance.deaf import WIDE, Peaks, h2_requests, h2_wire
from tests.acceptance.serve.test_tls import Pki

MIB: Final = 1 << 20
VALUE: Final = 900_000  # bytes of each secret
SECRETS: Final = 24  # of which some are not cached
BUDGET: Final = 64 * MIB  # the least that can be set
MARGIN: Final = 128 * MIB  # what else a process takes: caches, buffers, tasks, the allocator
CONNECTIONS: Final = 20
STREAMS: Final = 100
HOLD: Final = 4.0  # seconds in which the attack is measured
PAUSE: Final = 0.1  # seconds between two requests of somebody else


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def furnished_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    """An agent behind TLS with large secrets and little room for answers. It is down."""
    with own_folder() as folder:
        pki = Pki(folder)
        config = pki.config(
            encryption={"key_management": "file", "key_file": f"{folder}/root.key"},
            limits={"answer_bytes": f"{BUDGET // MIB}MiB"},
            cache={"max_size": "4MiB"},
        )
        config["server"]["workers"] = request.param
        agent = served_agent(folder, config)
        agent.tls = pki.context()
        with running(agent):
            made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
            agent.token = made.json["root_token"]
            body = {"type": "kv", "options": {"version": "2"}}
            assert agent.call("POST", "/v1/sys/mounts/secret", body).status == 204
            with agent.client() as client:
                for number in range(SECRETS):
                    value = {"data": {"large": f"{number:03d}" * (VALUE // 3)}}
                    path = f"/v1/secret/data/large-{number}"
                    assert client.call("POST", path, value).status == 200
                assert (
                    client.call("POST", "/v1/secret/data/small", {"data": {"a": 1}}).status == 200
                )
        yield agent


def token_of(agent: Agent) -> dict[str, str]:
    """The root token, as a header."""
    return {"x-vault-token": agent.token}


def many_streams(agent: Agent, stack: ExitStack, window: int) -> None:
    """20 connections with 100 streams each, that read nothing."""
    paths = [f"/v1/secret/data/large-{number % SECRETS}" for number in range(STREAMS)]
    for _ in range(CONNECTIONS):
        h2_wire(agent, stack).sendall(h2_requests(paths, window, token_of(agent)))


def window_of_nothing(agent: Agent, stack: ExitStack) -> None:
    """Not a byte of an answer may be sent."""
    many_streams(agent, stack, 0)


def endless_windows(agent: Agent, stack: ExitStack) -> None:
    """All may be sent, and nobody reads the socket."""
    many_streams(agent, stack, WIDE)


def many_connections(agent: Agent, stack: ExitStack) -> None:
    """HTTP/1.1: 300 connections with a request each."""
    assert agent.tls is not None
    for number in range(300):
        sock = socket.create_connection(("127.0.0.1", agent.port), PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        wire = stack.enter_context(agent.tls.wrap_socket(sock, server_hostname="127.0.0.1"))
        head = f"GET /v1/secret/data/large-{number % SECRETS} HTTP/1.1\r\nHost: a\r\n"
        wire.sendall(f"{head}X-Vault-Token: {agent.token}\r\n\r\n".encode())


def batches(agent: Agent, stack: ExitStack) -> None:
    """Batch reads: 64 at a time, each of more than one answer may hold."""
    names = [f"secret/large-{number % SECRETS}" for number in range(100)]
    body = json.dumps({"names": names}).encode()
    for _ in range(4):
        paths = ["/api/v1/batch/read"] * 16
        h2_wire(agent, stack).sendall(h2_requests(paths, 0, token_of(agent), body))


def limited_token(agent: Agent, stack: ExitStack) -> None:
    """A token of limited use: of several processes only the leader may count its uses."""
    body = {"num_uses": 1_000_000, "policies": ["root"]}
    made = agent.call("POST", "/v1/auth/token/create", body).json
    paths = [f"/v1/secret/data/large-{number % SECRETS}" for number in range(STREAMS)]
    for _ in range(CONNECTIONS):
        said = h2_requests(paths, 0, {"x-vault-token": made["auth"]["client_token"]})
        h2_wire(agent, stack).sendall(said)


ATTACKS: Final[list[Callable[[Agent, ExitStack], None]]] = [
    window_of_nothing, endless_windows, many_connections, batches, limited_token,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_clients_that_do_not_read_are_bounded(
    furnished_agent: Agent, attack: Callable[[Agent, ExitStack], None]
) -> None:
    """No process takes more than its budget for answers and what it needs beside.

    Meanwhile others are served: what is small at once, what is large when there is room.
    """
    agent = furnished_agent
    # Each has processes of its own: what the allocator keeps of one attack would hide the next.
    with running(agent), ExitStack() as stack:
        peaks = Peaks(agent)
        attack(agent, stack)
        began = time.monotonic()
        status = 0
        while (held := time.monotonic() - began) < HOLD or status != 200:
            assert held < PATIENCE
            time.sleep(PAUSE)
            status = agent.call("GET", "/v1/secret/data/small").status
            assert status in {200, 503}  # refused while the crowd that came at once is sorted out
        grown = peaks.grown()
        while (large := agent.call("GET", "/v1/secret/data/large-1")).status == 503:
            assert time.monotonic() - began < PATIENCE
            time.sleep(PAUSE)
    assert grown < BUDGET + MARGIN
    assert (large.status, len(large.body) > VALUE) == (200, True)
