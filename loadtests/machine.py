"""Where figures were taken: the machine, and the versions of everything that took part."""

import os
import platform
import subprocess
from pathlib import Path

from loadtests.servers import bao_command, freehold_command


def describe_machine(folder: Path) -> dict[str, str]:
    """The machine and the versions; `folder` is on the disk that the servers write to."""
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"Linux {platform.release()}",
        "file system": _said("findmnt", "-no", "FSTYPE,SOURCE", "--target", str(folder)),
        "load average before": f"{os.getloadavg()[0]:.2f}",
        "Freehold": f"{_said(freehold_command(), '--version')}, commit {current_commit()}",
        "OpenBao": _said(bao_command(), "version"),
        "wrk": _said("wrk", "-v").partition("[")[0].strip(),
        "h2load": _said("h2load", "--version"),
        "Python": platform.python_version(),
    }


def short() -> str:
    """The machine and its system alone."""
    return f"{os.cpu_count()} cores, {_processor()}, Linux {platform.release()}"


def sentence(machine: dict[str, str]) -> str:
    """All of it, for a page."""
    return "; ".join(f"{name}: {value}" for name, value in machine.items()) + "."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.partition(": ")[2] for x in lines if x.startswith("model name")), "unknown")


PAGES = ("docs/benchmarks", "README.md")
"""What the commands write."""


def current_commit() -> str:
    """What is checked out, and whether anything but pages was changed since."""
    code = [".", *(f":(exclude){page}" for page in PAGES)]
    changed = _said("git", "status", "--porcelain", "--untracked-files=no", "--", *code, silent="")
    return _said("git", "rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def _said(*command: str, silent: str = "unknown") -> str:
    """The first line that a command prints, on whichever stream; `silent` where it prints none."""
    done = subprocess.run(  # noqa: S603  # our own command
        command, capture_output=True, text=True, timeout=30, check=False
    )
    return next(iter((done.stdout + done.stderr).splitlines()), silent).strip()
