"""What happens to the agents while clients work, and how long it takes them to go on."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf
from typing import Final

from loadtests.agent_process import Agent, AgentError, Client
from loadtests.consistency.checker import check_history, count_violations
from loadtests.consistency.clients import CLIENTS, Load, read_stored, running_load
from loadtests.consistency.cluster import Cluster, ask, await_true
from loadtests.consistency.faulty import OUTCOME, PLACES
from loadtests.consistency.history import Operation
from loadtests.database_servers import DatabaseServer

STOPPED: Final = 10.0  # seconds that the holder of the head is stopped
RESUMED_WITHIN: Final = (
    10.0  # seconds: the server ends an idle holder after 5, and a machine is busy
)
UNREADY_WITHIN: Final = 1.0  # seconds until an agent without a database says so
CUT: Final = 12.0  # seconds that an agent is cut off; it may hold the head for half of them
REVOKERS: Final = 4  # clients at once
BATCH: Final = 20  # tokens that are made, revoked by their parent's revocation, and tried
LOOKUP: Final = "/v1/auth/token/lookup-self"
UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE
SHOWN: Final = 10


@dataclass
class Result:
    """What a scenario came to."""

    name: str
    operations: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Of operations, by state."""
    violations: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    faults: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds from a fault to the first acknowledged write that was sent after it."""
    notes: list[str] = field(default_factory=list)

    def judge(self, cluster: Cluster, history: list[Operation]) -> "Result":
        """Check the history, and what is stored at the end."""
        stored = read_stored(cluster, {one.key for one in history if one.kind == "write"})
        found = check_history(history, stored)
        self.operations += len(history)
        self.counts.update(one.state for one in history)
        self.violations.update(count_violations(found))
        self.findings += map(str, found[:SHOWN])
        if not any(one.state == "ok" for one in history):
            self.findings.append("nothing was answered, so that nothing was shown")
        return self


def run_operations(
    cluster: Cluster,
    operations: int,
    *,
    delay: float = 0.0,
    share: float = 1.0,
    clients: int = CLIENTS,
    within: float | None = None,
    seed: int = 0,
) -> Result:
    """So many operations; `delay` seconds for this share of the queries of the change feed.

    `within`: seconds after which no other operation begins.
    """
    load = Load(cluster, clients, seed=seed, limit=operations)
    cluster.delay_feed(delay, share)
    begun = time.monotonic()
    load.start()
    load.wait(within)
    seconds = time.monotonic() - begun
    cluster.delay_feed(0.0)
    await_ready(cluster)
    name = f"feed delayed by {delay:g} s ({share:.0%})" if delay else "operations"
    result = Result(name, notes=[f"{len(load.history) / seconds:.0f} operations a second"])
    return result.judge(cluster, load.history)


def kill_holders(cluster: Cluster, kills: int, seed: int = 0) -> Result:
    """`kill -9` of whoever holds the head, at each place of a transaction in turn."""
    result = Result("kill -9 of the holder")
    chance = random.Random(seed)  # noqa: S311  # of a test
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        for number in range(kills):
            time.sleep(chance.uniform(0.0, 0.1))
            pid, moment = cluster.order("kill", PLACES[number % len(PLACES)])
            if cluster.is_all(pid):
                cluster.restore(pid)
            result.recoveries.append(recovery(load, moment))
            cluster.restore(pid)
            result.faults += 1
    return result.judge(cluster, load.history)


def stop_holder(cluster: Cluster, seed: int = 0) -> Result:
    """SIGSTOP of the holder: the others go on, and what it was about to commit is refused."""
    result = Result("SIGSTOP of the holder")
    outcome = cluster.faults / OUTCOME
    outcome.unlink(missing_ok=True)
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        time.sleep(1.0)
        pid, moment = cluster.order("stop", "changed")
        while cluster.is_all(pid):
            cluster.resume(pid)
            pid, moment = cluster.order("stop", "changed")
        outcome.unlink(missing_ok=True)
        result.recoveries.append(recovery(load, moment))
        time.sleep(max(0.0, STOPPED - (time.monotonic_ns() - moment) / 1e9))
        if cluster.resume(pid):
            await_true(
                lambda: outcome.exists() and outcome.read_text() != "",  # written once it is made
                "the stopped process does not go on",
            )
            told = outcome.read_text()
            result.notes.append(f"its commit: {told}")
            if not told.startswith("refused"):
                result.findings.append(f"the commit of the stopped process: {told}")
        else:
            result.notes.append("it was ended and replaced")
            cluster.restore(pid)
        time.sleep(1.0)
        result.faults += 1
    if result.recoveries[-1] > RESUMED_WITHIN + cluster.margin:
        result.findings.append(f"the others went on after {result.recoveries[-1]:.1f} s only")
    await_ready(cluster)
    return result.judge(cluster, load.history)


def cut_off(cluster: Cluster, seed: int = 0) -> Result:
    """An agent without a way to its database says so, and serves nothing that has changed."""
    result = Result("partition of an agent")
    victim = len(cluster.agents) - 1
    agent, proxy = cluster.agents[victim], cluster.proxies[victim]
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        time.sleep(1.0)
        proxy.freeze()
        moment = time.monotonic_ns()
        result.findings += _require_outage(agent, result, cluster.margin)
        time.sleep(max(0.0, CUT - (time.monotonic_ns() - moment) / 1e9))
        waited = await_true(
            lambda: any(load.since(moment, lambda one: _is_write(one) and one.agent != victim)),
            "the others take no write",
        )
        result.notes.append(f"the others took writes after {CUT + waited:.0f} s at the latest")
        proxy.resume()
        moment = time.monotonic_ns()
        await_true(
            lambda: any(load.since(moment, lambda one: one.state == "ok" and one.agent == victim)),
            "the agent is not back",
        )
        result.recoveries.append((time.monotonic_ns() - moment) / 1e9)
        result.faults += 1
    await_ready(cluster)
    return result.judge(cluster, load.history)


def _is_write(one: Operation) -> bool:
    return one.state == "ok" and one.kind == "write"


def restart_database(cluster: Cluster, server: DatabaseServer, seed: int = 0) -> Result:
    """The database is killed and comes back: 503 meanwhile, service soon after."""
    result = Result("database killed and restarted")
    with running_load(Load(cluster, seed=seed, pause=cluster.pause)) as load:
        time.sleep(1.0)
        server.stop()
        try:
            with ThreadPoolExecutor(len(cluster.agents)) as pool:
                looks = pool.map(
                    lambda agent: _require_outage(agent, result, cluster.margin), cluster.agents
                )
                result.findings += [wrong for look in looks for wrong in look]
        finally:
            server.start()
        moment = time.monotonic_ns()
        for number in range(len(cluster.agents)):
            await_true(
                lambda number=number: any(  # type: ignore[misc]
                    load.since(moment, lambda one: one.agent == number and is_write(one))
                ),
                f"agent {number} takes no write after the restart",
            )
            result.recoveries.append((time.monotonic_ns() - moment) / 1e9)
        result.faults += 1
    await_ready(cluster)
    return result.judge(cluster, load.history)


def revoke_tokens(cluster: Cluster, tries: int, within: float | None = None) -> Result:
    """A token that one agent has revoked is refused by every other one from then on.

    `within`: seconds after which no other batch of tries begins.
    """
    result = Result("revoked tokens")
    done = 0
    end = inf if within is None else time.monotonic() + within

    def revoke(number: int) -> list[Operation]:
        return _revoke(cluster, number) if time.monotonic() < end else []

    with ThreadPoolExecutor(REVOKERS) as pool:
        rounds = -(-tries // (BATCH * len(cluster.ports)))
        for number, tried in enumerate(pool.map(revoke, range(rounds))):
            result.operations += len(tried)
            found = check_history(tried)
            result.violations.update(count_violations(found))
            result.findings += map(str, found[:SHOWN] if number < SHOWN else [])
            done += sum(one.kind == "use" and not one.accepted for one in tried)
    result.notes.append(f"{done} refusals of revoked tokens")
    if done < tries and time.monotonic() < end:
        result.findings.append(f"{done} tries were answered of {tries}")
    return result


def _revoke(cluster: Cluster, number: int) -> list[Operation]:
    """Some tokens of one parent, used everywhere; the parent is revoked; they are used again."""
    history: list[Operation] = []
    ports = cluster.ports
    wires = [Client(port, cluster.token) for port in ports]
    try:
        create = {"policies": ["default"]}
        issuer, revoker = number % len(ports), (number + 1) % len(ports)
        parent = wires[issuer].call("POST", "/v1/auth/token/create", {"policies": ["root"]})
        secret = parent.json["auth"]["client_token"]
        tokens = []
        for _ in range(BATCH):
            moment = time.monotonic_ns()
            made = wires[issuer].call("POST", "/v1/auth/token/create", create, token=secret)
            tokens.append(made.json["auth"]["client_token"])
            key = f"{number}/{len(tokens)}"
            history.append(_token(key, "issue", issuer, moment))
        for agent, wire in enumerate(wires):
            history += (_use(wire, agent, f"{number}/{n}", t) for n, t in enumerate(tokens, 1))
        moment = time.monotonic_ns()
        gone = wires[revoker].call("POST", "/v1/auth/token/revoke", {"token": secret})
        if gone.status != HTTPStatus.NO_CONTENT:
            raise AgentError(f"not revoked: {gone}")
        answered = time.monotonic_ns()
        for n in range(1, BATCH + 1):
            one = _token(f"{number}/{n}", "revoke", revoker, moment)
            one.answered = answered
            history.append(one)
        for agent in sorted(range(len(ports)), key=lambda agent: agent == revoker):
            history += (
                _use(wires[agent], agent, f"{number}/{n}", t) for n, t in enumerate(tokens, 1)
            )
    finally:
        for wire in wires:
            wire.__exit__()
    return history


def _token(key: str, kind: str, agent: int, moment: int) -> Operation:
    one = Operation(0, agent, kind, key, moment, state="ok")  # type: ignore[arg-type]
    one.answered = time.monotonic_ns()
    return one


def _use(wire: Client, agent: int, key: str, token: str) -> Operation:
    moment = time.monotonic_ns()
    answer = wire.call("GET", LOOKUP, token=token)
    one = _token(key, "use", agent, moment)
    one.accepted = answer.status == HTTPStatus.OK
    if answer.status not in {HTTPStatus.OK, HTTPStatus.FORBIDDEN}:
        one.state = "unavailable"
    return one


def is_write(one: Operation) -> bool:
    """Whether it is an acknowledged write."""
    return one.state == "ok" and one.kind == "write"


def recovery(load: Load, moment: int) -> float:
    """Seconds until a write is acknowledged that was sent after the moment."""
    found: list[Operation] = []

    def is_back() -> bool:
        found[:] = load.since(moment, is_write)
        return bool(found)

    await_true(is_back, "nobody takes a write", within=60.0)
    return (min(one.answered for one in found) - moment) / 1e9


def await_ready(cluster: Cluster) -> None:
    """Until all of them serve."""
    for agent in cluster.agents:
        await_true(lambda agent=agent: _is_ready(agent), f"not ready: {agent.output()[-500:]}")  # type: ignore[misc]


def _is_ready(agent: Agent) -> bool:
    answer, _ = ask(agent, "GET", "/health/ready")
    if answer is None or answer.status != HTTPStatus.OK:
        return False
    answer, _ = ask(agent, "LIST", "/v1/secret/metadata/")
    return answer is not None and answer.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}


def _require_outage(agent: Agent, result: Result, margin: float) -> list[str]:
    """What is wrong with the answers of an agent that just lost its database."""
    findings: list[str] = []
    begun = time.monotonic()
    for method, path, body in (
        ("GET", "/api/v1/secrets/secret/outage", None),
        ("GET", "/v1/secret/data/outage", None),
        ("POST", "/v1/secret/data/outage", {"data": {"w": "outage"}}),
    ):
        answer, seconds = ask(agent, method, path, body)
        limit = margin + (UNREADY_WITHIN if method == "GET" else RESUMED_WITHIN * 2)
        if answer is None or answer.status != UNAVAILABLE:
            findings.append(f"{method} {path} without a database: {answer} after {seconds:.1f} s")
        elif seconds > limit:
            findings.append(f"{method} {path} without a database: 503 after {seconds:.1f} s")
        if path.startswith("/api"):
            ready, _ = ask(agent, "GET", "/health/ready")
            now = time.monotonic() - begun
            if ready is None or ready.status != UNAVAILABLE:
                findings.append(f"ready {now:.1f} s after it lost its database: {ready}")
            result.notes.append(f"503 after {seconds:.2f} s, not ready after {now:.2f} s")
    return findings


def summarize(recoveries: list[float]) -> Iterator[str]:
    """Median and longest."""
    if recoveries:
        ordered = sorted(recoveries)
        yield f"{ordered[len(ordered) // 2]:.2f} s"
        yield f"{ordered[-1]:.2f} s"
