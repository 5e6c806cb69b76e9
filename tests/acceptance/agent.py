"""The real agent as a process of its own: started on a port of the kernel's choice, and stopped.

It tells its port through systemd's readiness protocol, so nothing guesses a free one.
"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tests.acceptance.command import FREEHOLD, freehold
from tests.acceptance.maker import Kind, Made, is_at_home, maker
from tests.newest import place_vault
from tests.support.databases import SERVERS

if TYPE_CHECKING:
    import pytest

READY_WITHIN = 60.0  # seconds; a start takes one on an idle machine
STOPPED_WITHIN = 30.0  # seconds; more than the agent's own grace
PATIENCE = 60.0  # seconds for one answer
ROOT_TOKEN = "root-of-the-test"
SEVERAL = 2  # workers, where a test does not say how many


class AgentError(Exception):
    """The agent did not do what every test takes for granted; holds what it wrote."""


@dataclass(frozen=True)
class Answer:
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body, None for an empty one."""
        return json.loads(self.body) if self.body else None

    @property
    def request_id(self) -> str:
        """What the audit log knows this request by."""
        return self.headers["x-request-id"]


class Client:
    """One connection. Raises `OSError` or `http.client.HTTPException` when it breaks."""

    def __init__(self, port: int, token: str, tls: ssl.SSLContext | None = None) -> None:
        self.token = token
        self._connection = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            if tls is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=tls)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; bytes go as they are, everything else as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        secret = self.token if token is None else token
        told = {"Authorization": f"Bearer {secret}" if secret else "", **(headers or {})}
        self._connection.request(method, path, content, {k: v for k, v in told.items() if v})
        reply = self._connection.getresponse()
        fields: dict[str, str] = {}
        for name, value in reply.getheaders():  # of several, each on a line
            key = name.lower()
            fields[key] = f"{fields[key]}\n{value}" if key in fields else value
        return Answer(reply.status, fields, reply.read())


@dataclass
class Agent:
    """One agent on one folder; it can be started again after it ended."""

    folder: Path
    command: list[str]
    token: str = ROOT_TOKEN
    tls: ssl.SSLContext | None = None
    data: Path = Path()
    environment: dict[str, str] = field(default_factory=dict)
    first: Callable[[Path], object] | None = None  # prepares `data` before a start
    anew: bool = False  # each process by itself, as a user starts it
    kind: ClassVar[Kind] = "agent"
    port: int = 0
    told: str = ""  # what it said to systemd when it was ready
    process: subprocess.Popen[bytes] | Made | None = None
    manager: socket.socket | None = None  # stands for systemd

    @property
    def output_file(self) -> Path:
        """Where stdout and stderr of every start are kept."""
        return self.folder / "agent.out"

    @property
    def audit_log(self) -> Path:
        """The active audit log."""
        return self.data / "audit.log"

    @property
    def database(self) -> Path:
        """The database file."""
        return self.data / "vault.db"

    @property
    def address(self) -> str:
        """Its URL."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def output(self) -> str:
        """All that it printed so far."""
        return self.output_file.read_text(errors="replace")

    def start(self) -> None:
        """Start it and return when it listens. Raises `AgentError` when it ends instead."""
        if self.first is not None:
            self.first(self.data)
        name = f"freehold-test-{os.getpid()}-{id(self)}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "NOTIFY_SOCKET": f"@{name}",
            **self.environment,
        }
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(f"\0{name}")
        self.process = self.spawn(environment)
        self.port = self._await_port(self.manager, self.process)

    def spawn(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | Made:
        """The process alone; of a plain command made by `maker`."""
        is_plain = self.command[0] == FREEHOLD and not self.environment and not self.anew
        with self.output_file.open("ab") as out:
            if is_plain and is_at_home():
                return maker(self.kind).make(self.command, environment, out)
            return subprocess.Popen(self.command, stdout=out, stderr=out, env=environment)

    def refused_start(self) -> str:
        """Start it where it must refuse; what it wrote. Raises `AgentError` when it starts."""
        self.output_file.write_bytes(b"")
        try:
            self.start()
        except AgentError as refused:
            return str(refused)
        self.kill()
        raise AgentError(f"it started: {self.output()}")

    def _await_port(self, manager: socket.socket, process: subprocess.Popen[bytes] | Made) -> int:
        manager.settimeout(0.1)
        for _ in range(int(READY_WITHIN / 0.1)):
            try:
                told = manager.recv(4096).decode()
            except TimeoutError:
                if process.poll() is None:
                    continue
                self.kill()
                raise AgentError(self.output()) from None
            self.told = told
            return int(told.partition("listening on port ")[2].partition(",")[0])
        self.kill()
        raise AgentError(f"not ready within {READY_WITHIN} s: {self.output()}")

    def client(self, token: str | None = None) -> Client:
        """A new connection, with the root token unless told otherwise."""
        return Client(self.port, self.token if token is None else token, self.tls)

    def call(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.call(method, path, body, **more)

    def exchange(self, raw: bytes) -> Answer:
        """Send bytes as they are; the answer, once the agent closes.

        It may close before it has read everything, and what it said then is what counts.
        """
        said = bytearray()
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as wire:
            with suppress(ConnectionError):
                wire.sendall(raw)
            with suppress(ConnectionError):
                while more := wire.recv(65536):
                    said += more
        head, _, body = bytes(said).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        return Answer(int(status.split()[1]), {k.lower(): v for k, v in fields.items()}, body)

    def resident(self) -> int:
        """Bytes of memory that the process holds."""
        if self.process is None:
            return 0
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing in the process runs any more."""
        self._end(signal.SIGKILL)

    def strike(self) -> None:
        """SIGKILL from another thread, while this one waits in `start`."""
        if self.process is not None:
            self.process.kill()

    def verify(self) -> subprocess.CompletedProcess[str]:
        """`freehold audit verify` on its log."""
        return freehold("audit", "verify", "--log", str(self.audit_log), anew=self.anew)

    def _end(self, with_signal: signal.Signals) -> int:
        process, self.process = self.process, None
        manager, self.manager = self.manager, None
        if process is None or manager is None:
            return 0
        with manager:
            process.send_signal(with_signal)
            try:
                return process.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AgentError(f"did not stop: {self.output()}") from None


