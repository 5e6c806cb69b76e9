"""Clients that write over both dialects, one by one and several in a request, until nobody answers.

Beside them others read the shared ones: what was answered has to be on record.
"""

import http.client
import itertools
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from loadtests.agent_process import Agent, Answer, Client
from loadtests.durability.history import Write
from loadtests.durability.operations import KINDS_UNDER_LOAD, ClientOperation, run_operations

WRITERS: Final = 16
READERS: Final = 2
SHARED_NAMES: Final = 4  # contended by all writers of a round
BODY_PREFIX: Final = "secret/"


@dataclass
class RoundHistory:
    """What was done in a round, known at its end.

    `begun` is set once a write is acknowledged, `seen` once a read is answered.
    """

    writes: list[Write] = field(default_factory=list)
    deeds: list[ClientOperation] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    """Request ids of the reads that were answered."""
    begun: threading.Event = field(default_factory=threading.Event)
    seen: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running_writers(agent: Agent, number: int, chance: random.Random) -> Iterator[RoundHistory]:
    """Writers at work during the block; whoever ends it has ended the agent."""
    done = RoundHistory()
    stop = threading.Event()
    doers: list[list[ClientOperation]] = [[] for _ in KINDS_UNDER_LOAD]
    logs: list[list[Write]] = [[] for _ in range(WRITERS)]
    threads = [
        threading.Thread(
            target=_writer,
            args=(agent, stop, f"{number}-{writer}", log),
            kwargs={"seed": chance.random(), "begun": done.begun},
        )
        for writer, log in enumerate(logs)
    ]
    reads: list[list[str]] = [[] for _ in range(READERS)]
    threads += [
        threading.Thread(target=_reader, args=(agent, stop, number, log, done.seen))
        for log in reads
    ]
    threads += [
        threading.Thread(
            target=run_operations, args=(agent, kind, f"round-{number}/{kind}", stop, log)
        )
        for kind, log in zip(KINDS_UNDER_LOAD, doers, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        done.writes += [write for log in logs for write in log]
        done.deeds += [deed for log in doers for deed in log]
        done.reads += [request_id for log in reads for request_id in log]


def send_write(
    client: Client, write: Write, cas: int | None = None, *, native: bool = False
) -> Answer:
    """One write, its end noted in `write`; returns the answer. `cas` may make it refused.

    Raises `OSError` or `http.client.HTTPException` when nobody answers: it stays unknown.
    """
    value = {"w": write.value}
    if native:
        body = {"value": value} if cas is None else {"value": value, "cas": cas}
        answer = client.call("PUT", f"/api/v1/secrets/{write.name}", body)
    else:
        path = write.name.replace(BODY_PREFIX, "/v1/secret/data/", 1)
        options = {} if cas is None else {"cas": cas}
        answer = client.call("POST", path, {"data": value, "options": options})
    write.request_id = answer.request_id
    if answer.status in {http.HTTPStatus.OK, http.HTTPStatus.CREATED}:
        told = answer.json if native else answer.json["data"]
        write.version, write.state = told["version"], "ok"
    elif _is_refused(answer.status, answer.json if native else {}):
        write.state = "refused"
    return answer


def send_batch(client: Client, writes: Sequence[Write]) -> None:
    """Several in one request, each with an end of its own. Raises as `send_write`."""
    items = [{"name": write.name, "value": {"w": write.value}} for write in writes]
    answer = client.call("POST", "/api/v1/batch/write", {"secrets": items})
    same = {"status": answer.status, "error": answer.json}
    results = answer.json.get("results", [same] * len(writes))
    for number, (write, result) in enumerate(zip(writes, results, strict=True)):
        write.request_id = f"{answer.request_id}.{number}"
        if result["status"] == http.HTTPStatus.OK:
            write.version, write.state = result["secret"]["version"], "ok"
        elif _is_refused(result["status"], result["error"]):
            write.state = "refused"


def _is_refused(status: int, error: dict[str, Any]) -> bool:
    """Whether nothing was stored: of a 5xx where the agent vouches for it."""
    vouched = error.get("details", {}).get("outcome") == "none"
    return vouched or status < http.HTTPStatus.INTERNAL_SERVER_ERROR


def _reader(
    agent: Agent, stop: threading.Event, number: int, log: list[str], seen: threading.Event
) -> None:
    with agent.client() as client:
        for turn in itertools.count():
            if stop.is_set():
                return
            name = f"round-{number}/shared-{turn % SHARED_NAMES}"
            dialect = "/v1/secret/data" if turn % 2 else f"/api/v1/secrets/{BODY_PREFIX}"
            try:
                answer = client.call("GET", f"{dialect.rstrip('/')}/{name}")
            except (OSError, http.client.HTTPException):
                return
            if answer.status in {http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND}:
                log.append(answer.request_id)
                seen.set()


def _writer(
    agent: Agent,
    stop: threading.Event,
    who: str,
    log: list[Write],
    *,
    seed: float,
    begun: threading.Event,
) -> None:
    """`who` is round and writer; `seed` chooses names, dialects and check-and-set."""
    chance = random.Random(seed)  # noqa: S311  # chance of a test, not a key
    names = [f"shared-{number}" for number in range(SHARED_NAMES)]
    with agent.client() as client:
        for turn in itertools.count():
            if stop.is_set():
                return
            several = chance.random() < 1 / 8
            own = who if chance.random() < 1 / 2 else chance.choice(names)
            folder = f"{BODY_PREFIX}round-{who.partition('-')[0]}"
            asked = [who, *names] if several else [own]
            writes = [Write(f"{folder}/{name}", f"{who}-{turn}") for name in asked]
            log += writes
            cas = chance.randrange(20) if chance.random() < 1 / 4 else None
            try:
                if several:
                    send_batch(client, writes)
                else:
                    send_write(client, writes[0], cas, native=chance.random() < 1 / 2)
            except (OSError, http.client.HTTPException):
                return
            if any(write.state == "ok" for write in writes):
                begun.set()
