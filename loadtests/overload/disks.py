"""Disks that are slow or full, under the audit log of a running server."""

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from loadtests.servers import Server

DELAY_MS = 100  # of each sync: a disk that is not broken, only far too busy
SMALL_DISK = "128m"  # more than any server keeps in reserve for its log
PROBES = 20
PATIENCE = 60.0  # seconds to recover
READ = "/v1/secret/data/first"


@dataclass(frozen=True, kw_only=True)
class FullDisk:
    """What clients saw while the audit log's disk was full, and when it was not any more."""

    reads: dict[str, int]  # status → how many of the probes; 0: no answer
    longest: float  # seconds that a probe waited for its answer
    health: int  # status of the health check
    recovery: float | None  # seconds from free space to an answered read; none within PATIENCE


def slow_sync() -> tuple[str, ...]:
    """What a server runs under so that each fsync and fdatasync takes longer.

    strace stops the process at these calls only (seccomp), so the rest runs as it would.
    """
    return (
        "strace", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--output=/dev/null",
        "--trace=fsync,fdatasync",
        f"--inject=fsync,fdatasync:delay_enter={DELAY_MS}ms",
    )  # fmt: skip


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a file system of their own."""
    with small_disk(folder) as mounted:
        return mounted


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A small tmpfs at the folder for the length of the block; false where that is forbidden."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "freehold-bench", str(folder)]
    mounted = not subprocess.run(mount, capture_output=True, check=False).returncode  # noqa: S603
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607


def fill_up(server: Server, disk: Path) -> FullDisk:
    """Fill the disk of its audit log, ask, and make room again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:  # full, as was meant
            pass
    seen, longest = _probe(server)
    health = server.api().status("GET", "/v1/sys/health")
    filler.unlink()
    return FullDisk(reads=seen, longest=longest, health=health, recovery=_recovery(server))


def _recovery(server: Server) -> float | None:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < PATIENCE:
        if server.api().status("GET", READ) == HTTPStatus.OK:
            return passed
        time.sleep(0.01)
    return None


def _probe(server: Server) -> tuple[dict[str, int], float]:
    seen: Counter[str] = Counter()
    longest = 0.0
    for _ in range(PROBES):
        asked = time.monotonic()
        seen[str(server.api().status("GET", READ))] += 1
        longest = max(longest, time.monotonic() - asked)
    return dict(seen), longest


def has_strace() -> bool:
    """Whether syncs can be made slow here."""
    return shutil.which("strace") is not None
