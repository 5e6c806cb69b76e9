"""SIGTERM under load: what was taken is finished, the process ends well, nothing is lost."""

import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from loadtests.process import process_tree
from tests.acceptance.agent import STOPPED_WITHIN, Agent, dev_agent, running, served_agent

pytestmark = pytest.mark.usefixtures("workers")

WRITERS = 8
WARM = 40  # acknowledged writes before the signal comes
BLOCK = 2**16  # uses of the key that are allocated at a time


class Load:
    """Writers on a connection each, until the agent goes, and what became of their writes."""

    def __init__(self, agent: Agent) -> None:
        self.acknowledged: list[str] = []
        self.unanswered: list[str] = []
        self.ends: Counter[str] = Counter()
        self.warm = threading.Event()
        self._agent = agent
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Return when the last writer has noticed."""
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        with self._agent.client() as client:
            for turn in itertools.count():
                name = f"{number}-{turn}"
                try:
                    answer = client.call("POST", f"/v1/secret/data/{name}", {"data": {"n": name}})
                except (ConnectionError, http.client.RemoteDisconnected):
                    self.ends["closed"] += 1
                    self.unanswered.append(name)
                    return
                except Exception as error:  # noqa: BLE001  # an answer that was cut, however
                    self.ends[repr(error)] += 1
                    return
                if answer.status != 200:
                    self.ends[str(answer)] += 1
                    return
                self.acknowledged.append(name)
                if len(self.acknowledged) > WARM:
                    self.warm.set()


def test_sigterm_finishes_what_was_taken(folder: Path) -> None:
    """Exit code 0, no traceback; what was acknowledged is there, and what was not is not."""
    agent = dev_agent(folder)
    agent.start()
    load = Load(agent)
    load.warm.wait(30)
    code = agent.stop()
    load.join()
    assert code == 0
    assert "Traceback" not in agent.output()
    assert load.ends.keys() == {"closed"}
    assert agent.verify().returncode == 0
    with running(agent), agent.client() as client:
        for name in load.acknowledged:
            assert client.call("GET", f"/v1/secret/data/{name}").json["data"]["data"] == {"n": name}
        for name in load.unanswered:
            assert client.call("GET", f"/v1/secret/data/{name}").status == 404
        assert agent.stop() == 0


def test_sigterm_right_after_the_start_is_heard(folder: Path) -> None:
    """Whoever is told that the agent is ready may stop it at once, and it stops in order."""
    agent = dev_agent(folder)
    for _ in range(2):
        agent.start()
        assert agent.stop() == 0


def test_a_manager_that_went_away_changes_nothing(folder: Path) -> None:
    """With nobody at the notification socket any more, the stop is as orderly as ever."""
    agent = dev_agent(folder)
    agent.start()
    assert agent.manager is not None
    agent.manager.close()
    with agent.client() as client:
        answer = client.call("POST", "/v1/secret/data/last", {"data": {"n": "1"}})
    assert answer.status == 200
    assert agent.stop() == 0
    assert "Traceback" not in agent.output()


@pytest.mark.parametrize("to_all", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_an_ordinary_stop_logs_no_error(folder: Path, *, to_all: bool) -> None:
    """By a manager, which signals the leader, and by a terminal, which signals each process."""
    agent = dev_agent(folder)
    with running(agent):
        assert agent.call("POST", "/v1/secret/data/a", {"data": {"a": 1}}).status == 200
        assert agent.process is not None
        if to_all:
            for pid in process_tree(agent.process.pid):
                with suppress(ProcessLookupError):  # the leader ends the others, too
                    os.kill(pid, signal.SIGINT)
            assert agent.process.wait(STOPPED_WITHIN) == 0
        assert agent.stop() == 0
    assert not re.search("ERROR|WARNING|CRITICAL|Traceback", agent.output()), agent.output()


def test_it_serves_with_its_output_closed(folder: Path) -> None:
    """As a supervisor may start it: nothing that it opens takes the place of stdout."""
    agent = served_agent(folder)
    agent.command = ["sh", "-c", 'exec "$0" "$@" >&-', *agent.command]
    with running(agent):
        assert agent.call("GET", "/health/live").status == 200
        assert agent.process is not None
        assert Path(f"/proc/{agent.process.pid}/fd/1").readlink() == Path(os.devnull)
    closed = ["sh", "-c", 'exec "$0" "$@" >&-', *agent.command[3:4], "--version"]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, check=False)
    assert "the output cannot be written: it is closed" in done.stderr


def test_a_stop_counts_the_uses_of_the_key_exactly_and_a_crash_too_many(
    folder: Path, workers: int
) -> None:
    """Under load, over several starts: none of the uses is lost, and none is made up by a stop.

    Several processes have a block each, and the last one to stop alone gives its rest back.
    """
    agent = dev_agent(folder, workers=workers)
    written = 0
    most = 0 if workers == 1 else (workers + 1) * BLOCK  # that a start may count too many

    def counted() -> dict[str, int]:
        status: dict[str, int] = agent.call("GET", "/api/v1/system/key-status").json
        return status

    for _ in range(2):
        agent.start()
        before = counted()
        assert before["reserved_uses"] == before["uses"]
        assert written <= before["uses"] <= written + WRITERS + most  # some without an answer
        written = before["uses"]
        load = Load(agent)
        load.warm.wait(30)
        assert agent.stop() == 0
        load.join()
        written += len(load.acknowledged)
    agent.start()
    assert written <= counted()["uses"] <= written + WRITERS + most
    if workers > 1:
        assert agent.stop() == 0
        return
    written = counted()["uses"]
    assert agent.call("POST", "/v1/secret/data/one", {"data": {"n": 1}}).status == 200
    now = counted()
    assert (now["uses"], now["reserved_uses"]) == (written + 1, written + BLOCK)
    agent.kill()
    with running(agent):
        assert counted()["uses"] == written + BLOCK
        assert agent.stop() == 0
    with running(agent):
        assert counted()["uses"] == written + BLOCK


def test_it_is_not_ready_before_it_stops(folder: Path) -> None:
    """With a `drain_delay`: load balancers leave it, and whoever comes meanwhile is served."""
    agent = served_agent(folder)
    file = folder / "vault.yaml"
    config = json.loads(file.read_text())
    config["server"]["drain_delay"] = "10s"
    file.write_text(json.dumps(config))
    with running(agent):
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]})
        assert agent.call("GET", "/health/ready").status == 200
        assert agent.process is not None
        began = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        while (ready := agent.call("GET", "/health/ready")).status == 200:
            assert time.monotonic() - began < 9
        assert ready.json == {"status": "refusing", "reason": "the agent stops"}
        own = agent.call("GET", "/v1/auth/token/lookup-self", token=made["root_token"])
        assert own.status == 200
        assert agent.process.wait(STOPPED_WITHIN) == 0
        assert time.monotonic() - began >= 10
