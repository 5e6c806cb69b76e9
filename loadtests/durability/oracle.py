"""The oracle of the design: what must hold after a fault, whatever it was.

Every acknowledged write is there with its value; one of which nobody heard is there at most once;
refused ones are not there; versions have no gap; what was revoked, destroyed or rotated stays so;
the audit log verifies, Merkle root included, and holds an intent and an outcome for every
acknowledged write and deed, and an outcome for every read that was answered.
"""

import http.client
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from loadtests.agent_process import Agent, Client
from loadtests.durability.history import Write
from loadtests.durability.operations import ClientOperation, check_operations

PHASES: Final = {"intent", "outcome"}


def judge(
    agent: Agent,
    writes: list[Write],
    deeds: Sequence[ClientOperation] = (),
    reads: Sequence[str] = (),
) -> list[str]:
    """What is wrong, nothing when all holds. The agent runs. `reads`: ids of those answered."""
    told: Iterable[Write | ClientOperation] = [*writes, *deeds]
    findings = [*check_audit_log(agent, (each for each in told if each.state == "ok"), reads)]
    findings += check_operations(agent, deeds)
    by_name: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_name[write.name].append(write)
    with agent.client() as client:
        for name, of_name in by_name.items():
            findings += check_secret(_stored(client, name), of_name)
    return findings


def check_audit_log(
    agent: Agent, acknowledged: Iterable[Write | ClientOperation], reads: Sequence[str] = ()
) -> Iterator[str]:
    """What is wrong with the audit log, given what it must hold."""
    verdict = agent.verify()
    if verdict.returncode != 0:
        yield f"audit verify: {verdict.stderr}"
    phases = _phases(agent)
    for write in acknowledged:
        if phases[write.request_id] != PHASES:
            yield f"{write}: audited {sorted(phases[write.request_id])}"
    if unheard := sum("outcome" not in phases[read] for read in reads):
        yield f"{unheard} of {len(reads)} reads were answered and are not on record"


def check_secret(stored: dict[int, str], writes: list[Write]) -> Iterator[str]:
    """What is wrong with one secret (version → value), given all writes to it."""
    if sorted(stored) != list(range(1, len(stored) + 1)):
        missing = sorted(set(range(1, max(stored))) - set(stored))
        yield f"{writes[0].name}: {len(stored)} versions have a gap: {missing[:10]} …"
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
    """Request id → the phases of the events in the log, its closed segments included."""
    phases: dict[str, set[str]] = defaultdict(set)
    log = agent.audit_log  # which is not there between two segments
    segments = [*log.parent.glob(f"{log.name}.[0-9]*"), *log.parent.glob(log.name)]
    for segment in segments:
        for line in segment.read_text().splitlines():
            record = json.loads(line)
            if record["kind"] == "event":
                phases[record["body"]["request_id"]].add(record["body"]["phase"])
    return phases
