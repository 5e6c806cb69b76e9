"""One agent behind the gate with one client, for faults at chosen system calls of one operation."""

import http.client
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from loadtests.agent_process import (
    Agent,
    AgentError,
    Answer,
    Client,
    await_workers,
    pinned,
    served_agent,
    workers_of,
)
from loadtests.durability.faults.syscall_gate import Fault, SyscallGate
from loadtests.durability.history import Write
from loadtests.durability.operations import ClientOperation, Kind, record_answer
from loadtests.durability.process import KEPT_VERSIONS, run_this_code
from loadtests.durability.writers import send_write

NAME: Final = "secret/points/box"
HEALED_WITHIN: Final = 20.0  # seconds from a working disk to service; the longest back-off is 1 s
WARM: Final = 3  # times that each process does an operation before it does it as it always does
DEAD_WITHIN: Final = 20.0  # seconds until the kernel has taken a killed process apart
UNAVAILABLE: Final = {http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.INSUFFICIENT_STORAGE}
TYPED: Final = {"type", "code", "message", "request_id"}
FIRST_WRITES: Final = 20
OUTPUT_SHOWN: Final = 500  # characters of an agent's output
_RESERVE: Final = "audit.log.reserve"  # 64 MiB that say nothing; the agent takes them anew


T = TypeVar("T")


@dataclass(frozen=True)
class VaultSnapshot:
    """A vault that is down, to be copied: its data, its root token, what was written to it."""

    data: Path
    token: str
    writes: tuple[Write, ...]
    workers: int = 1  # of its agents; more than one are processes beside the first


class AgentHarness:
    """A copy of a vault, its agent behind a gate, and the history of the one client."""

    def __init__(
        self, folder: Path, gate: SyscallGate, vault: VaultSnapshot, program: Sequence[str] = ()
    ) -> None:
        self.gate = gate
        self.agent = _agent(folder, gate, vault.workers, program)
        self.agent.token = vault.token
        if vault.data.exists():
            shutil.copytree(vault.data, self.agent.data, ignore=lambda *_: {_RESERVE})
        self.writes = list(vault.writes)
        self.deeds: list[ClientOperation] = []
        self.reads: list[str] = []  # ids of those that were answered
        self._workers = vault.workers
        self.fault: Fault | None = None
        self._numbers = itertools.count(len(vault.writes))
        self._odd: list[str] = []

    def write(self, size: int = 0) -> bool:
        """Write once, `size` characters more than needed; whether it was acknowledged."""
        number = next(self._numbers)
        part = number // KEPT_VERSIONS  # a name that had more would lose its first ones
        name = f"{NAME}-{part}" if part else NAME
        exists = any(  # the native PUT does not create
            write.state == "ok" and write.name == name for write in self.writes
        )
        write = Write(name, f"{self.agent.data.parent.name}-{number}-{'x' * size}")
        self.writes.append(write)
        try:
            with self._client() as client:
                self._note(send_write(client, write, native=exists))
        except (OSError, http.client.HTTPException):
            return False
        return write.state == "ok"

    def request(self, method: str, path: str, body: object = None, **more: Any) -> Answer | None:
        """Any other request; None when nobody answers."""
        try:
            with self._client() as client:
                answer = client.call(method, path, body, **more)
        except (OSError, http.client.HTTPException):
            return None
        self._note(answer)
        return answer

    def read(self) -> None:
        """Ask for the value; who got it is on record."""
        answer = self.request("GET", f"/api/v1/secrets/{NAME}")
        if answer is not None and answer.status == http.HTTPStatus.OK:
            self.reads.append(answer.request_id)

    def warm(self) -> None:
        """The first time is unlike others: connections are opened, files begun, rows looked for."""
        for _ in range(WARM):
            self.write()
            with ExitStack() as stack:
                for client in self.connect_to_each(stack):
                    client.call("GET", f"/api/v1/secrets/{NAME}")
                    write = Write(f"{NAME}-warm-{len(self.writes)}", f"warm-{len(self.writes)}")
                    self.writes.append(write)
                    self._note(send_write(client, write, native=False))

    def connect_to_each(self, stack: ExitStack) -> list[Client]:
        """A connection to each process that answers, until the stack is closed."""
        if self._workers > 1:
            return stack.enter_context(pinned(self.agent))
        return [stack.enter_context(self._client())]

    def workers(self) -> list[int]:
        """The process ids of the workers that there are."""
        return workers_of(self.agent)

    def await_workers(self, without: int) -> list[int]:
        """The same once there are as many as there have to be and this one is none of them.

        In the end they are as they are.
        """
        wanted = self._workers if self._workers > 1 else 0
        with suppress(AgentError):
            await_workers(self.agent, without, wanted, patience=HEALED_WITHIN)
        return self.workers()

    def run_operation(self, kind: Kind, path: str) -> None:
        """A deed that the oracle is to know of."""
        deed = ClientOperation(kind, "")
        self.deeds.append(deed)
        answer = self.request("POST", path)
        if answer is not None:
            record_answer(deed, answer)
            if kind == "rotate" and deed.state == "ok":
                deed.target = str(answer.json["generation"])

    def take_unexpected(self) -> list[str]:
        """Answers since the last time that a fault does not excuse."""
        odd, self._odd = self._odd, []
        return odd

    def recover(self) -> list[str]:
        """The disk works again: a write is taken within a time, by the same agent."""
        end = time.monotonic() + HEALED_WITHIN
        while not (taken := self.write()):
            if self.is_dead():
                return [f"the agent died of it: {self.agent.output()[-OUTPUT_SHOWN:]}"]
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        if not taken or time.monotonic() > end:
            return [f"no write is taken {HEALED_WITHIN} s after the fault"]
        return []

    @contextmanager
    def while_hanging(self, act: Callable[[], T]) -> Iterator[Future[T]]:
        """Run `act` in another thread: for the block it hangs at the struck call, or is over."""
        with ThreadPoolExecutor(1) as other:
            acting = other.submit(act)
            while not acting.done() and not self.gate.wait_held(0.05):
                pass
            try:
                yield acting
            finally:
                self.gate.release()
            acting.result()

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self.agent.process is None or self.agent.process.poll() is not None

    def wait_dead(self) -> None:
        """Wait for a process that was killed. Raises `subprocess.TimeoutExpired`."""
        if self.agent.process is not None:
            self.agent.process.wait(DEAD_WITHIN)
        self.agent.kill()

    def start(self) -> list[str]:
        """Start it where it must start; what is wrong."""
        try:
            self.agent.start()
        except AgentError as error:
            return [f"it does not start again: {str(error)[-OUTPUT_SHOWN:]}"]
        return []

    def _client(self) -> Client:
        return self.agent.client()

    def _note(self, answer: Answer) -> None:
        if answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        told = json.loads(answer.body)
        typed = told.keys() >= TYPED or told.keys() == {"errors"}
        if answer.status not in UNAVAILABLE or not typed:
            self._odd.append(f"answered {answer.status} {answer.body!r}")


