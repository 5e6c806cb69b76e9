"""Agents on one database: several on a server, behind proxies, or one with workers on a file."""

import http.client
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from loadtests.agent_process import Agent, AgentError, Answer, Client, served_agent, workers_of
from loadtests.consistency import faulty
from loadtests.consistency.proxy import Proxy, run_proxy
from loadtests.database_servers import POSTGRESQL, DatabasePlace
from loadtests.durability.process import KEPT_VERSIONS, run_this_code

SQLITE: Final = "sqlite"
WITHIN: Final = 60.0  # seconds for anything, on a busy machine
PAUSE: Final = 0.01  # seconds between two looks
SHORT: Final = 30.0  # seconds that a look at an agent waits for it


class Cluster:
    """The agents, started and unsealed, with a KV version 2 at `secret/`."""

    def __init__(
        self, agents: list[Agent], faults: Path, proxies: list[Proxy], workers: int
    ) -> None:
        self.agents = agents
        self.faults = faults
        self.proxies = proxies
        self.token = ""
        self.pause = 0.0
        """Seconds that a client waits between two operations while something befalls the agents."""
        self.margin = 1.0
        """Seconds that a busy machine may add to what an agent promises."""
        self._workers = workers
        self._folders = itertools.count()

    def new_folder(self) -> str:
        """Of secrets that nobody else writes."""
        return f"secret/{next(self._folders)}"

    @property
    def ports(self) -> list[int]:
        """One for each agent, or for each worker the same."""
        return [agent.port for agent in self.agents for _ in range(self._workers)]

    def order(self, what: faulty.Signal, place: faulty.Place) -> tuple[int, int]:
        """Have the next process that commits struck; its pid, and the moment, once it is."""
        told = self.faults / "pid"
        told.unlink(missing_ok=True)
        faulty.order_fault(self.faults, what, place)
        await_true(told.exists, "no transaction takes the fault")
        moment = time.monotonic_ns()
        await_true(lambda: bool(told.read_text()), "the process does not say which it is")
        pid = int(told.read_text())
        if what == "stop":  # else a SIGCONT might come before it
            await_true(lambda: _state(pid) in {"T", ""}, "the process does not stop")
        return pid, moment

    def delay_feed(self, seconds: float, share: float = 1.0) -> None:
        """Let this share of the queries of the change feed wait."""
        for proxy in self.proxies:
            proxy.delay_feed(seconds, share)
        if not self.proxies:
            faulty.order_delay(self.faults, seconds, share)

    def agent_of(self, pid: int) -> int:
        """Which agent has this process, or had it."""
        for number, agent in enumerate(self.agents):
            process = agent.process
            if process is not None and pid == process.pid:
                return number
        return 0

    def is_all(self, pid: int) -> bool:
        """Whether nobody is left without this process: the leader of the only agent."""
        process = self.agents[0].process
        return len(self.agents) == 1 and process is not None and process.pid == pid

    def resume(self, pid: int) -> bool:
        """Let a stopped process go on; False: it was ended meanwhile."""
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return False
        return True

    def restore(self, pid: int) -> None:
        """After a kill of this process: start its agent, or wait for another worker."""
        agent = self.agents[self.agent_of(pid)]
        if agent.process is not None and agent.process.pid == pid:
            agent.process.wait(WITHIN)  # it ends a moment after the signal
        if agent.process is not None and agent.process.poll() is None:
            await_true(
                lambda: pid not in (now := workers_of(agent)) and len(now) == self._workers,
                "the worker is not replaced",
            )
            return
        agent.kill()
        agent.start()

    def blind(self) -> None:
        """From now on requests do not look for what others have committed."""
        (self.faults / faulty.BLIND).touch()

    def stop(self) -> None:
        """Stop them all, whatever they have to say."""
        for agent in self.agents:
            if agent.process is not None:
                agent.process.send_signal(signal.SIGCONT)
            with suppress(AgentError):
                agent.stop()

    def output(self) -> str:
        """What they printed."""
        return "\n".join(agent.output() for agent in self.agents)

    def verify_logs(self) -> list[str]:
        """What is wrong with their audit logs; they are stopped."""
        wrong = []
        for agent in self.agents:
            done = agent.verify()
            if done.returncode:
                wrong.append(done.stderr or done.stdout)
        return wrong


@contextmanager
def running_cluster(folder: Path, server: DatabasePlace | None, count: int) -> Iterator[Cluster]:
    """So many agents on a new database of the server, or workers on a file; for the block."""
    faults = folder / "faults"
    faults.mkdir()
    with ExitStack() as stack:
        cluster = (
            _on_file(folder, faults, count)
            if server is None
            else _on_server(folder, faults, server, count, stack)
        )
        for agent in cluster.agents:
            run_this_code(agent)
            agent.environment |= {faulty.FAULTS: str(faults)}
            agent.command = [sys.executable, "-m", faulty.__name__, *agent.command[1:]]
        stack.callback(cluster.stop)
        _begin(cluster)
        yield cluster


def _on_file(folder: Path, faults: Path, workers: int) -> Cluster:
    agent = _agent(folder / "agent", f"sqlite:///{folder}/agent/vault.db", workers)
    return Cluster([agent], faults, [], workers)


def _on_server(
    folder: Path, faults: Path, server: DatabasePlace, count: int, stack: ExitStack
) -> Cluster:
    url, agents, proxies = server.empty(), [], []
    for number in range(count):
        own = folder / f"agent-{number}"
        own.mkdir()
        proxies.append(stack.enter_context(run_proxy(server.socket, own)))
        is_folder = url.startswith(POSTGRESQL)
        place = own if is_folder else proxies[-1].socket
        before = server.folder if is_folder else server.socket
        way = url.replace(quote(str(before)), quote(str(place)))
        agents.append(_agent(own / "data", way, 1))
    return Cluster(agents, faults, proxies, 1)


def _agent(folder: Path, url: str, workers: int) -> Agent:
    folder.mkdir()
    return served_agent(
        folder,
        {
            "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
            "storage": {"type": url.partition(":")[0], "connection_string": url},
            "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        },
    )


def _begin(cluster: Cluster) -> None:
    """Initialize by the first agent; the others have its root key."""
    first, *others = cluster.agents
    first.start()
    made = first.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    cluster.token = made.json["root_token"]
    for agent in others:
        shutil.copy(first.data / "root.key", agent.data / "root.key")
        agent.start()
    for agent in cluster.agents:
        agent.token = cluster.token
    first.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    kept = first.call("POST", "/v1/secret/config", {"max_versions": KEPT_VERSIONS})
    if kept.status != http.HTTPStatus.NO_CONTENT:
        raise AgentError(f"the vault is not ready: {kept} {cluster.output()}")


def _state(pid: int) -> str:
    """As proc(5) has it; empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def await_true(holds: Callable[[], bool], otherwise: str, within: float = WITHIN) -> float:
    """Wait until it does; the seconds that it took. Raises `AgentError`."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > within:
            raise AgentError(f"{otherwise} within {within:g} s")
        time.sleep(PAUSE)
    return time.monotonic() - begun


def ask(agent: Agent, method: str, path: str, body: object = None) -> tuple[Answer | None, float]:
    """The answer to one request and the seconds that it took; None when there is none."""
    begun = time.monotonic()
    try:
        with Client(agent.port, agent.token, patience=SHORT) as client:
            answer = client.call(method, path, body)
    except (OSError, http.client.HTTPException):
        return None, time.monotonic() - begun
    return answer, time.monotonic() - begun
