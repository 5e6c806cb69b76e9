"""Backups of a vault with many secrets: seconds and memory of each step, and what requests see.

An agent on each kind of database, its backups in a folder. Create, incremental, validate and delete
are asked of the agent while one client reads and one writes; restore and prove are commands, whose
own memory is measured.

`make bench-backups` (SECRETS=1000000, BACKEND=sqlite, WORKERS=1).
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtests import process
from loadtests.agent_process import FREEHOLD, Agent, await_open, served_agent
from loadtests.database_servers import run_database_server
from loadtests.load import percentile
from loadtests.machine import current_commit, short
from loadtests.servers import scratch_folder
from protocols.instant import SECOND, parse_rfc3339

BACKENDS: Final = ("sqlite", "postgresql", "mysql")
BATCH: Final = 100  # secrets that are stored by one request
CLIENTS: Final = 4  # that store them
LOAD_SECONDS: Final = 10.0  # of requests before the first backup
SAMPLE_SECONDS: Final = 0.25  # between two looks at the agent's memory
LIMIT_SECONDS: Final = 3600.0  # of one step
VALUE: Final = "abcdefghijklmnopqrstuvwxyz" * 4
SCHEDULE: Final = "0 0 1 1 *"


@dataclass
class Latencies:
    """Of one client's requests, in milliseconds."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    def row(self) -> str:
        """p50 and p99 of both, as cells."""
        return " | ".join(_shares(times) for times in (self.reads, self.writes))


@dataclass(frozen=True)
class Step:
    """What one step took; `size`: bytes of the backup, `memory`: the most of its process."""

    name: str
    seconds: float
    size: int = 0
    memory: int = 0


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secrets", type=int, default=100_000)
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--workers", type=int, action="append")
    chosen = parser.parse_args()
    _say(f"{short()}, commit {current_commit()}, {chosen.secrets:,} secrets of {len(VALUE)} bytes")
    for backend, workers in itertools.product(chosen.backend or BACKENDS, chosen.workers or (1, 2)):
        _measure(backend, workers, chosen.secrets)


def _measure(backend: str, workers: int, secrets: int) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        folder.chmod(0o755)
        url = lambda: f"sqlite:///{folder}/{next(_numbers)}.db"  # noqa: E731  # as a server's
        if backend != "sqlite":
            url = stack.enter_context(run_database_server(backend)).empty
        agent = make_agent(folder, backend, url(), workers)
        agent.start()
        stack.callback(agent.stop)
        load = os.getloadavg()[0]
        begun = time.monotonic()
        store(agent, secrets)
        _say(f"\n{backend}, {workers} worker(s): stored in {time.monotonic() - begun:.0f} s, "
             f"load average {load:.1f}\n")  # fmt: skip
        before, during = Latencies(), Latencies()
        with requests(agent, secrets, before):
            time.sleep(LOAD_SECONDS)
        steps = []
        with requests(agent, secrets, during):
            steps.append(step(agent, "create, full", "POST", "/api/v1/backups", {"full": True}))
        steps.append(step(agent, "create, incremental", "POST", "/api/v1/backups", {}))
        newest, full = listed(agent)[:2]
        steps.append(
            step(agent, "validate", "POST", f"/api/v1/backups/{full['id']}/validate", None)
        )
        begun = time.monotonic()
        agent.call("DELETE", f"/api/v1/backups/{newest['id']}")
        steps.append(Step("delete, incremental", time.monotonic() - begun))
        target = folder / "target"
        target.mkdir()
        config = write_config(target, backend, url(), folder / "root.key", 1)
        place = ("backup", "restore", str(folder / "backups"), full["id"], "--config", str(config))
        steps.append(command("restore", *place, "--reason", "measured"))
        steps.append(
            command("prove", "backup", "prove", *place[2:], "--work-dir", str(folder / "target"))
        )
        _print(steps, before, during)


_numbers = itertools.count(1)


def make_agent(folder: Path, backend: str, url: str, workers: int) -> Agent:
    """One that is not started, with a folder as its destination."""
    return served_agent(folder, settings(folder, backend, url, folder / "root.key", workers))


def settings(folder: Path, backend: str, url: str, key: Path, workers: int) -> dict[str, Any]:
    """Of an agent in this folder."""
    return {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
        "storage": {"type": backend, "connection_string": url},
        "encryption": {"key_management": "file", "key_file": str(key)},
        "audit": {"enabled": True, "log_file": f"{folder}/audit.log"},
        "backup": {"destinations": [{"type": "local", "path": f"{folder}/backups"}]},
    }


