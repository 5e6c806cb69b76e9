"""What the kernel counts of a process and of all that it started (/proc; proc(5))."""

import os
import resource
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


def process_tree(pid: int) -> list[int]:
    """The process and its descendants, as they are now; one that ends meanwhile may be missing."""
    found = [pid]
    for member in found:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += [int(child) for child in children.read_text().split()]
    return found


def resident(pid: int) -> int:
    """Bytes of memory of the process and its descendants; what they share counts once (PSS)."""
    return sum(_resident(member) for member in process_tree(pid))


def reset_peak(pid: int) -> None:
    """Let `peak` begin anew for the process and its descendants."""
    for member in process_tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{member}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """Bytes: the most resident memory (RSS) of each since `reset_peak`, added up.

    Pages that several processes share, or that map a file, count in each of them.
    """
    return sum(_peak(member) for member in process_tree(pid))


def cpu_seconds(pid: int) -> float:
    """User and system time so far, ended children included.

    Raises `FileNotFoundError` or `ProcessLookupError` when the process itself has ended.
    """
    while True:
        stats = {member: Path(f"/proc/{member}/stat") for member in process_tree(pid)}
        try:
            return sum(_ticks(stat.read_text()) for stat in stats.values()) / TICKS
        except (FileNotFoundError, ProcessLookupError):  # one ended: its parent has its time now
            _ticks(stats[pid].read_text())


def _resident(pid: int) -> int:
    """0 for one that has ended."""
    try:
        sums = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(sums.partition("\nPss:")[2].split()[0]) << 10


def _peak(pid: int) -> int:
    """0 for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(status.partition("\nVmHWM:")[2].split()[0]) << 10


def _ticks(stat: str) -> int:
    """The fields utime, stime, cutime and cstime; the name before them may hold spaces."""
    return sum(int(field) for field in stat.rpartition(")")[2].split()[11:15])


def children_seconds() -> float:
    """CPU seconds of this process's children that have ended: of load generators."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def busy_seconds() -> float:
    """CPU seconds of the whole machine that were not idle, since it started; stolen ones count."""
    first = Path("/proc/stat").read_text().partition("\n")[0].split()
    user, nice, system, _idle, _iowait, *rest = map(int, first[1:9])
    return (user + nice + system + sum(rest)) / TICKS


# Ports for programs that are told theirs.


# Below what the kernel gives to outgoing connections (ip_local_port_range), which would take one.
FIRST: Final = 20_000
LAST: Final = 32_000
STEP: Final = 200


def free_port(more: Sequence[int] = (0,)) -> int:
    """A port of which all `port + more` were free a moment ago; `more` are below `STEP`.

    The search begins at a place of this process, so that programs beside each other do not meet.
    Raises `OSError` when there is none.
    """
    count = (LAST - FIRST) // STEP
    for number in range(count):
        port = FIRST + (os.getpid() + number) % count * STEP
        if all(_is_free(port + one) for one in more):
            return port
    raise OSError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
