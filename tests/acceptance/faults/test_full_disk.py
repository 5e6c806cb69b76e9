"""A full disk under the database, then under the audit log."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALONE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@pytest.mark.parametrize("what", ["data", "audit", "workers", "linked", "low"])
def test_a_full_disk_loses_nothing_and_heals(folder: Path, root: Path, what: str) -> None:
    """503 that says so; reads go on while they can be audited; free space is found by itself.

    What was acknowledged is there, before and after a restart, and the audit log verifies. Load
    balancers, monitoring and the control plane see it, and see that it is over; and they see a
    disk that is low before that.
    """
    story = [sys.executable, "-m", "tests.acceptance.faults.disk", what, str(folder)]
    told = subprocess.run(
        [*ALONE, *story], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    assert told.returncode == 0, told.stderr
