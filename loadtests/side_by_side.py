"""`make bench`: KV v2 reads and writes over TLS, Freehold beside OpenBao, taking turns in one run.

A round counts only if every answer was 2xx and the audit log grew by at least one line a request.
Prints each round, then medians and ratios.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from loadtests.servers import Server, freehold, openbao

WARM_UP = 2  # seconds, not counted
WRITES = Path(__file__).with_name("write.lua")
_TO_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Round:
    """What one run of a load generator measured."""

    requests_per_second: float
    p99_ms: float


def wrk_read(server: Server, seconds: int) -> Round:
    """`wrk -t1 -c32` over HTTP/1.1. Raises `RuntimeError` for a void run."""
    return _wrk(server, seconds, "-H", f"X-Vault-Token: {server.token}", server.read_url)


def wrk_write(server: Server, seconds: int) -> Round:
    """The same with writes to 2,000 names. Raises `RuntimeError` for a void run."""
    os.environ["BENCH_TOKEN"] = server.token
    return _wrk(server, seconds, "-s", str(WRITES), server.read_url)


def _wrk(server: Server, seconds: int, *what: str) -> Round:
    before = server.audit_lines()
    text = _run("wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", *what)
    done = int(_find(r"(\d+) requests in", text))
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"void, {server.name} answered with errors:\n{text}")
    _need_audited(server, before, done)
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return Round(float(_find(r"Requests/sec:\s+([\d.]+)", text)), float(value) * _TO_MS[unit])


def h2load_read(server: Server, seconds: int) -> Round:
    """`h2load -c8 -m8` over HTTP/2. Raises `RuntimeError` for a void run."""
    before = server.audit_lines()
    text = _run(
        "h2load", "-t1", "-c8", "-m8", f"-D{seconds}", "--warm-up-time=0",
        "-H", f"X-Vault-Token: {server.token}", server.read_url,
    )  # fmt: skip
    done = int(_find(r"status codes: (\d+) 2xx", text))
    if not re.search(r"2xx, 0 3xx, 0 4xx, 0 5xx", text):
        raise RuntimeError(f"void, {server.name} answered with errors:\n{text}")
    _need_audited(server, before, done)
    slowest = re.search(r"time for request:\s+\S+\s+([\d.]+)(us|ms|s)", text)
    value, unit = slowest.groups() if slowest else ("0", "ms")
    return Round(
        float(_find(r"finished in [^,]+, ([\d.]+) req/s", text)), float(value) * _TO_MS[unit]
    )


Start = Callable[[Path], AbstractContextManager[Server]]
Load = Callable[[Server, int], Round]
LOADS: dict[str, Load] = {
    "read, HTTP/1.1, wrk -t1 -c32": wrk_read,
    "read, HTTP/2, h2load -c8 -m8": h2load_read,
    "write, HTTP/1.1, wrk -t1 -c32": wrk_write,
}


def main() -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="per round and server")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        starts: dict[str, Start] = {
            "openbao": openbao,
            "freehold": partial(freehold, durability="write"),
            "freehold, audit fsync": partial(freehold, durability="fsync"),
        }
        servers = {
            name: stack.enter_context(start(_folder(stack))) for name, start in starts.items()
        }
        for label, load in LOADS.items():
            _compare(label, load, servers, chosen.seconds, chosen.rounds)
        for name, server in servers.items():
            print(f"resident memory, {name}: {server.resident_kib() / 1024:.0f} MiB")
    return 0


def _compare(label: str, load: Load, servers: dict[str, Server], seconds: int, rounds: int) -> None:
    print(f"\nKV v2 over TLS, {label}, {seconds} s a round")
    measured: dict[str, list[Round]] = {name: [] for name in servers}
    for server in servers.values():
        load(server, WARM_UP)
    for number in range(1, rounds + 1):
        for name, server in servers.items():
            result = load(server, seconds)
            measured[name].append(result)
            print(f"  round {number}  {name:22} {result.requests_per_second:9.0f} req/s")
    base = statistics.median(r.requests_per_second for r in measured["openbao"])
    for name, results in measured.items():
        rate = statistics.median(r.requests_per_second for r in results)
        tail = statistics.median(r.p99_ms for r in results)
        kind = "slowest" if load is h2load_read else "p99"
        print(f"  median   {name:22} {rate:9.0f} req/s  {kind} {tail:7.1f} ms  {rate / base:5.2f}x")


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freehold-bench-")))


def _need_audited(server: Server, before: int, requests: int) -> None:
    grown = server.audit_lines() - before
    if grown < requests:
        raise RuntimeError(
            f"void: {server.name} answered {requests} requests and audited {grown} lines"
        )


def _run(*command: str) -> str:
    return subprocess.run(  # noqa: S603  # our own command
        command, check=True, capture_output=True, text=True, timeout=300
    ).stdout


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"unexpected output of the load generator:\n{text}")
    return match[1]


if __name__ == "__main__":
    sys.exit(main())
