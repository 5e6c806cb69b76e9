"""`make durability`: kill -9 at random moments under writers, and what must hold afterwards.

Each round writes to a running agent over both dialects, kills it, starts it again and asks the
oracle of the design: every acknowledged write is there with its value, one of which nobody heard is
there at most once, refused ones are not, versions have no gap, the audit log verifies and holds
an intent and an outcome for every acknowledged write.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import random
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.agent import Agent, AgentError, Client, dev_agent, own_folder

WRITERS = 16
SHARED_NAMES = 4  # contended by all writers of a round
LONGEST = 1.5  # seconds of writing before the kill
KILLED_STARTS = 4  # every so many rounds the start after the kill is killed as well
START = 1.2  # seconds that a start takes at least
KEPT_VERSIONS = 10_000  # the most there can be: none may be pruned, a gap would be a loss
SHOWN = 10  # findings of a round; one alone fails the run
PHASES = {"intent", "outcome"}


@dataclass
class Write:
    """One write as its client knows it: invoked, then ok, refused, or never answered."""

    name: str
    value: str
    state: str = "unknown"
    version: int = 0
    request_id: str = ""


@dataclass
class Round:
    """The writes of one round, and what the oracle found wrong with them."""

    writes: list[Write] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def count(self, state: str) -> int:
        """How many writes ended so."""
        return sum(write.state == state for write in self.writes)


def run(folder: Path, *, rounds: int, chance: random.Random) -> Iterator[Round]:
    """Run rounds on one vault; the last is checked again over all writes. Leaves nothing running.

    Raises `AgentError` when the agent does not start again.
    """
    agent = dev_agent(folder)
    everything: list[Write] = []
    agent.start()
    try:
        kept = agent.call("POST", "/v1/secret/config", {"max_versions": KEPT_VERSIONS})
        if kept.status != http.HTTPStatus.NO_CONTENT:
            raise AgentError(f"the versions are not kept: {kept}")
        for number in range(1, rounds + 1):
            this = Round(_write_until_killed(agent, number, chance))
            everything += this.writes
            if number % KILLED_STARTS == 0:
                _kill_a_start(agent, chance)
            agent.start()
            this.findings = judge(agent, everything if number == rounds else this.writes)
            yield this
    finally:
        agent.kill()


def judge(agent: Agent, writes: list[Write]) -> list[str]:
    """The oracle: what is wrong, nothing when all holds."""
    verdict = agent.verify()
    findings = [] if verdict.returncode == 0 else [f"audit verify: {verdict.stderr}"]
    phases = _phases(agent)
    findings += [
        f"{write}: audited {sorted(phases[write.request_id])}"
        for write in writes
        if write.state == "ok" and phases[write.request_id] != PHASES
    ]
    by_name: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_name[write.name].append(write)
    with agent.client() as client:
        for name, of_name in by_name.items():
            findings += judge_name(_stored(client, name), of_name)
    return findings


def judge_name(stored: dict[int, str], writes: list[Write]) -> Iterator[str]:
    """What is wrong with one secret (version → value), given all writes to it."""
    if sorted(stored) != list(range(1, len(stored) + 1)):
        yield f"{writes[0].name}: versions have a gap: {sorted(stored)}"
    times = Counter(stored.values())
    for write in writes:
        if write.state == "ok" and stored.get(write.version) != write.value:
            yield f"{write}: lost, that version holds {stored.get(write.version)}"
        if write.state == "refused" and times[write.value]:
            yield f"{write}: was refused and is there"
        if times[write.value] > 1:
            yield f"{write}: is there {times[write.value]} times"
    for value in times.keys() - {write.value for write in writes}:
        yield f"{writes[0].name}: holds {value}, which nobody wrote"


def _stored(client: Client, name: str) -> dict[int, str]:
    """Version → value, read version by version."""
    listed = client.call("GET", f"/api/v1/versions/{name}")
    if listed.status == http.HTTPStatus.NOT_FOUND:
        return {}
    return {
        number: client.call("GET", f"/api/v1/secrets/{name}?version={number}").json["value"]["w"]
        for number in (version["version"] for version in listed.json)
    }


def _phases(agent: Agent) -> dict[str, set[str]]:
    """Request id → the phases of the events in the log."""
    phases: dict[str, set[str]] = defaultdict(set)
    for line in agent.audit_log.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "event":
            phases[record["body"]["request_id"]].add(record["body"]["phase"])
    return phases


def _write_until_killed(agent: Agent, number: int, chance: random.Random) -> list[Write]:
    logs: list[list[Write]] = [[] for _ in range(WRITERS)]
    writers = [
        threading.Thread(target=_writer, args=(agent, number, writer, log, chance.random()))
        for writer, log in enumerate(logs)
    ]
    dead = threading.Timer(chance.uniform(0.05, LONGEST), agent.kill)
    for writer in writers:
        writer.start()
    dead.start()
    for thread in [dead, *writers]:
        thread.join()
    return [write for log in logs for write in log]


def _writer(agent: Agent, number: int, writer: int, log: list[Write], seed: float) -> None:
    """Write until nobody answers: to a name of its own and to contended ones."""
    chance = random.Random(seed)  # noqa: S311  # chance of a test, not a key
    with agent.client() as client:
        for turn in itertools.count():
            own = chance.random() < 1 / 2
            last = f"own-{writer}" if own else f"shared-{chance.randrange(SHARED_NAMES)}"
            write = Write(f"secret/round-{number}/{last}", f"{number}-{writer}-{turn}")
            log.append(write)
            try:
                _send(client, write, cas=chance.randrange(20) if chance.random() < 1 / 4 else None)
            except (OSError, http.client.HTTPException):
                return


def _send(client: Client, write: Write, cas: int | None) -> None:
    """One write over the dialect that its turn falls to; check-and-set makes some refused."""
    value = {"w": write.value}
    if cas is None or cas % 2:
        path = write.name.replace("secret/", "/v1/secret/data/", 1)
        options = {} if cas is None else {"cas": cas}
        answer = client.call("POST", path, {"data": value, "options": options})
        version = answer.json["data"]["version"] if answer.status == http.HTTPStatus.OK else 0
    else:
        path = f"/api/v1/secrets/{write.name}"
        answer = client.call("PUT", path, {"value": value, "cas": cas})
        version = answer.json["version"] if answer.status == http.HTTPStatus.OK else 0
    if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise AgentError(f"{write}: {answer}")
    write.version, write.request_id = version, answer.request_id
    write.state = "ok" if version else "refused"


def _kill_a_start(agent: Agent, chance: random.Random) -> None:
    """Kill during the start and its recovery."""
    dead = threading.Timer(chance.uniform(0.3, START), agent.strike)
    dead.start()
    with contextlib.suppress(AgentError):  # killed before it was ready, as was meant
        agent.start()
    dead.join()
    agent.kill()


def main() -> int:
    """Run the rounds; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = parser.parse_args()
    print(f"{chosen.rounds} rounds, {WRITERS} writers, seed {chosen.seed}")
    total: Counter[str] = Counter()
    with own_folder() as folder:
        chance = random.Random(chosen.seed)  # noqa: S311  # chance of a test, not a key
        for number, this in enumerate(run(folder, rounds=chosen.rounds, chance=chance), 1):
            counts = {state: this.count(state) for state in ("ok", "refused", "unknown")}
            total.update(counts, wrong=len(this.findings))
            print(f"  round {number:2}  {counts}  wrong {len(this.findings)}")
            for finding in this.findings[:SHOWN]:
                print(f"    {finding}")
    print(f"total: {dict(total)}")
    return 1 if total["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
