"""Two agents behind HAProxy or nginx, by the files under `deploy`."""

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from json import dumps, loads
from pathlib import Path
from typing import Any, Final, Self

import trustme

from loadtests.process import free_port
from tests.acceptance.agent import PATIENCE, Agent, running, served_agent
from tests.acceptance.workers.waiting import await_true

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
NAME: Final = "vault.example.com"
PROXY: Final = "127.0.0.1"  # connections of the balancer come from here
DIRECT: Final = "127.0.0.3"
CLIENT: Final = "127.0.0.9"
SECRET: Final = "/v1/secret/data/app"
BROKEN: Final = (OSError, http.client.HTTPException)


class Connection:
    """A client's connection over TLS, which it opens from an address of its own."""

    def __init__(self, port: int, tls: ssl.SSLContext, token: str, source: str) -> None:
        self.content = b""  # of the last answer
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._wire = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE, context=tls, source_address=(source, 0)
        )

    def call(self, method: str = "GET", path: str = SECRET, body: object = None) -> tuple[int, str]:
        """Status and request id. Raises one of `BROKEN`."""
        content = None if body is None else dumps(body)
        self._wire.request(method, path, content, self._headers)
        reply = self._wire.getresponse()
        self.content = reply.read()
        return reply.status, reply.headers["x-request-id"]

    def close(self) -> None:
        """Close it; the next call opens another one."""
        self._wire.close()


@dataclass
class Cluster:
    """Agents of the same content, and the port at which a balancer is to stand before them."""

    folder: Path
    port: int
    tls: ssl.SSLContext
    agents: list[Agent] = field(default_factory=list)
    token: str = ""

    def connect(self, source: str = CLIENT) -> Connection:
        """A connection to the balancer."""
        return Connection(self.port, self.tls, self.token, source)

    def direct(
        self, agent: Agent, method: str, path: str, body: object = None, source: str = DIRECT
    ) -> tuple[int, bytes]:
        """Status and body of a request to an agent, past the balancer."""
        connection = Connection(agent.port, self.tls, self.token, source)
        try:
            return connection.call(method, path, body)[0], connection.content
        finally:
            connection.close()

    def read(self, source: str = CLIENT) -> tuple[int, str]:
        """Read the secret on a new connection: status and request id."""
        connection = self.connect(source)
        try:
            return connection.call()
        finally:
            connection.close()

    def served_by(self, request_id: str) -> tuple[Agent, str]:
        """The agent whose audit log has the request, and the client's address in its record."""
        for agent in self.agents:
            for line in agent.audit_log.read_text().splitlines():
                if request_id in line:
                    return agent, str(loads(line)["body"]["ip"])
        raise AssertionError(f"no agent has a record of {request_id}")

    def serving(self, count: int = 8) -> list[int]:
        """The numbers of the agents that answer so many new connections; all read the secret."""
        answers = [self.read() for _ in range(count)]
        assert {status for status, _ in answers} == {200}
        return sorted({self.agents.index(self.served_by(found)[0]) for _, found in answers})


