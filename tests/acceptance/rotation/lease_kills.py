"""Leases under kill -9, and renewals that race expiry.

`python -m tests.acceptance.rotation.lease_kills --kind mysql --workers 2` takes minutes, so it is
no test of the suite. It ends with an error when a user is left at the server, a renewed lease was
dropped, or a transition is on record twice.
"""

import argparse
import collections
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from protocols.instant import SECOND, parse_rfc3339
from tests.acceptance.agent import Agent, Client, dev_agent
from tests.acceptance.rotation.test_leases import CONFIGS, prepare
from tests.contract.rotation.targets import (
    LeaseTarget,
    MysqlTarget,
    PostgresqlTarget,
    run_target,
)
from tests.support.databases import run_server
from tests.support.postgres import Postgres

CLIENTS: Final = 8
RENEWERS: Final = 60
TTL: Final = 4.0
LATE: Final = 1.5  # seconds behind the first expiry, when the agent has looked twice


def main() -> None:
    """Run both, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leases", type=int, default=1_000)
    parser.add_argument("--renewals", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kind", choices=sorted(CONFIGS), default="postgresql")
    given = parser.parse_args()
    with TemporaryDirectory() as name, _target(given.kind, Path(name)) as target:
        if given.leases:
            with _agent(Path(name) / "a", given.workers, target) as agent:
                kill_often(agent, target, given.leases)
        if given.renewals:
            with _agent(Path(name) / "b", given.workers, target) as agent:
                renew_late(agent, target, given.renewals)


@contextmanager
def _target(kind: str, folder: Path) -> Iterator[LeaseTarget]:
    """On a server of its own."""
    if kind == "redis":
        with run_target(kind, folder) as make:
            yield make()
        return
    with run_server(kind) as server:
        yield PostgresqlTarget(server) if isinstance(server, Postgres) else MysqlTarget(server)


@contextmanager
def _agent(folder: Path, workers: int, target: LeaseTarget) -> Iterator[Agent]:
    folder.mkdir()
    agent = dev_agent(folder, workers=workers)
    agent.start()
    try:
        prepare(agent, {target.kind: target})
        yield agent
    finally:
        agent.stop()


def kill_often(agent: Agent, target: LeaseTarget, wanted: int) -> None:
    """Clients create, renew and revoke; the agent is killed at random times until there are enough.

    Then all leases are ended, and each user has to be gone.
    """
    began, done, known = time.monotonic(), threading.Event(), dict[str, dict[str, str]]()
    asked: list[None] = []
    threads = [
        threading.Thread(target=_use, args=(agent, target.kind, done, known, asked))
        for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    kills = 0
    while len(asked) < wanted:
        time.sleep(random.uniform(0.1, 1.5))  # noqa: S311  # within any step
        agent.kill()
        kills += 1
        agent.start()
    done.set()
    for thread in threads:
        thread.join()
    rows = _end_all(agent)
    left = [value for value in known.values() if target.accepts(value)]
    drops = _drops(agent)
    twice = {lease: count for lease, count in drops.items() if count > 1}
    reasons = collections.Counter(row["reason"] for row in rows)
    sys.stdout.write(
        f"{len(rows)} leases ({len(known)} answered), {kills} kills, "
        f"{time.monotonic() - began:.0f} s: {dict(reasons)}; {len(left)} users left, "
        f"{sum(drops.values())} drops on record, {len(twice)} leases with two\n"
    )
    orphans = agent.call("GET", f"/api/v1/database-orphans/database/{target.kind}").json
    if left or twice or orphans["unknown"]:
        raise SystemExit(f"left: {len(left)}, twice: {twice}, orphans: {orphans}")
    if agent.verify().returncode:
        raise SystemExit("the audit log does not verify")


def _use(
    agent: Agent,
    kind: str,
    done: threading.Event,
    known: dict[str, dict[str, str]],
    asked: list[None],
) -> None:
    """A client. What is answered is known; what is not may be there all the same."""
    token = ""
    while not done.is_set():
        try:
            if not token:  # each client is one of its own, with limits of its own
                token = _token(agent)
            with agent.client(token) as client:
                while not done.is_set():
                    ttl = random.choice(["1s", "2s", "1h"])  # noqa: S311
                    asked.append(None)
                    made = client.call("POST", f"/api/v1/credentials/database/{kind}", {"ttl": ttl})
                    if made.status == 201:
                        lease = made.json["lease"]["id"]
                        known[lease] = made.json["value"]
                        verb = random.choice(["renew", "revoke", "leave"])  # noqa: S311
                        if verb != "leave":
                            client.call("POST", f"/api/v1/lease-{verb}/{lease}", {})
        except ConnectionRefusedError:  # it was not asked
            asked.pop()
            time.sleep(0.02)
        except (OSError, HTTPException):
            time.sleep(0.02)


def _token(agent: Agent) -> str:
    """A new one, once the agent is there."""
    while True:
        with suppress(OSError, HTTPException):
            made = agent.call("POST", "/api/v1/tokens", {"policies": ["root"]})
            if made.status == 201:
                return str(made.json["token"])
        time.sleep(0.02)


def _end_all(agent: Agent) -> list[dict[str, Any]]:
    agent.call("POST", "/api/v1/leases-revoke", {"prefix": "database/creds/"})
    _wait(lambda: not any(_rows(agent, state) for state in ("creating", "active", "revoking")))
    return _rows(agent, "revoked")


def _rows(agent: Agent, state: str) -> list[dict[str, Any]]:
    rows, cursor = list[dict[str, Any]](), ""
    while True:
        page = agent.call("GET", f"/api/v1/leases?state={state}&limit=1000&cursor={cursor}").json
        rows += page["leases"]
        cursor = page["cursor"]
        if not cursor:
            return rows


def _wait(ask: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not ask():
        if time.monotonic() > end:
            raise SystemExit("leases do not come to their end")
        time.sleep(0.2)


def _drops(agent: Agent) -> dict[str, int]:
    """How often the audit log says of each lease that a step has left it revoked."""
    revoked = agent.call("POST", "/api/v1/audit/hash", {"value": "revoked"}).json["hash"]
    found: collections.Counter[str] = collections.Counter()
    for file in agent.audit_log.parent.glob(f"{agent.audit_log.name}*"):
        for line in file.read_text(errors="replace").splitlines() if file.is_file() else ():
            if '"lease.step"' in line and '"phase":"outcome"' in line:
                event = json.loads(line)["body"]
                found[event["path"]] += event.get("response", {}).get("state") == revoked
    return dict(found)


def renew_late(agent: Agent, target: LeaseTarget, wanted: int) -> None:
    """Each lease is renewed as it expires; one whose renewal was answered logs in afterwards."""
    began = time.monotonic()
    counts: collections.Counter[str] = collections.Counter()
    threads = [
        threading.Thread(target=_renew, args=(agent, target, wanted, counts))
        for _ in range(RENEWERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    sys.stdout.write(f"{counts.total()} renewals, {seconds:.0f} s: {dict(counts)}\n")
    if counts["dropped"]:
        raise SystemExit(f"{counts['dropped']} renewed leases were dropped")
    _end_all(agent)


def _renew(
    agent: Agent, target: LeaseTarget, wanted: int, counts: "collections.Counter[str]"
) -> None:
    token = _token(agent)
    with agent.client(token) as client:
        while counts.total() < wanted:
            made = client.call(
                "POST", f"/api/v1/credentials/database/{target.kind}", {"ttl": f"{TTL:.0f}s"}
            )
            if made.status != 201:
                time.sleep(0.5)
                continue
            value, lease = made.json["value"], made.json["lease"]
            while _renew_at_end(client, lease, counts):
                late = _time_of(lease["expires_at"]) + LATE
                lease = client.call("GET", f"/api/v1/leases/{lease['id']}").json
                time.sleep(max(0.0, late - time.time()))
                if not target.accepts(value):
                    counts["dropped"] += 1
                    break


def _renew_at_end(
    client: Client, lease: dict[str, Any], counts: "collections.Counter[str]"
) -> bool:
    """Renew a lease as it expires; whether that was answered."""
    around = random.uniform(-0.3, 0.05)  # noqa: S311
    time.sleep(max(0.0, _time_of(lease["expires_at"]) + around - time.time()))
    renewed = client.call("POST", f"/api/v1/lease-renew/{lease['id']}", {})
    counts["renewed" if renewed.status == 200 else "refused"] += 1
    return renewed.status == 200


def _time_of(text: str) -> float:
    return parse_rfc3339(text, "expires_at") / SECOND


if __name__ == "__main__":
    main()
