"""Requests at a fixed rate, whatever comes back, and what became of them.

A server that is behind does not make the load wait: a request that could not be sent in time (all
streams of its connection were taken) counts from when it should have been sent. h2load sends in
order, so the k-th request that it sent is the one that was due k intervals after the first.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from loadtests import h2load, process
from loadtests.h2load import LoggedAnswer
from loadtests.load import Load, percentile
from loadtests.servers import Server

CONNECTIONS = 64
STREAMS = 100  # each; together what may be in flight
REFUSED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
PROMPT = 0.1  # seconds within which a server that recovered answers one read
PATIENCE = 120.0  # seconds to recover


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the requests offered at one rate."""

    factor: float  # of the measured capacity
    offered: float  # requests a second
    seconds: float
    accepted: int  # 2xx
    refused: int  # 429, 503
    failed: int  # any other answer
    p50_ms: float  # of those accepted, from when they were due
    p99_ms: float
    refused_p99_ms: float
    recovery: float = 0.0  # seconds after the load until one read is answered promptly
    resident: int = 0  # bytes, at the end of the load
    generator: float = 0.0  # processor seconds of the load a second; at 1 it is what limits

    @property
    def goodput(self) -> float:
        """Accepted requests a second."""
        return self.accepted / self.seconds

    @property
    def unanswered(self) -> int:
        """Offered in the time, and not answered in it."""
        answered = self.accepted + self.refused + self.failed
        return max(0, round(self.offered * self.seconds) - answered)


def measure_capacity(server: Server, load: Load, seconds: int) -> float:
    """Reads a second that it answers to a closed loop of one request on each connection."""
    _, answers = h2load.run_h2load(
        server, load.paths(), None, f"-c{CONNECTIONS}", "-m1", f"-D{seconds}"
    )
    return h2load.sample(answers, seconds).rate


def offer_load(server: Server, load: Load, *, factor: float, rate: float, seconds: int) -> Outcome:
    """Offer so many requests a second, then wait until it answers promptly again."""
    spent = process.children_seconds()
    _, answers = h2load.run_h2load(
        server, load.paths(), None, f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}",
        f"--rps={rate / CONNECTIONS:.3f}",
    )  # fmt: skip
    generator = (process.children_seconds() - spent) / seconds
    resident = server.resident()
    return replace(
        count_outcome(answers, factor=factor, rate=rate, seconds=seconds),
        recovery=recover(server), resident=resident, generator=generator,
    )  # fmt: skip


def count_outcome(
    answers: Sequence[LoggedAnswer],
    *,
    factor: float,
    rate: float,
    seconds: float,
) -> Outcome:
    """Count the answers, and time each from when its request was due."""
    accepted, refused, failed = [], [], 0
    in_order = sorted(answers)
    for number, answer in enumerate(in_order):
        due = in_order[0].sent_us + number * 1e6 / rate
        took = max(answer.took_us, answer.sent_us + answer.took_us - due) / 1e3
        if h2load.is_ok(answer.status):
            accepted.append(took)
        elif answer.status in REFUSED:
            refused.append(took)
        else:
            failed += 1
    return Outcome(
        factor=factor, offered=rate, seconds=seconds, accepted=len(accepted),
        refused=len(refused), failed=failed, p50_ms=percentile(sorted(accepted), 0.5),
        p99_ms=percentile(sorted(accepted), 0.99),
        refused_p99_ms=percentile(sorted(refused), 0.99),
    )  # fmt: skip


def recover(server: Server) -> float:
    """Seconds until one read on a new connection is answered promptly; PATIENCE if none was."""
    began = time.monotonic()
    api = server.api()
    while (asked := time.monotonic()) - began < PATIENCE:
        status = api.status("GET", "/v1/secret/data/first")
        if status == HTTPStatus.OK and time.monotonic() - asked < PROMPT:
            return asked - began
        time.sleep(PROMPT)
    return PATIENCE
