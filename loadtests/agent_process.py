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
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from loadtests.process import process_tree
from vault.store.sqlite import SqliteBackend

FREEHOLD = str(Path(sys.executable).parent / "freehold")
READY_WITHIN = 60.0  # seconds; a start takes one on an idle machine
STOPPED_WITHIN = 30.0  # seconds; more than the agent's own grace
PATIENCE = 60.0  # seconds for one answer
REPLACED_WITHIN = 60.0  # seconds until a worker that ended is replaced
ROOT_TOKEN = "root-of-the-test"
SEVERAL = 2  # workers, where the caller does not say how many
_ATTEMPTS = 200  # connections until each worker has one
_AT_ONCE = 20  # half of them go to either, if both are there: behind these, one is waited for


class AgentProcess(Protocol):
    """What is used of a `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises `TimeoutExpired`."""

    def send_signal(self, sig: signal.Signals) -> None:
        """Send the signal, if the process runs."""

    def kill(self) -> None:
        """Send SIGKILL."""


class AgentError(Exception):
    """The agent did not start, stop or answer; holds what it wrote."""


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

    def __init__(
        self,
        port: int,
        token: str,
        tls: ssl.SSLContext | None = None,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.token = token
        self._connection = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
            if tls is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=patience, context=tls)
        )

    @property
    def ports(self) -> tuple[int, int]:
        """The agent's port and this end's, of the open connection."""
        wire = self._connection.sock
        return wire.getpeername()[1], wire.getsockname()[1]

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
    port: int = 0
    told: str = ""  # what it said to systemd when it was ready
    process: AgentProcess | None = None
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

    def spawn(self, environment: Mapping[str, str]) -> AgentProcess:
        """Start the process and do not wait for it."""
        with self.output_file.open("ab") as out:
            return subprocess.Popen(  # noqa: S603 - our own command
                self.command, stdout=out, stderr=out, env=environment
            )

    def refused_start(self) -> str:
        """Start it where it must refuse; what it wrote. Raises `AgentError` when it starts."""
        self.output_file.write_bytes(b"")
        try:
            self.start()
        except AgentError as refused:
            return str(refused)
        self.kill()
        raise AgentError(f"it started: {self.output()}")

    def _await_port(self, manager: socket.socket, process: AgentProcess) -> int:
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
        command = [FREEHOLD, "audit", "verify", "--log", str(self.audit_log)]
        return subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

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


def dev_command(data: Path, workers: int) -> list[str]:
    """`agent dev` on a port of the kernel's choice."""
    return [
        FREEHOLD, "agent", "dev", "--listen", "127.0.0.1:0",
        "--data-dir", str(data), "--workers", str(workers),
    ]  # fmt: skip


def dev_agent(folder: Path, data: Path, *, workers: int = SEVERAL) -> Agent:
    """`agent dev`, not started: open, KV version 2 at `secret/`."""
    return Agent(folder, dev_command(data, workers), data=data, first=_place_dev)


def served_command(folder: Path, config: Mapping[str, Any], workers: int = SEVERAL) -> list[str]:
    """`agent serve` with Shamir and without TLS; `config` replaces whole sections."""
    settings: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "storage": {"type": "sqlite", "connection_string": f"sqlite:///{folder}/vault.db"},
        "encryption": {"key_management": "shamir"},
        "audit": {"enabled": True, "log_file": f"{folder}/audit.log"},
        **config,
    }
    settings["server"] = {"workers": workers, **settings["server"]}
    file = folder / "vault.yaml"
    file.write_text(json.dumps(settings))  # JSON is YAML
    return [FREEHOLD, "agent", "serve", "--config", str(file)]


def served_agent(folder: Path, config: Mapping[str, Any]) -> Agent:
    """`agent serve`, not started, on an empty database."""
    _place_database(folder)
    return Agent(folder, served_command(folder, config), token="", data=folder)


def _place_dev(data: Path) -> None:
    """An empty database and the root token, before a first start."""
    if not data.exists():
        _place_database(data)
    if not (token := data / "root-token").exists():
        write_token(token, ROOT_TOKEN)


def _place_database(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    backend = SqliteBackend(f"sqlite:///{folder}/vault.db")
    backend.open()
    backend.close()


def write_token(file: Path, token: str) -> None:
    """A file with a root token, as `agent dev` reads it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(token)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder that is gone afterwards, with its 1 MB logs and databases."""
    with tempfile.TemporaryDirectory(prefix="freehold-test-") as name:
        yield Path(name)


# --- workers --------------------------------------------------------------------------------------


def workers_of(agent: Agent) -> list[int]:
    """The worker processes: the leader's grandchildren."""
    if agent.process is None:
        return []
    leader = agent.process.pid
    return [
        pid for pid in process_tree(leader) if pid != leader and _parent(pid) not in {None, leader}
    ]


def await_open(agent: Agent) -> None:
    """Wait until all workers serve the vault by themselves: the unsealing waits for none."""
    expected = f"vault_workers_open {len(workers_of(agent))}.0"
    end = time.monotonic() + REPLACED_WITHIN
    while expected not in agent.call("GET", "/metrics").body.decode():
        if time.monotonic() > end:
            raise AgentError("a worker does not open the vault")
        time.sleep(0.05)


@contextmanager
def pinned(agent: Agent, token: str | None = None) -> Iterator[list[Client]]:
    """A connection to each worker, in the order of `workers_of`."""
    workers = workers_of(agent)
    found: dict[int, Client] = {}
    with ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            if attempt > _AT_ONCE:
                time.sleep(0.1)
            client = stack.enter_context(agent.client(token))
            client.call("GET", "/health/live")
            found.setdefault(server_of(client, workers), client)
            if len(found) == len(workers):
                break
        else:
            raise AgentError(f"some of {workers} take no connection")
        yield [found[pid] for pid in workers]


def server_of(client: Client, workers: list[int]) -> int:
    """Which of the processes has the other end of this connection."""
    inode = _inode(*client.ports)
    for pid in workers:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(fd.readlink()) == f"socket:[{inode}]":
                    return pid
            except FileNotFoundError:
                continue
    raise AgentError("none of the workers has this connection")


def await_workers(
    agent: Agent, without: int, count: int = 2, *, patience: float = REPLACED_WITHIN
) -> list[int]:
    """Wait until there are as many again, and the process `without` is none of them."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = workers_of(agent)
        if len(found) == count and without not in found:
            return found
        time.sleep(0.02)
    raise AgentError(f"the worker is not replaced: {agent.output()}")


def is_gone(pid: int) -> bool:
    """Whether a process ends within a time."""
    end = time.monotonic() + REPLACED_WITHIN
    while time.monotonic() < end:
        if has_ended(pid):
            return True
        time.sleep(0.02)
    return False


def has_ended(pid: int) -> bool:
    """Whether there is no such process, or one that is only to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}


def _inode(local_port: int, remote_port: int) -> int:
    """Of the agent's end of the connection between these ports (proc(5), /proc/net/tcp)."""
    ends = [f"{local_port:04X}", f"{remote_port:04X}"]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [end.rpartition(":")[2] for end in fields[1:3]] == ends:
            return int(fields[9])
    raise AgentError("no such connection")


def _parent(pid: int) -> int | None:
    """None: it has ended since it was found."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
