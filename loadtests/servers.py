"""The two servers under comparison, each a process with TLS, file audit and durable storage.

Both listen on loopback on a port that the kernel chose, in a temporary folder, and are stopped and
waited for at the end.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

SECRET_PATH = "bench/small"
VALUE = {"username": "app", "password": "correct horse battery staple"}
READY_WITHIN = 60.0  # seconds
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """A running server: where, with which token to read, and where its audit log grows."""

    name: str
    port: int
    token: str  # not root: it may read and write under the path, nothing else
    audit_log: Path
    pid: int

    @property
    def read_url(self) -> str:
        """A KV v2 read of one small secret."""
        return f"https://127.0.0.1:{self.port}/v1/secret/data/{SECRET_PATH}"

    def resident_kib(self) -> int:
        """Resident memory of the server's process in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(
            next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        )

    def audit_lines(self) -> int:
        """Lines that the audit log holds now, in the files that were rotated away too."""
        closed = self.audit_log.parent.glob(f"{self.audit_log.name}.[0-9]*")
        return sum(_lines(path) for path in (self.audit_log, *closed))


def _lines(path: Path) -> int:
    with path.open("rb") as log:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: log.read(1 << 20), b""))


class Api:
    """A few calls of the Vault API, enough to set a server up."""

    def __init__(self, port: int, ca: Path) -> None:
        self.base = f"https://127.0.0.1:{port}"
        self.token = ""
        self._tls = ssl.create_default_context(cafile=str(ca))

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer. Raises `urllib.error.HTTPError` for an error status."""
        request = urllib.request.Request(  # noqa: S310  # the scheme is fixed above
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self._tls, timeout=30) as reply:  # noqa: S310
            text = reply.read()
        return json.loads(text) if text else None

    def wait_listening(self) -> None:
        """Until the server answers at all."""
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            try:
                self.call("GET", "/v1/sys/health")
            except urllib.error.HTTPError:
                return  # sealed or uninitialised is an answer too
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(f"{self.base} did not answer within {READY_WITHIN} s")

    def initialise(self) -> None:
        """Initialise and unseal; keeps the root token."""
        made = self.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.token = made["root_token"]
        self.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]})
        end = time.monotonic() + READY_WITHIN
        while time.monotonic() < end:
            with suppress(urllib.error.HTTPError):
                self.call("GET", "/v1/sys/health")
                return
            time.sleep(0.1)
        raise TimeoutError("the server did not become active after the unseal")


@contextmanager
def openbao(folder: Path) -> Iterator[Server]:
    """OpenBao with raft storage, TLS and a file audit device: what a user would run instead."""
    ca, cert = _certificates(folder)
    port, cluster = _free_port(), _free_port()
    (folder / "raft").mkdir()
    config = folder / "bao.hcl"
    log = folder / "audit.log"
    config.write_text(
        f"""
storage "raft" {{ path = "{folder}/raft" node_id = "n1" }}
listener "tcp" {{ address = "127.0.0.1:{port}" tls_cert_file = "{cert}" tls_key_file = "{cert}" }}
audit "file" "bench" {{ options = {{ file_path = "{log}" }} }}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
"""
    )
    with _process([str(BIN / "bao"), "server", f"-config={config}"], folder) as pid:
        api = Api(port, ca)
        api.wait_listening()
        api.initialise()
        api.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        rules = '{"path":{"secret/*":{"capabilities":["create","read","update","list"]}}}'
        _retry(lambda: api.call("PUT", "/v1/sys/policies/acl/bench", {"policy": rules}))
        yield _ready("openbao", api, port, log, pid)


@contextmanager
def freehold(folder: Path, *, durability: str = "fsync") -> Iterator[Server]:
    """Freehold as `agent serve` runs it: SQLite, TLS, file audit."""
    ca, cert = _certificates(folder)
    port = _free_port()
    log = folder / "audit.log"
    config = folder / "vault.yaml"
    config.write_text(
        f"""
server:
  listen: 127.0.0.1:{port}
  tls: {{enabled: true, cert_file: {cert}, key_file: {cert}}}
storage: {{type: sqlite, connection_string: "sqlite:////{folder}/vault.db"}}
encryption: {{key_management: shamir}}
audit: {{enabled: true, log_file: {log}, durability: {durability}}}
"""
    )
    with _process(
        [str(BIN / "freehold"), "agent", "serve", "--config", str(config)], folder
    ) as pid:
        api = Api(port, ca)
        api.wait_listening()
        api.initialise()
        api.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        rule = {
            "effect": "allow",
            "paths": ["secret/*"],
            "capabilities": ["create", "read", "update", "list"],
        }
        api.call("PUT", "/api/v1/policies/bench", {"rules": [rule]})
        yield _ready("freehold", api, port, log, pid)


def _ready(name: str, api: Api, port: int, log: Path, pid: int) -> Server:
    _retry(lambda: api.call("POST", f"/v1/secret/data/{SECRET_PATH}", {"data": VALUE}))
    made = api.call("POST", "/v1/auth/token/create", {"policies": ["bench"], "ttl": "8h"})
    return Server(name, port, made["auth"]["client_token"], log, pid)


def _retry(call: Any) -> Any:
    """OpenBao answers 400 or 500 for a moment while a new mount or leader settles."""
    for _ in range(50):
        with suppress(urllib.error.HTTPError):
            return call()
        time.sleep(0.2)
    return call()


def _certificates(folder: Path) -> tuple[Path, Path]:
    authority = trustme.CA()
    ca, cert = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(cert)
    )
    cert.chmod(0o600)
    return ca, cert


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[int]:
    with (folder / "server.out").open("wb") as out:
        server = subprocess.Popen(  # noqa: S603  # our own command
            command, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=os.environ.copy()
        )
        try:
            yield server.pid
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
