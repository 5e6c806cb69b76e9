"""In which order the files of tests begin.

With pytest-xdist each process takes the next file when it has done one.
"""

from collections.abc import Sequence
from typing import Final

LONGEST: Final = (
    "tests/acceptance/storage/test_consistency.py",
    "tests/browser/test_crawl.py",
    "tests/acceptance/control/test_failpoints.py",
    "tests/acceptance/faults/test_planted.py",
    "tests/acceptance/test_run.py",
    "tests/acceptance/compat/test_hvac_suite.py",
    "tests/acceptance/documents/test_examples.py",
    "tests/browser/test_fleet.py",
    "tests/acceptance/serve/test_memory.py",
    "tests/acceptance/native/test_openapi.py",
    "tests/acceptance/control/test_memory.py",
    "tests/acceptance/link/test_network.py",
    "tests/acceptance/faults/test_clock.py",
    "tests/acceptance/faults/test_hanging_disk.py",
    "tests/acceptance/rotation/test_rotation.py",
    "tests/browser/test_silence.py",
    "tests/acceptance/durability/test_points.py",
    "tests/acceptance/drills/test_ransomware.py",
    "tests/acceptance/workers/test_every_route.py",
    "tests/acceptance/faults/test_rollback.py",
    "tests/acceptance/serve/test_seal_order.py",
    "tests/acceptance/durability/test_power.py",
    "tests/acceptance/compat/test_root_key.py",
    "tests/acceptance/rotation/test_two_agents.py",
    "tests/acceptance/control/test_openapi.py",
    "tests/acceptance/drills/test_lost_root_key.py",
)
"""Files of a minute and more on a machine with nothing else to do; they begin in this order."""
_COMPUTING: Final = "tests/unit/"
"""Most files there need a core for all their time, and most others wait for processes."""


def run_order(files: Sequence[str]) -> list[str]:
    """The files as they are to begin: the longest ones, then the rest, mixed evenly."""
    first = [file for file in LONGEST if file in files]
    rest = [file for file in files if file not in LONGEST]
    waiting = [file for file in rest if not file.startswith(_COMPUTING)]
    computing = [file for file in rest if file.startswith(_COMPUTING)]
    return first + _mixed(waiting, computing)


def _mixed(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """Both, each in its order, so that either is used up at the same rate."""
    places = [((at + 1) / (len(some) + 1), file) for at, file in enumerate(some)]
    places += [((at + 1) / (len(others) + 1), file) for at, file in enumerate(others)]
    return [file for _, file in sorted(places, key=lambda place: place[0])]
