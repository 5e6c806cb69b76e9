"""A worker that is killed or stopped while it commits: nothing is lost, doubled or suspected.

Twenty rounds; FREEHOLD_TEST_KILLS says how many others. Each opening of the vault has twenty of
them, for an agent whose workers end more often than that in a minute ends itself.
"""

import http.client
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from loadtests.agent_process import AgentError
from tests.acceptance.agent import SEVERAL, Agent, Client, running, serving
from tests.acceptance.workers.fleet import await_workers, fleet_agent, pinned, workers_of
from tests.acceptance.workers.waiting import PATIENCE, await_true
from vault.store.shared_head import SharedHead
from vault.workers.page import Page
from vault.workers.seat import SILENCE, STALLED

KILLS = int(os.environ.get("FREEHOLD_TEST_KILLS", "20"))
A_ROUND = 20  # kills
KEPT = 100  # versions of a secret
WRITERS = 4
MOMENT = 0.3  # seconds, the longest from the return of all workers to the next kill
FOREIGN = "storage_foreign_write"


class Writers:
    """Threads that write versions, each of a secret of its own, and keep what was acknowledged."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.versions: list[dict[int, int]] = [{} for _ in range(WRITERS)]
        """Of each secret, the numbers that were acknowledged and the values of these."""
        self.requests: list[str] = []
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def __enter__(self) -> Self:
        for number in range(WRITERS):
            kept = {"max_versions": KEPT}
            answer = self.agent.call("POST", f"/v1/secret/metadata/load-{number}", kept)
            assert answer.status == 204
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def count(self) -> int:
        """How many writes were acknowledged."""
        return len(self.requests)

    def _write(self, number: int) -> None:
        value = 0
        while not self._stop.is_set():
            try:
                with self.agent.client() as client:
                    while not self._stop.is_set():
                        value += 1
                        self._write_one(client, number, value)
            except (OSError, http.client.HTTPException):
                continue  # a broken connection is what a death may cost

    def _write_one(self, client: Client, number: int, value: int) -> None:
        written = client.call("POST", f"/v1/secret/data/load-{number}", {"data": {"v": value}})
        if written.status == 200:
            version, known = written.json["data"]["version"], self.versions[number]
            if known and version <= max(known):
                self.wrong.append(f"version {version} was given twice")
            known[version] = value
            self.requests.append(written.request_id)
        elif written.status not in {412, 503}:  # 412: beside the one whose connection broke
            self.wrong.append(f"{written}")


def verify(agent: Agent, load: Writers) -> None:
    """What was acknowledged is there once, at every worker."""
    assert load.wrong == []
    with pinned(agent) as clients:
        for client in clients:
            for number, acknowledged in enumerate(load.versions):
                verify_secret(client, f"load-{number}", acknowledged)
        assert (
            FOREIGN not in clients[0].call("GET", "/api/v1/audit/events?limit=1000").body.decode()
        )


def verify_secret(client: Client, name: str, acknowledged: dict[int, int]) -> None:
    """Its versions have no gap, and each that was acknowledged has its value, and no other has."""
    told = client.call("GET", f"/v1/secret/metadata/{name}").json["data"]
    kept = [int(number) for number in told["versions"]]
    assert sorted(kept) == list(range(min(kept), told["current_version"] + 1))
    assert max(acknowledged) <= told["current_version"]
    values: dict[int, int] = {}
    for number in sorted(kept)[-20:]:
        found = client.call("GET", f"/v1/secret/data/{name}?version={number}")
        value = found.json["data"]["data"]["v"]
        assert value not in values, f"{name}: {value} is there twice"
        values[value] = number
        if number in acknowledged:
            assert acknowledged[number] == value


def verify_log(agent: Agent, load: Writers) -> None:
    """Each acknowledged write has its two records, the log is whole, and names no intruder."""
    assert agent.stop() == 0
    verified = agent.verify()
    assert verified.returncode == 0, verified.stderr
    log = agent.audit_log.read_text()
    assert FOREIGN not in log
    records = Counter(re.findall(r'"request_id":"([^"]+)"', log))
    assert all(records[request] == 2 for request in load.requests)


@pytest.fixture(params=range(-(-KILLS // A_ROUND)))
def kills(request: pytest.FixtureRequest) -> list[float]:
    """The moments of one opening's kills, in seconds from when all workers serve."""
    chance = random.Random(request.param)  # noqa: S311
    count = min(A_ROUND, KILLS - A_ROUND * int(request.param))
    return [chance.random() * MOMENT for _ in range(count)]


def test_killed_while_it_commits(folder: Path, kills: list[float]) -> None:
    """Again and again, each worker in turn."""
    with running(fleet_agent(folder)) as agent:
        kill_workers_of(agent, kills)


def test_killed_while_it_commits_to_a_server(
    folder: Path, postgresql: Callable[[], str], kills: list[float]
) -> None:
    """The same, a quarter as often, with the database on PostgreSQL."""
    with serving(SEVERAL, postgresql), running(fleet_agent(folder)) as agent:
        kill_workers_of(agent, kills[: len(kills) // 4])


def kill_workers_of(agent: Agent, kills: list[float]) -> None:
    """Kill one at each of these moments under load; then look what became of everything."""
    with Writers(agent) as load:
        await_true(lambda: load.count() >= WRITERS)
        for turn, moment in enumerate(kills):
            time.sleep(moment)
            victim = workers_of(agent)[turn % SEVERAL]
            before = load.count()
            os.kill(victim, signal.SIGKILL)
            await_workers(agent, victim)
            await_true(lambda before=before: load.count() > before)  # type: ignore[misc]  # a default
    verify(agent, load)
    verify_log(agent, load)


@contextmanager
def head_of(agent: Agent) -> Iterator[SharedHead]:
    """The words of the agent's head, mapped from its leader."""
    assert agent.process is not None
    for fd in Path(f"/proc/{agent.process.pid}/fd").iterdir():
        if "freehold-page" in str(fd.readlink()):
            own = os.open(fd, os.O_RDWR | os.O_CLOEXEC)
            try:
                yield SharedHead(agent.data / "vault.db.lock", Page(own).head)
            finally:
                os.close(own)
            return
    raise AgentError("the leader has no page")


def stop_holder(agent: Agent, head: SharedHead) -> int:
    """Stop a worker in the middle of a transaction; which one."""
    workers = workers_of(agent)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pid, turn = head.holder
        if pid not in workers:
            continue
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.02)  # until it stands
        if head.holder == (pid, turn):
            return pid
        os.kill(pid, signal.SIGCONT)
    raise AgentError("no worker was met in a transaction")


def test_stopped_while_it_holds_the_head(folder: Path) -> None:
    """All others wait for it, so it is ended sooner than one that hangs by itself; they go on."""
    with running(fleet_agent(folder)) as agent, head_of(agent) as head:
        with Writers(agent) as load:
            await_true(lambda: load.count() >= WRITERS)
            victim = stop_holder(agent, head)
            began = time.monotonic()
            before = load.count() + WRITERS  # each may have one that was stored before
            await_true(lambda: load.count() > before)
            took = time.monotonic() - began
            assert STALLED - 1 < took < SILENCE - 2, took
            await_workers(agent, victim)
            await_true(lambda: load.count() > before + WRITERS)
        verify(agent, load)
        verify_log(agent, load)
