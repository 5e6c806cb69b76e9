"""Agents of the tests: made by a process that has imported `freehold` already."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from loadtests import agent_process
from loadtests.agent_process import (
    PATIENCE,
    ROOT_TOKEN,
    SEVERAL,
    STOPPED_WITHIN,
    AgentError,
    AgentProcess,
    Answer,
    Client,
    dev_command,
    own_folder,
    served_command,
    write_token,
)
from tests.acceptance.command import FREEHOLD, freehold
from tests.acceptance.maker import Kind, is_at_home, maker
from tests.newest import place_vault
from tests.support.databases import SERVERS
from tests.support.run_times import timed_start

if TYPE_CHECKING:
    import pytest

__all__ = [
    "PATIENCE",
    "ROOT_TOKEN",
    "SEVERAL",
    "STOPPED_WITHIN",
    "Agent",
    "AgentError",
    "Answer",
    "Client",
    "Form",
    "dev_agent",
    "own_folder",
    "running",
    "served_agent",
    "serving",
    "write_token",
]


@dataclass
class Agent(agent_process.Agent):
    """One agent on one folder; it can be started again after it ended."""

    anew: bool = False  # each process by itself, as a user starts it
    kind: ClassVar[Kind] = "agent"

    def start(self) -> None:
        """Start it and return when it listens. Raises `AgentError` when it ends instead."""
        with timed_start(f"{self.kind}, {'anew' if self.anew else 'forked'}"):
            super().start()

    def spawn(self, environment: Mapping[str, str]) -> AgentProcess:
        """The process alone; of a plain command made by `maker`."""
        is_plain = self.command[0] == FREEHOLD and not self.anew
        if is_plain and is_at_home():
            with self.output_file.open("ab") as out:
                return maker(self.kind).make(self.command, environment, out)
        return super().spawn(environment)

    def verify(self) -> subprocess.CompletedProcess[str]:
        """`freehold audit verify` on its log."""
        return freehold("audit", "verify", "--log", str(self.audit_log), anew=self.anew)


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


@dataclass(frozen=True)
class Form:
    """How agents serve: with so many workers, their data in a file or on a server."""

    workers: int
    database: Callable[[], str] | None = None

    @classmethod
    def of(cls, request: "pytest.FixtureRequest") -> Self:
        """As the parameter of a fixture says: a number of workers, or a kind of server."""
        if request.param in SERVERS:
            return cls(1, request.getfixturevalue(request.param))
        return cls(request.param)

    def serving(self) -> AbstractContextManager[None]:
        """Agents that are made within the block have this form."""
        return serving(self.workers, self.database)


def dev_agent(folder: Path, data: Path | None = None, *, workers: int | None = None) -> Agent:
    """`agent dev`, not started: open, KV version 2 at `secret/`."""
    data = data or folder / "data"
    command = dev_command(data, workers or _Form.workers)
    if _Form.database is not None:
        command += ["--database", _Form.database()]
    return Agent(folder, command, data=data, first=_place_dev)


def _place_dev(data: Path) -> None:
    """What is slow to make, before a first start; the root token, unless there is one."""
    if not data.exists():
        place_vault(data)
    if not (token := data / "root-token").exists():
        write_token(token, ROOT_TOKEN)


def served_agent(folder: Path, config: Mapping[str, Any] | None = None) -> Agent:
    """`agent serve` with Shamir and without TLS, not started; `config` replaces whole sections.

    A `server` that does not say how many workers serve has as many as others (`serving`).
    """
    place_vault(folder)
    command = served_command(folder, _storage() | dict(config or {}), _Form.workers)
    return Agent(folder, command, token="", data=folder)


def _storage() -> dict[str, Any]:
    """The section of the configuration, where it is not the usual file."""
    if _Form.database is None:
        return {}
    url = _Form.database()
    return {"storage": {"type": url.partition(":")[0], "connection_string": url}}


@contextmanager
def running(agent: Agent) -> Iterator[Agent]:
    """The agent, started, for the length of the block; what it left running is stopped."""
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
