"""What happens to the database while clients work: cut, failed over, full, or set back."""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from loadtests.agent_process import Agent, AgentError
from loadtests.consistency.clients import Load, running_load
from loadtests.consistency.cluster import Cluster, ask, await_true
from loadtests.consistency.proxy import CUTS
from loadtests.consistency.scenarios import UNAVAILABLE, Result, await_ready, is_write, recovery
from loadtests.database_servers import (
    DatabaseServer,
    ReplicatedPostgresql,
    kind_of,
)

WORK: Final = 1.0  # seconds of load before a fault, and behind it
DISK: Final = 400 << 20  # bytes of the small disk
FULL_WITHIN: Final = 60.0  # seconds until a write is refused
CODE: Final = "storage_rolled_back"
REFUSED_WITHIN: Final = 20.0  # seconds until every agent has seen an older database
_ALONE: Final = "FREEHOLD_TEST_NAMESPACE"
_READS: Final = ("/api/v1/secrets/secret/any", "/v1/secret/data/any")


def cut_commits(cluster: Cluster, cuts: int, seed: int = 0) -> Result:
    """An agent loses its connection at COMMIT, and finds out what became of the transaction."""
    result = Result("connection cut at COMMIT")
    agents = len(cluster.proxies)
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        for number in range(cuts):
            proxy = cluster.proxies[number % agents]
            before = proxy.cuts
            proxy.cut(CUTS[number // agents % len(CUTS)])
            await_true(lambda p=proxy, n=before: p.cuts > n, "no commit was cut")  # type: ignore[misc]
            result.recoveries.append(recovery(load, time.monotonic_ns()))
            result.faults += 1
    await_ready(cluster)
    result.judge(cluster, load.history)
    if unsettled := result.counts["unknown"]:
        result.findings.append(f"{unsettled} outcomes were not settled")
    return result


def fail_over(cluster: Cluster, servers: ReplicatedPostgresql, times: int, seed: int = 0) -> Result:
    """The primary is killed and its synchronous standby takes over: nothing acknowledged is lost.

    The agents' way to the database leads to the new primary once it is promoted.
    """
    result = Result("failover to a synchronous standby")
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        for _ in range(times):
            time.sleep(WORK)
            moment = time.monotonic_ns()
            servers.fail_over()
            promoted = (time.monotonic_ns() - moment) / 1e9
            for proxy in cluster.proxies:
                proxy.retarget(servers.socket)
            _await_writes(cluster, load, moment, result)
            result.notes.append(f"promoted after {promoted:.2f} s")
            result.faults += 1
            servers.attach_standby()
        time.sleep(WORK)
    await_ready(cluster)
    return result.judge(cluster, load.history)


def fill_disk(cluster: Cluster, server: DatabaseServer, seed: int = 0) -> Result:
    """No byte fits on the disk of the database: 503, and service by itself once one does."""
    result = Result("full disk of the database")
    filler = server.folder / "filler"
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        time.sleep(WORK)
        moment = time.monotonic_ns()
        _fill(filler)
        await_true(
            lambda: any(load.since(moment, lambda one: one.kind == "write" and one.state != "ok")),
            "the disk is never full",
        )
        for number, agent in enumerate(cluster.agents):
            result.findings += _until_refused(agent, number, result)
        filler.unlink()
        moment = time.monotonic_ns()
        if not server.is_running:
            result.notes.append("the server had ended and is started again")
            server.start()
        _await_writes(cluster, load, moment, result)
        result.faults += 1
        time.sleep(WORK)
    await_ready(cluster)
    return result.judge(cluster, load.history)


def set_back(cluster: Cluster, server: DatabaseServer, seed: int = 0) -> Result:
    """Somebody puts an older state of the database back: no agent answers from it."""
    result = Result("database set back")
    older = server.folder / "older"
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        time.sleep(WORK)
        server.stop()
        subprocess.run(  # noqa: S603  # with owners: the server is another user's
            ["cp", "-a", str(server.data), str(older)],  # noqa: S607
            check=True,
        )
        server.start()
        await_ready(cluster)
        moment = time.monotonic_ns()
        _await_writes(cluster, load, moment, result)
        time.sleep(WORK)
    await_ready(cluster)
    result.judge(cluster, load.history)
    server.stop()
    shutil.rmtree(server.data)
    older.rename(server.data)
    server.start()
    result.faults += 1
    for number, agent in enumerate(cluster.agents):
        result.findings += _until_noticed(agent, number, result)
    for number, agent in enumerate(cluster.agents):
        agent.kill()
        try:
            agent.start()
        except AgentError as refused:
            said = str(refused).strip().splitlines()[-1:]
            result.notes.append(f"agent {number} does not start: {' '.join(said)}")
        else:
            result.findings += _until_noticed(agent, number, result)
    return result


def _until_noticed(agent: Agent, number: int, result: Result) -> list[str]:
    """What it answers from the older database, until it says that it is older."""
    until = time.monotonic() + REFUSED_WITHIN
    answer = None
    while time.monotonic() < until:
        if agent.process is not None and agent.process.poll() is not None:
            last = "".join(agent.output().splitlines()[-1:])
            result.notes.append(f"agent {number} has ended: {last}")
            return [] if CODE in last else [f"agent {number} has ended: {last}"]
        for path in _READS:
            answer, _ = ask(agent, "GET", path)
            if answer is None:
                continue
            if answer.status < UNAVAILABLE and answer.status != HTTPStatus.TOO_MANY_REQUESTS:
                return [f"agent {number} answers from an older database: {answer}"]
            if CODE.encode() in answer.body:
                result.notes.append(f"agent {number}: {answer.status} {answer.body[:200]!r}")
                written, _ = ask(agent, "POST", "/v1/secret/data/any", {"data": {}})
                if written is not None and written.status < UNAVAILABLE:
                    return [f"agent {number} writes into an older database: {written}"]
                return []
        time.sleep(0.1)
    said = agent.output()[-1000:]
    return [f"agent {number} does not say that the database is older: {answer}; it printed {said}"]


def _await_writes(cluster: Cluster, load: Load, moment: int, result: Result) -> None:
    """Until each agent has acknowledged a write that was sent after the moment."""
    for number in range(len(cluster.agents)):
        await_true(
            lambda number=number: any(  # type: ignore[misc]
                load.since(moment, lambda one: one.agent == number and is_write(one))
            ),
            f"agent {number} takes no write",
        )
        result.recoveries.append((time.monotonic_ns() - moment) / 1e9)


def _until_refused(agent: Agent, number: int, result: Result) -> list[str]:
    """What is wrong with its answers; some writes still find room.

    A server that waits for room (MariaDB) has them wait, too, until their time is up.
    """
    until = time.monotonic() + FULL_WITHIN
    for attempt in itertools.count():
        if time.monotonic() > until:
            break
        body = {"data": {"w": f"{attempt}" * 2000}}
        answer, seconds = ask(agent, "POST", f"/v1/secret/data/full{number}/{attempt}", body)
        if answer is None:
            result.notes.append(f"agent {number}: no answer within {seconds:.1f} s")
            continue
        if answer.status == UNAVAILABLE:
            read, _ = ask(agent, "GET", "/v1/secret/metadata/any")
            result.notes.append(
                f"agent {number}: {answer.body[:200]!r} after {seconds:.2f} s; a read: "
                f"{None if read is None else read.status}"
            )
            return []
        if answer.status != HTTPStatus.OK:
            return [f"agent {number} on a full disk: {answer}"]
    return [f"agent {number} does not say that it cannot write"]


def _fill(file: Path) -> None:
    """Until not a byte more fits."""
    with file.open("ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


# --- Servers of a fault's own ---------------------------------------------------------------------


@contextmanager
def replicated_postgresql() -> Iterator[ReplicatedPostgresql]:
    """A primary and its synchronous standby, for the length of the block."""
    with tempfile.TemporaryDirectory(
        prefix="freehold-failover-", ignore_cleanup_errors=True
    ) as name:
        servers = ReplicatedPostgresql(Path(name))
        try:
            servers.attach_standby()
            yield servers
        finally:
            servers.stop()


@contextmanager
def server_on_small_disk(kind: str) -> Iterator[DatabaseServer]:
    """One whose folder is a small disk of its own. The caller is alone in its mount namespace."""
    with tempfile.TemporaryDirectory(prefix="freehold-small-", ignore_cleanup_errors=True) as name:
        options = f"size={DISK},mode=755"
        subprocess.run(  # noqa: S603
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", name],  # noqa: S607
            check=True,
        )
        server = kind_of(kind)(Path(name))
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.stop()
            subprocess.run(["umount", "--lazy", name], check=True)  # noqa: S603, S607


def enter_own_namespace(arguments: list[str]) -> None:
    """Become the same command in a mount namespace of its own, unless it is."""
    if os.environ.get(_ALONE):
        return
    os.environ[_ALONE] = "1"
    os.execvp("unshare", ["unshare", "--mount", *arguments])  # noqa: S606, S607