def settings(folder: Path, port: int, certificate: Path, workers: int) -> dict[str, Any]:
    """Of an agent on this port that believes the balancer."""
    tls = {"enabled": True, "cert_file": str(certificate), "key_file": str(certificate)}
    proxies = {"addresses": [PROXY], "header": "proxy-protocol"}
    listen = f"127.0.0.1:{port}"
    server = {"listen": listen, "tls": tls, "proxies": proxies, "workers": workers}
    key = {"key_management": "file", "key_file": f"{folder}/root.key"}
    return {"server": server, "encryption": key}


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Two agents with a secret. Beside them `deploy` names a third, which is never there."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    certificate = folder / "server.pem"
    certificate.touch(mode=0o600)
    issued = authority.issue_cert(NAME, "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    port = free_port((0, 1, 2, 3))
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    made = Cluster(folder, port, tls)
    first, second = folder / "agent-1", folder / "agent-2"
    one = served_agent(first, settings(first, port + 1, certificate, 2))
    with running(one):
        asked = {"secret_shares": 1, "secret_threshold": 1}
        made.token = loads(made.direct(one, "PUT", "/v1/sys/init", asked)[1])["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        assert made.direct(one, "POST", "/v1/sys/mounts/secret", mount)[0] == 204
        assert made.direct(one, "POST", SECRET, {"data": {"a": 1}})[0] == 200
    shutil.copytree(first, second)
    two = served_agent(second, settings(second, port + 2, certificate, 1))
    made.agents = [one, two]
    with running(one), running(two):
        yield made
        for agent in made.agents:
            assert "Traceback" not in agent.output()
            # By one test, and by no health check.
            assert agent.output().count("proxy_header_refused") <= 1


# The balancers.


def as_deployed(name: str, cluster: Cluster, replaced: Mapping[str, str]) -> Path:
    """The file under `deploy` with other addresses and paths: each of them has to be there."""
    text = (DEPLOY / name).read_text()
    ours = {f"10.0.0.1{number}:8200": f"127.0.0.1:{cluster.port + number}" for number in (1, 2, 3)}
    for old, new in {**ours, **replaced}.items():
        assert old in text, old
        text = text.replace(old, new)
    made = cluster.folder / name
    made.write_text(text)
    return made


def haproxy_file(cluster: Cluster) -> Path:
    """Of HAProxy."""
    folder = cluster.folder
    paths = {
        "/etc/haproxy/freehold-ca.crt": f"{folder}/ca.crt",
        "/dev/log": f"{folder}/log.sock",
        "/run/haproxy/admin.sock": f"{folder}/admin.sock",
        "maxconn 20000": "maxconn 200",  # as many descriptors as any machine grants
        "bind :8200": f"bind 127.0.0.1:{cluster.port}",
    }
    users = {} if os.geteuid() == 0 else {"    user haproxy\n    group haproxy\n": ""}
    return as_deployed("haproxy.cfg", cluster, paths | users)


def nginx_file(cluster: Cluster) -> Path:
    """Of nginx."""
    folder = cluster.folder
    paths = {
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx/error.log": f"{folder}/error.log",
        "listen 8200": f"listen 127.0.0.1:{cluster.port}",
    }
    users = {} if os.geteuid() == 0 else {"user www-data;\n": ""}
    return as_deployed("nginx.conf", cluster, paths | users)


def commands(kind: str, cluster: Cluster) -> tuple[list[str], list[str]]:
    """To run it in the foreground, and to check its file."""
    if kind == "haproxy":
        base = ["haproxy", "-f", str(haproxy_file(cluster))]
        return [*base, "-db"], [*base, "-c", "-V"]
    base = ["nginx", "-e", f"{cluster.folder}/error.log", "-c", str(nginx_file(cluster))]
    return [*base, "-g", "daemon off;"], [*base, "-t"]


def check(kind: str, cluster: Cluster) -> subprocess.CompletedProcess[str]:
    """What it says of its file."""
    command = commands(kind, cluster)[1]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@contextmanager
def balancer(kind: str, cluster: Cluster) -> Iterator[Cluster]:
    """`haproxy` or `nginx`, in front of the agents, for the length of the block."""
    with (cluster.folder / f"{kind}.out").open("ab") as out:
        process = subprocess.Popen(commands(kind, cluster)[0], stdout=out, stderr=out)
    try:
        await_true(lambda: _accepts(cluster.port) or process.poll() is not None)
        assert process.poll() is None, (cluster.folder / f"{kind}.out").read_text()
        if kind == "haproxy":  # which takes all for ready until it has checked them
            await_true(lambda: "DOWN" in state_at_haproxy(cluster, "agent-3"))
        yield cluster
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


def command_haproxy(cluster: Cluster, command: str) -> str:
    """Its answer on the admin socket."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(f"{cluster.folder}/admin.sock")
        wire.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: wire.recv(4096), b"")).decode()


def state_at_haproxy(cluster: Cluster, server: str) -> str:
    """UP or DOWN, and how many checks say so."""
    rows = command_haproxy(cluster, "show stat").splitlines()
    names = rows[0].removeprefix("# ").split(",")
    found = [dict(zip(names, row.split(","), strict=False)) for row in rows[1:]]
    return next(row["status"] for row in found if row["svname"] == server)


class Load:
    """Clients that read all the time, until the block ends: each on one connection, or on new ones.

    A connection that breaks counts as an error, and is replaced.
    """

    CLIENTS: Final = 4

    def __init__(self, cluster: Cluster, *, keep_alive: bool) -> None:
        self._cluster = cluster
        self._keep_alive = keep_alive
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(self.CLIENTS)]
        self.statuses: list[int] = []
        self.errors: list[Exception] = []

    def _read(self) -> None:
        connection = self._cluster.connect()
        while not self._over.is_set():
            try:
                self.statuses.append(connection.call()[0])
            except BROKEN as error:
                self.errors.append(error)
                connection.close()
            if not self._keep_alive:
                connection.close()
        connection.close()

    def await_more(self, count: int = 40) -> None:
        """Until so many more are answered."""
        goal = len(self.statuses) + count
        await_true(lambda: len(self.statuses) >= goal)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