def make_vault(folder: Path, gate: SyscallGate, workers: int, *, cleanly: bool) -> VaultSnapshot:
    """A vault with some writes, its agent stopped (`cleanly`) or killed."""
    stage = AgentHarness(folder, gate, VaultSnapshot(folder / "none", "", (), workers))
    agent = stage.agent
    agent.start()
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    agent.token = made.json["root_token"]
    agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    agent.call("POST", "/v1/secret/config", {"max_versions": KEPT_VERSIONS})
    if not all(stage.write() for _ in range(FIRST_WRITES)):
        raise AgentError(f"a write was not taken: {agent.output()}")
    if cleanly:
        agent.stop()
    else:
        agent.kill()
    return VaultSnapshot(agent.data, agent.token, tuple(stage.writes), workers)


def new_folder(folder: Path, name: str) -> Path:
    """Made. Raises `FileExistsError`."""
    path = folder / name
    path.mkdir()
    return path


def _agent(folder: Path, gate: SyscallGate, workers: int, program: Sequence[str]) -> Agent:
    """Not started; `program` takes the place of the `freehold` command."""
    data = folder / "data"
    agent = served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
            "storage": {"type": "sqlite", "connection_string": f"sqlite:///{data}/vault.db"},
            "audit": {"log_file": f"{data}/audit.log", "rotation_size": "1MiB"},
            "encryption": {"key_management": "file", "key_file": f"{data}/root.key"},
        },
    )
    agent.data = data
    agent.command = gate.command([*(program or agent.command[:1]), *agent.command[1:]])
    run_this_code(agent)
    return agent
