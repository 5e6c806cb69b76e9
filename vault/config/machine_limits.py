"""What of the machine this process may use: all of it, or what its control groups leave it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LINE = "0::/"  # of /proc/self/cgroup: the one hierarchy of version 2
_PROC: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")


def memory(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """Bytes: the least of the machine's memory and `memory.max` of each group that it is in.

    Groups of version 1 are not looked at.
    """
    least = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for said in _read_limits("memory.max", proc, groups):
        if said.isdecimal():  # or "max"
            least = min(least, int(said))
    return least


def cores(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """How many it may keep busy: the least of those that it may run on and each group's `cpu.max`.

    At least 1, and whole ones only: a quota of one and a half is one. Groups as in `memory`.
    """
    least = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    for said in _read_limits("cpu.max", proc, groups):
        match said.split():
            case [quota, period] if quota.isdecimal() and period.isdecimal():  # or "max"
                least = min(least, int(quota) // max(int(period), 1))
    return max(least, 1)


def has_process_handles() -> bool:
    """Whether the kernel gives handles of processes (Linux 5.3), and nobody forbids them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _read_limits(name: str, proc: Path, groups: Path) -> Iterator[str]:
    for folder in _cgroup_folders(proc, groups):
        try:
            yield (folder / name).read_text().strip()
        except OSError:  # the root has none
            continue


def _cgroup_folders(proc: Path, groups: Path) -> list[Path]:
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return []
    own = next((line for line in lines if line.startswith(_LINE)), None)
    if own is None:
        return []
    path = groups / own.removeprefix(_LINE)
    return [path, *(one for one in path.parents if one.is_relative_to(groups))]
