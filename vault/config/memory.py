"""How much memory this process may take: the machine's, or what its control groups leave it."""

import os
from pathlib import Path

_LINE = "0::/"  # of /proc/self/cgroup: the one hierarchy of version 2


def limit(proc: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes: the least of the machine's memory and `memory.max` of each group that it is in.

    Groups of version 1 are not looked at.
    """
    least = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _folders(proc, groups):
        try:
            said = (folder / "memory.max").read_text().strip()
        except OSError:  # the root has none
            continue
        if said.isdecimal():  # or "max"
            least = min(least, int(said))
    return least


def _folders(proc: Path, groups: Path) -> list[Path]:
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return []
    own = next((line for line in lines if line.startswith(_LINE)), None)
    if own is None:
        return []
    path = groups / own.removeprefix(_LINE)
    return [path, *(one for one in path.parents if one.is_relative_to(groups))]