def write_config(folder: Path, backend: str, url: str, key: Path, workers: int) -> Path:
    """The configuration that a restore goes into."""
    file = folder / "vault.yaml"
    file.write_text(json.dumps(settings(folder, backend, url, key, workers)))
    return file


def store(agent: Agent, secrets: int) -> None:
    """Make the vault and its secrets."""
    made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
    agent.token = made.json["root_token"]
    await_open(agent)
    _require(
        agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    )

    def write(start: int) -> None:
        items = [
            {"name": name(number), "value": {"value": VALUE}}
            for number in range(start, min(start + BATCH, secrets))
        ]
        _require(agent.call("POST", "/api/v1/batch/write", {"secrets": items}))

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(write, range(0, secrets, BATCH)):
            pass


def name(number: int) -> str:
    """Of a secret, in folders of a thousand."""
    return f"secret/bench/{number // 1000}/{number % 1000}"


@contextmanager
def requests(agent: Agent, secrets: int, into: Latencies) -> Iterator[None]:
    """One client reads and one writes, for the length of the block."""
    ended = threading.Event()

    def loop(times: list[float], call: Callable[[Any, int], Any]) -> None:
        with agent.client() as client:
            for number in itertools.count(0, 7919):
                if ended.is_set():
                    return
                begun = time.monotonic()
                _require(call(client, number % secrets))
                times.append((time.monotonic() - begun) * 1e3)

    def read(client: Any, number: int) -> Any:
        return client.call("GET", f"/api/v1/secrets/{name(number)}")

    def write(client: Any, number: int) -> Any:
        body = {"data": {"value": VALUE}}
        return client.call("POST", f"/v1/secret/data/written/{number % 1000}", body)

    with ThreadPoolExecutor(2) as pool:
        loops = [pool.submit(loop, into.reads, read), pool.submit(loop, into.writes, write)]
        try:
            yield
        finally:
            ended.set()
        for each in loops:
            each.result()


def step(agent: Agent, title: str, method: str, path: str, body: object) -> Step:
    """A run of the agent, to its end; the memory is that of all its processes (PSS)."""
    leader = 0 if agent.process is None else agent.process.pid
    begun = time.monotonic()
    run, memory = _require(agent.call(method, path, body)).json, 0
    while run["outcome"] == "running":
        if time.monotonic() - begun > LIMIT_SECONDS:
            raise TimeoutError(title)
        time.sleep(SAMPLE_SECONDS)
        memory = max(memory, process.resident(leader))
        run = agent.call("GET", f"/api/v1/backups/runs/{run['id']}").json
    if run["outcome"] != "succeeded":
        raise RuntimeError(f"{title}: {run}")
    seconds = _time(run["ended_at"]) - _time(run["started_at"])
    return Step(title, seconds, run["results"][0].get("bytes", 0), memory)


def listed(agent: Agent) -> list[dict[str, Any]]:
    """Its backups, the newest first."""
    found: list[dict[str, Any]] = agent.call("GET", "/api/v1/backups").json["backups"]
    return found


def command(title: str, *words: str) -> Step:
    """A command to its end, with the memory of its largest process."""
    begun = time.monotonic()
    with subprocess.Popen(  # noqa: S603  # our own command
        [FREEHOLD, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as running:
        said = b"" if running.stderr is None else running.stderr.read()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{title}: {said.decode(errors='replace')[-2000:]}")
    return Step(title, time.monotonic() - begun, memory=usage.ru_maxrss << 10)


def _time(text: str) -> float:
    return parse_rfc3339(text, "time") / SECOND


def _print(steps: list[Step], before: Latencies, during: Latencies) -> None:
    _say("| step | seconds | MB | memory (MiB) |\n|---|---|---|---|")
    for each in steps:
        size = f"{each.size / 1e6:.1f}" if each.size else ""
        memory = f"{each.memory >> 20}" if each.memory else ""
        _say(f"| {each.name} | {each.seconds:.1f} | {size} | {memory} |")
    _say("\n| | reads p50 / p99 (ms) | writes p50 / p99 (ms) |\n|---|---|---|")
    _say(f"| before | {before.row()} |\n| during | {during.row()} |")


def _shares(times: list[float]) -> str:
    found = sorted(times)
    return f"{percentile(found, 0.5):.1f} / {percentile(found, 0.99):.1f}"


def _require(answer: Any) -> Any:
    if answer.status not in {200, 201, 202, 204}:
        raise RuntimeError(f"{answer.status}: {answer.body[:500]!r}")
    return answer


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