class _Form:
    workers = SEVERAL
    database: Callable[[], str] | None = None


@contextmanager
def serving(workers: int, database: Callable[[], str] | None = None) -> Iterator[None]:
    """Agents that are made within the block have so many workers, unless told otherwise.

    `database` makes the URL of an empty database for each, on a server; None: they have a file.
    """
    before = _Form.workers, _Form.database
    _Form.workers, _Form.database = workers, database
    try:
        yield
    finally:
        _Form.workers, _Form.database = before


@contextmanager
def in_form(request: "pytest.FixtureRequest") -> Iterator[int]:
    """Agents as the fixture's parameter says: so many workers, or one and a kind of server."""
    if request.param not in SERVERS:
        with serving(request.param):
            yield request.param
        return
    with serving(1, request.getfixturevalue(request.param)):
        yield 1


def dev_agent(folder: Path, data: Path | None = None, *, workers: int | None = None) -> Agent:
    """`agent dev`, not started: open, KV version 2 at `secret/`."""
    data = data or folder / "data"
    command = [
        FREEHOLD, "agent", "dev", "--listen", "127.0.0.1:0",
        "--data-dir", str(data), "--workers", str(workers or _Form.workers),
    ]  # fmt: skip
    if _Form.database is not None:
        command += ["--database", _Form.database()]
    return Agent(folder, command, data=data, first=_place_dev)


def _place_dev(data: Path) -> None:
    """What is slow to make, before a first start; the root token, unless there is one."""
    if not data.exists():
        place_vault(data)
    if not (token := data / "root-token").exists():
        write_token(token, ROOT_TOKEN)


def write_token(file: Path, token: str) -> None:
    """A file with a root token, as `agent dev` reads it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(token)


def served_agent(folder: Path, config: Mapping[str, Any] | None = None) -> Agent:
    """`agent serve` with Shamir and without TLS, not started; `config` replaces whole sections.

    A `server` that does not say how many workers serve has as many as others (`serving`).
    """
    settings: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "storage": _storage(folder),
        "encryption": {"key_management": "shamir"},
        "audit": {"enabled": True, "log_file": f"{folder}/audit.log"},
        **(config or {}),
    }
    settings["server"] = {"workers": _Form.workers, **settings["server"]}
    place_vault(folder)
    file = folder / "vault.yaml"
    file.write_text(json.dumps(settings))  # JSON is YAML
    return Agent(folder, [FREEHOLD, "agent", "serve", "--config", str(file)], token="", data=folder)


def _storage(folder: Path) -> dict[str, str]:
    url = f"sqlite:///{folder}/vault.db" if _Form.database is None else _Form.database()
    return {"type": url.partition(":")[0], "connection_string": url}


@contextmanager
def running(agent: Agent) -> Iterator[Agent]:
    """The agent, started, for the length of the block; what it left running is stopped."""
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder that is gone afterwards, with its 1 MB logs and databases."""
    with tempfile.TemporaryDirectory(prefix="freehold-test-") as name:
        yield Path(name)
