"""A full disk under the database, then under the audit log."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ALONE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
PATIENCE = 300.0  # seconds


@pytest.fixture(scope="module")
def tell(root: Path) -> Iterator[Callable[[str, Path], str]]:
    """Tells a story in a folder, and returns what went otherwise: one process for all stories."""
    with subprocess.Popen(
        [*ALONE, sys.executable, "-m", "tests.acceptance.faults.disk"],
        cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        asked, answered = process.stdin, process.stdout
        assert asked is not None
        assert answered is not None

        def tell(what: str, folder: Path) -> str:
            asked.write(json.dumps([what, str(folder)]) + "\n")
            asked.flush()
            if not select.select([answered], [], [], PATIENCE)[0]:
                process.kill()
                pytest.fail(f"{what} is not over within {PATIENCE} s")
            return str(json.loads(answered.readline() or '"it ended"'))

        yield tell


@pytest.mark.parametrize("what", ["data", "audit", "workers", "linked", "low"])
def test_a_full_disk_loses_nothing_and_heals(
    tell: Callable[[str, Path], str], folder: Path, what: str
) -> None:
    """503 that says so; reads go on while they can be audited; free space is found by itself.

    What was acknowledged is there, before and after a restart, and the audit log verifies. Load
    balancers, monitoring and the control plane see it, and see that it is over; and they see a
    disk that is low before that.
    """
    assert tell(what, folder) == ""
