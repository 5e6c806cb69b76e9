"""HTTP/2 load with h2load (and HTTP/1.1 where a fixed rate is asked for)."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from loadtests.load import Load, Sample, VoidError, next_begin, percentile
from loadtests.servers import Server

TIMEOUT = 60  # seconds on top of a run


class LoggedAnswer(NamedTuple):
    """One line of h2load's log: when the request was sent, what came, how long it took."""

    sent_us: int  # since the epoch
    status: int  # -1: none
    took_us: int


def run_load(server: Server, load: Load, seconds: int) -> Sample:
    """One run. Raises `VoidError` for an answer that is not 2xx, and for a failed request."""
    body = value(load.value_bytes) if load.operation == "write" else None
    output, answers = run_h2load(
        server,
        load.paths(next_begin()),
        body,
        f"-c{load.connections}",
        f"-m{load.streams}",
        f"-D{seconds}",
    )
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    if failed is None or any(int(count) for count in failed.groups()):
        raise VoidError(f"h2load: {failed[0] if failed else output}")
    return sample(answers, seconds)


def seed(server: Server, paths: Sequence[str], value_bytes: int, streams: int = 64) -> None:
    """Write each of the paths once, over one connection. Raises `VoidError` when one failed."""
    count = len(paths)
    _, answers = run_h2load(
        server, paths, value(value_bytes), "-c1", f"-m{streams}", f"-n{count}", patience=3600
    )
    stored = sum(is_ok(answer.status) for answer in answers)
    if stored < count:
        raise VoidError(f"{server.name}: {count - stored} of {count} secrets were not stored")


def run_h2load(
    server: Server, paths: Iterable[str], body: str | None, *options: str, patience: float = 0
) -> tuple[str, list[LoggedAnswer]]:
    """Run h2load over the paths in their order, again and again: its output and its log.

    Each connection has an order of its own, from the first path on. With a body it posts.
    """
    with tempfile.TemporaryDirectory(prefix="freehold-h2load-") as name:
        folder = Path(name)
        (folder / "paths").write_text("\n".join(paths) + "\n")
        post: list[str] = []
        if body is not None:
            (folder / "body").write_text(body)
            post = [f"-d{folder}/body", "-Hcontent-type: application/json"]
        command = [
            "h2load", "-t1", *options, *post, f"--log-file={folder}/log", f"-i{folder}/paths",
            f"-B{server.base}", f"-HX-Vault-Token: {server.token}",
        ]  # fmt: skip
        longest = patience or _duration(options) + TIMEOUT
        done = subprocess.run(  # noqa: S603  # our own command
            command, capture_output=True, text=True, timeout=longest, check=False
        )
        if done.returncode:
            raise VoidError(f"h2load failed: {done.stdout}{done.stderr}")
        return done.stdout, parse((folder / "log").read_text())


def parse(log: str) -> list[LoggedAnswer]:
    """The lines of its log, in order of their ends."""
    return [LoggedAnswer(*map(int, line.split("\t")[:3])) for line in log.splitlines()]


def sample(answers: Sequence[LoggedAnswer], seconds: float) -> Sample:
    """Figures of a run. Raises `VoidError` unless every answer was 2xx."""
    bad = [answer.status for answer in answers if not is_ok(answer.status)]
    if bad or not answers:
        raise VoidError(f"{len(bad)} of {len(answers)} answers not 2xx, one of them {bad[:1]}")
    times = sorted(answer.took_us / 1e3 for answer in answers)
    return Sample(
        requests=len(answers),
        seconds=seconds,
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
        p99_ms=percentile(times, 0.99),
    )


def is_ok(status: int) -> bool:
    """2xx."""
    return 200 <= status < 300  # noqa: PLR2004  # RFC 9110 section 15.3


def value(size: int) -> str:
    """A KV v2 body whose value has so many characters."""
    return json.dumps({"data": {"value": ("abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]}})


def _duration(options: Iterable[str]) -> float:
    return sum(float(option[2:]) for option in options if option.startswith("-D"))
