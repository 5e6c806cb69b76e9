"""Clients of all agents at once: they write, read and list, and note each request.

Half of the clients stay with an agent, the others go from one to the next: a write through one
agent is often read through another one at once.
"""

import http.client
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

from loadtests.agent_process import AgentError, Answer, Client
from loadtests.consistency.history import Kind, Operation, State

CLIENTS: Final = 6
SECRETS: Final = 8  # that all clients write at a time
GENERATION: Final = 2000  # operations, after which there are other ones
PATIENCE: Final = 4.0  # seconds for an answer; then its outcome is unknown
ANSWERED_WITHIN: Final = 30.0  # seconds, when all is over
PAUSE: Final = 0.05  # seconds, when an agent is not there
MISSING: Final = HTTPStatus.NOT_FOUND
_SHARES: Final[dict[Kind, int]] = {
    "write": 35, "read": 45, "metadata": 5, "list": 5, "create": 5, "erase": 5,
}  # fmt: skip


class Agents(Protocol):
    """What clients connect to."""

    token: str

    @property
    def ports(self) -> list[int]:
        """Of each agent, as it is now."""

    def new_folder(self) -> str:
        """Of secrets that nobody else writes."""


@dataclass
class Load:
    """Clients at work, and what they did."""

    agents: Agents
    count: int = CLIENTS
    seed: int = 0
    limit: int = 1 << 62  # operations
    pause: float = 0.0  # seconds that each client waits between two operations
    folder: str = ""
    histories: list[list[Operation]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def history(self) -> list[Operation]:
        """All that was asked."""
        return [one for history in self.histories for one in history]

    def start(self) -> None:
        """Begin."""
        self.folder = self.agents.new_folder()
        for number in range(self.count):
            history: list[Operation] = []
            self.histories.append(history)
            client = _Client(self, number, history)
            self._threads.append(threading.Thread(target=client.run))
            self._threads[-1].start()

    def wait(self, within: float | None = None) -> None:
        """Until the limit is reached, or it is told to stop; after so many seconds it is."""
        end = None if within is None else time.monotonic() + within
        try:
            for thread in self._threads:
                thread.join(None if end is None else max(0.0, end - time.monotonic()))
        finally:
            self.stopping.set()
        for thread in self._threads:
            thread.join()

    def next_number(self) -> int:
        """Of an operation; it names what is written."""
        return next(self._numbers)

    def since(self, moment: int, answers: Callable[[Operation], bool]) -> Iterator[Operation]:
        """Operations that were sent since this moment, and for which this holds."""
        for history in self.histories:
            for one in reversed(history):
                if one.invoked < moment - int(PATIENCE * 2e9):
                    break
                if one.invoked >= moment and answers(one):
                    yield one


@contextmanager
def running_load(load: Load) -> Iterator[Load]:
    """The clients work during the block."""
    load.start()
    try:
        yield load
    finally:
        load.stopping.set()
        load.wait()


class _Client:
    def __init__(self, load: Load, number: int, history: list[Operation]) -> None:
        self._load = load
        self._number = number
        self._history = history
        self._roams = number % 2 == 0
        self._chance = random.Random(f"{load.seed}/{number}")  # noqa: S311  # of a test
        self._wires: dict[int, tuple[int, Client]] = {}  # agent → its port, and a connection
        self._home = number % len(load.agents.ports)
        self._names: list[str] = []  # that it has created
        self._seen: dict[str, int] = {}  # versions

    def run(self) -> None:
        """Until it is enough."""
        kinds, weights = zip(*_SHARES.items(), strict=True)
        try:
            while not self._load.stopping.is_set():
                number = self._load.next_number()
                if number >= self._load.limit:
                    return
                generation = f"{self._load.folder}/g{number // GENERATION}"
                key = f"{generation}/k{self._chance.randrange(SECRETS)}"
                (kind,) = self._chance.choices(kinds, weights)
                if kind == "write":
                    self._do(Operation(self._number, self._place(), kind, key, 0, f"w{number}"))
                    if self._roams and self._chance.random() < 1 / 2:
                        self._do(Operation(self._number, self._place(), "read", key, 0))
                elif kind in {"read", "metadata"}:
                    self._do(Operation(self._number, self._place(), kind, key, 0))
                else:
                    self._use_names(kind, f"{generation}/n{self._number}", number)
                if self._load.pause:
                    self._load.stopping.wait(self._load.pause)
        finally:
            for _, wire in self._wires.values():
                wire.__exit__()

    def _place(self) -> int:
        if not self._roams:
            return self._home
        return self._chance.randrange(len(self._load.agents.ports))

    def _use_names(self, kind: Kind, folder: str, number: int) -> None:
        """In a folder for each client and generation, which others list, too."""
        if kind == "erase" and self._names:
            self._do(Operation(self._number, self._place(), kind, self._names.pop(), 0))
        elif kind == "list":
            folder = f"{folder.rpartition('/')[0]}/n{self._chance.randrange(self._load.count)}"
            self._do(Operation(self._number, self._place(), kind, folder, 0))
        else:
            name = f"{folder}/x{number}"
            self._do(Operation(self._number, self._place(), "create", name, 0, name))
            self._names.append(name)

    def _do(self, one: Operation) -> None:
        if one.kind == "write" and self._chance.random() < 1 / 4:
            one.expected = self._seen.get(one.key, 0)
        wire: Client | None = None
        try:
            wire = self._wire(one.agent)
            one.invoked = time.monotonic_ns()
            self._history.append(one)
            answer = _send(wire, one, native=self._chance.random() < 1 / 2)
            moment = time.monotonic_ns()
        except (OSError, http.client.HTTPException):
            if one.kind not in {"write", "create", "erase"}:
                one.state = "unavailable"
            if wire is not None:
                self._wires.pop(one.agent)
                wire.__exit__()
            self._load.stopping.wait(PAUSE)
            return
        one.state = _note(one, answer)
        if one.state == "unavailable":
            self._load.stopping.wait(PAUSE)
        elif one.state != "unknown":
            one.answered = moment
            self._seen[one.key] = max(one.version, self._seen.get(one.key, 0))

    def _wire(self, agent: int) -> Client:
        port = self._load.agents.ports[agent]
        known = self._wires.get(agent)
        if known is not None and known[0] == port:
            return known[1]
        if known is not None:
            known[1].__exit__()
        wire = Client(port, self._load.agents.token, patience=PATIENCE)
        self._wires[agent] = port, wire
        return wire


def _send(wire: Client, one: Operation, *, native: bool) -> Answer:
    name = one.key.removeprefix("secret/")
    match one.kind:
        case "write" | "create":
            options = {} if one.expected is None else {"cas": one.expected}
            body = {"data": {"w": one.value}, "options": options}
            return wire.call("POST", f"/v1/secret/data/{name}", body)
        case "read" if native:
            return wire.call("GET", f"/api/v1/secrets/{one.key}")
        case "read":
            return wire.call("GET", f"/v1/secret/data/{name}")
        case "erase":
            return wire.call("DELETE", f"/v1/secret/metadata/{name}")
        case "list":
            return wire.call("LIST", f"/v1/secret/metadata/{name}/")
        case _:
            return wire.call("GET", f"/v1/secret/metadata/{name}")


def _note(one: Operation, answer: Answer) -> State:
    """What the answer says; it is taken over into the operation."""
    changes = one.kind in {"write", "create", "erase"}
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        if changes and "retry-after" in answer.headers:  # nothing of it is stored
            return "refused"
        return "unknown" if changes else "unavailable"
    if changes and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "refused"
    if answer.status == MISSING and not changes:
        return "ok"
    if answer.status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        return "refused" if changes else "unavailable"
    if one.kind == "list":
        one.names = frozenset(answer.json["data"]["keys"])
    elif one.kind == "metadata":
        one.version = answer.json["data"]["current_version"]
    elif one.kind == "read":
        told = answer.json
        if "value" in told:
            one.version, one.value = told["version"], told["value"]["w"]
        else:
            one.version = told["data"]["metadata"]["version"]
            one.value = told["data"]["data"]["w"]
    elif one.kind == "write":
        one.version = answer.json["data"]["version"]
    return "ok"


def read_stored(agents: Agents, keys: set[str]) -> dict[str, dict[int, str]]:
    """Every version of these secrets, through the first agent."""
    stored: dict[str, dict[int, str]] = {}
    with Client(agents.ports[0], agents.token) as wire:
        for key in keys:
            name = key.removeprefix("secret/")
            told = _ask_until_answered(wire, f"/v1/secret/metadata/{name}")
            versions = {} if told.status == MISSING else told.json["data"]["versions"]
            stored[key] = {
                int(version): _ask_until_answered(
                    wire, f"/v1/secret/data/{name}?version={version}"
                ).json["data"]["data"]["w"]
                for version in versions
            }
    return stored


def _ask_until_answered(wire: Client, path: str) -> Answer:
    """The answer, once the agent gives one. Raises `AgentError`."""
    until = time.monotonic() + ANSWERED_WITHIN
    while (answer := wire.call("GET", path)).status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        if time.monotonic() > until:
            raise AgentError(f"{path}: {answer}")
        time.sleep(PAUSE)
    return answer
