"""Processes of an agent that die, under load."""

import http.client
import os
import signal
import threading
from pathlib import Path
from typing import Self

from tests.acceptance.agent import Agent, Client, running
from tests.acceptance.workers.fleet import (
    await_workers,
    fleet_agent,
    is_gone,
    pinned,
    workers_of,
)
from tests.acceptance.workers.waiting import await_true
from vault.workers.seat import SILENCE


class Load:
    """Writers in threads, each with a connection and a secret of its own."""

    def __init__(self, agent: Agent, writers: int = 4) -> None:
        self.agent = agent
        self.acknowledged = [0] * writers
        self.requests: list[str] = []
        """Of the writes that were acknowledged."""
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(writers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        value = 0
        while not self._stop.is_set():
            try:
                with self.agent.client() as client:
                    while not self._stop.is_set():
                        value += 1
                        self._round(client, number, value)
            except (OSError, http.client.HTTPException):
                continue  # a broken connection is what a death may cost

    def _round(self, client: Client, number: int, value: int) -> None:
        path = f"/v1/secret/data/load-{number}"
        written = client.call("POST", path, {"data": {"v": value}})
        if written.status == 200:
            self.acknowledged[number] = value
            self.requests.append(written.request_id)
        elif written.status not in {412, 503}:  # 412: beside the one whose connection broke
            self.wrong.append(f"write: {written}")
        found = client.call("GET", path)
        if found.status == 200 and found.json["data"]["data"]["v"] < self.acknowledged[number]:
            self.wrong.append(f"read {found.json} after {self.acknowledged[number]}")


def test_a_killed_worker_costs_its_connections_and_nothing_else(folder: Path) -> None:
    """Others go on, another takes its place; no acknowledged write is lost or not on record."""
    with running(fleet_agent(folder)) as agent:
        with Load(agent) as load:
            for _ in range(3):
                victim = workers_of(agent)[0]
                os.kill(victim, signal.SIGKILL)
                await_workers(agent, victim)
        assert load.wrong == []
        with pinned(agent) as clients:
            for number, value in enumerate(load.acknowledged):
                path = f"/v1/secret/data/load-{number}"
                shown = [c.call("GET", path).json["data"]["data"]["v"] for c in clients]
                assert all(each >= value for each in shown), (shown, value)
        assert agent.stop() == 0
        assert agent.verify().returncode == 0
    log = agent.audit_log.read_text()
    assert all(log.count(request) == 2 for request in load.requests)  # intent, outcome


def test_a_worker_that_is_stopped_is_replaced(folder: Path) -> None:
    """It holds its connections and answers nobody: it is ended, and nobody waits for ever."""
    with running(fleet_agent(folder)) as agent:
        victim = workers_of(agent)[0]
        os.kill(victim, signal.SIGSTOP)
        await_workers(agent, victim, patience=SILENCE + 20.0)
        assert is_gone(victim)
        with pinned(agent) as clients:
            assert [client.call("GET", "/health/live").status for client in clients] == [200, 200]
        assert agent.stop() == 0


def test_no_worker_outlives_its_leader(folder: Path) -> None:
    """Kill -9 takes all along; the next start finds everything that was acknowledged."""
    agent = fleet_agent(folder)
    with running(agent):
        workers = workers_of(agent)
        with Load(agent, 2) as load:
            await_true(lambda: min(load.acknowledged) >= 5)
            agent.strike()
            assert all(is_gone(worker) for worker in workers)
            agent.kill()
        agent.start()
        with pinned(agent) as clients:
            for number, value in enumerate(load.acknowledged):
                for client in clients:
                    found = client.call("GET", f"/v1/secret/data/load-{number}")
                    assert found.json["data"]["data"]["v"] >= value
        assert agent.verify().returncode == 0


def test_sigterm_lets_all_end_in_order(folder: Path) -> None:
    """Exit code 0, the log's end signed, no process left."""
    agent = fleet_agent(folder)
    with running(agent):
        workers = workers_of(agent)
        assert agent.call("GET", "/v1/secret/data/none").status == 404
        assert agent.stop() == 0
        assert all(is_gone(worker) for worker in workers)
        assert agent.verify().returncode == 0
