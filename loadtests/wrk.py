"""HTTP/1.1 load with wrk."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from loadtests import batch_read
from loadtests.load import Load, Sample, VoidError, next_begin
from loadtests.servers import Server

SCRIPT = Path(__file__).with_name("load.lua")
TIMEOUT = 30  # seconds; wrk counts a slower answer as an error


def run_load(server: Server, load: Load, seconds: int, *, strict: bool = True) -> Sample:
    """One run. Raises `VoidError` for an answer that is not 2xx, and for broken connections.

    When not strict it counts those instead.
    """
    done = subprocess.run(  # noqa: S603  # our own command
        command(server.base, load, seconds),
        capture_output=True,
        text=True,
        timeout=seconds + 2 * TIMEOUT,
        env=os.environ | _environment(server) | batch_read.environment(),
        check=False,
    )
    if done.returncode:
        raise VoidError(f"wrk failed: {done.stderr.strip()}")
    return parse(done.stdout, strict=strict)


def _environment(server: Server) -> dict[str, str]:
    return {"BENCH_TOKEN": server.token, "BENCH_BEGIN": str(next_begin())}


def command(base: str, load: Load, seconds: int) -> list[str]:
    """The command line; the token is not on it."""
    what = [load.operation, load.folder, str(load.names), str(load.value_bytes)]
    return [
        "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", f"--timeout={TIMEOUT}s",
        "-s", str(SCRIPT), base, "--", *what,
    ]  # fmt: skip


def parse(output: str, *, strict: bool = True) -> Sample:
    """Figures of the JSON line that load.lua prints. Raises `VoidError` as `run` does."""
    figures: dict[str, Any] = json.loads(
        next(line for line in output.splitlines() if line.startswith("{"))
    )
    failed = figures["not_2xx"] + figures["broken"]
    if strict and failed:
        raise VoidError(f"{figures['not_2xx']} answers not 2xx, {figures['broken']} broken")
    if strict and not figures["requests"]:
        raise VoidError("not one answer")
    return Sample(
        requests=figures["requests"],
        seconds=figures["microseconds"] / 1e6,
        p50_ms=figures["p50"] / 1e3,
        p95_ms=figures["p95"] / 1e3,
        p99_ms=figures["p99"] / 1e3,
        failed=failed,
    )
