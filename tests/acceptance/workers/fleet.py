"""An agent of several processes, and connections of which it is known who serves them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtests.process import process_tree
from tests.acceptance.agent import Agent, AgentError, Client, dev_agent

ATTEMPTS = 200  # connections until each worker has one
AT_ONCE = 20  # half of them go to either, if both are there: behind these, one is waited for
PATIENCE = 20.0  # seconds


def fleet_agent(folder: Path, workers: int = 2) -> Agent:
    """A development agent with workers, not started."""
    return dev_agent(folder, workers=workers)


def workers_of(agent: Agent) -> list[int]:
    """The worker processes: the leader's grandchildren."""
    if agent.process is None:
        return []
    leader = agent.process.pid
    return [
        pid for pid in process_tree(leader) if pid != leader and _parent(pid) not in {None, leader}
    ]


@contextmanager
def pinned(agent: Agent, token: str | None = None) -> Iterator[list[Client]]:
    """A connection to each worker, in the order of `workers_of`."""
    workers = workers_of(agent)
    found: dict[int, Client] = {}
    with ExitStack() as stack:
        for attempt in range(ATTEMPTS):
            if attempt > AT_ONCE:
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
    wire = client._connection.sock  # a test's own class
    inode = _inode(wire.getpeername()[1], wire.getsockname()[1])
    for pid in workers:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(fd.readlink()) == f"socket:[{inode}]":
                    return pid
            except FileNotFoundError:
                continue
    raise AgentError("none of the workers has this connection")


def await_workers(
    agent: Agent, without: int, count: int = 2, *, patience: float = PATIENCE
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
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


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
