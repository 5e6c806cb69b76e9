"""One run of a load against a server, and rounds in which servers take turns."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from loadtests import batch_read, h2load, process, wrk
from loadtests.bench.results import BASE, Comparison
from loadtests.load import Load, Sample, VoidError
from loadtests.servers import Server, pausing_others

WARM_UP = 1  # seconds, not counted


def compare(
    row: Comparison,
    servers: Sequence[Server],
    among: Sequence[Server],
    *,
    seconds: int,
    rounds: int,
    mirrored: bool = False,
) -> Comparison:
    """A/B/A/B: each round runs every server once, alone `among` all of them; fills in the row.

    A void run takes its server out of the row. `mirrored`: A/B/B/A, for differences so small that
    it matters who comes first.
    """
    load = row.load
    if load.operation == "batch" and not all(
        batch_read.is_served(server.api()) for server in servers if server.kind != BASE
    ):
        row.skipped = f"{batch_read.PATH} is not served"
        return row
    for number in range(rounds + 1):
        for server in servers[:: -1 if mirrored and number % 2 else 1]:
            if server.name in row.void:
                continue
            try:
                with pausing_others(server, among):
                    server.settle()
                    sample = run(server, load, seconds if number else WARM_UP, row.others)
            except VoidError as void:
                row.void[server.name] = str(void)
                continue
            if number:
                row.rounds.setdefault(server.name, []).append(sample)
    return row


def run(server: Server, load: Load, seconds: int, others: list[float]) -> Sample:
    """One run; adds to `others` what share of the CPU time somebody else had.

    Raises `VoidError` for one answer that is not 2xx, and for an audit log that did not grow by
    at least a record for each request.
    """
    asked = replace(load, operation="read") if _singles(server, load) else load
    lines, cpu, clock = server.count_records(), server.cpu_seconds(), time.monotonic()
    before = server.beside_seconds()
    busy, generator = process.busy_seconds(), process.children_seconds()
    generate = wrk.run_load if load.http == 1 else h2load.run_load
    sample = generate(server, asked, seconds)
    took, spent = time.monotonic() - clock, server.cpu_seconds() - cpu
    beside = {name: end - before[name] for name, end in server.beside_seconds().items()}
    rest = process.busy_seconds() - busy - spent - (process.children_seconds() - generator)
    rest -= sum(beside.values())
    others.append(round(max(0.0, rest) / took / process.CORES, 3))
    require_audited(server.count_records() - lines, sample.requests * asked.per_request)
    return replace(
        sample,
        cpu_us=spent / sample.requests * 1e6,
        beside_us={name: seconds / sample.requests * 1e6 for name, seconds in beside.items()},
    )


def require_audited(grown: int, asked: int) -> None:
    """Raises `VoidError` when the log grew by fewer lines than what was asked for."""
    if grown < asked:
        raise VoidError(f"{asked} answers, and the audit log grew by {grown} lines")


def _singles(server: Server, load: Load) -> bool:
    """OpenBao has no batch read: beside a batch of N stand N single reads."""
    return load.operation == "batch" and server.kind == BASE


def print_progress(words: str) -> None:
    """One line of progress, at once."""
    print(words, flush=True, file=sys.stdout)
