"""What was found, kept as JSON between runs: each kind of fault with its own date and commit.

A whole run takes hours on a small machine, so kinds and stories may be run one by one, also side
by side; the page is made of whatever is there.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from loadtests import machine
from loadtests.durability import report_page
from loadtests.durability.report import Tally

FILE = "durability.json"
PAGE = "durability.md"


@dataclass(frozen=True)
class Run:
    """Where and how it was run; the same for all that one command finds."""

    seed: int
    most: int  # positions of each operation and kind, spread evenly; 0: as the rule chooses
    taken: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="minutes"))
    commit: str = field(default_factory=machine.current_commit)
    where: str = field(default_factory=machine.short)
    load: str = field(default_factory=lambda: f"{os.getloadavg()[0]:.0f}")


def save_result(folder: Path, run: Run, tally: Tally) -> None:
    """Replace what is known of this kind of fault, and write the page anew."""
    with _alone(folder):
        known = load_results(folder)
        known[tally.kind] = asdict(tally) | asdict(run)
        text = json.dumps(known, indent=1, sort_keys=True)
        (folder / FILE).write_text(f"{text}\n")
        (folder / PAGE).write_text(report_page.render_page(known))


def load_results(folder: Path) -> dict[str, Mapping[str, object]]:
    """Kind of fault → what is known of it."""
    file = folder / FILE
    return dict(json.loads(file.read_text())) if file.exists() else {}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of commands that run side by side, one writes at a time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
