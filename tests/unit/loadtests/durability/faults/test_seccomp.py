"""loadtests.durability.faults.seccomp: who waits, and who does not any more."""

import subprocess
import sys

import pytest

from loadtests.durability.faults import syscall_gate as gates

PROGRAM = """
import sys
from loadtests.durability.faults import seccomp
nobody = seccomp.Notification(7, 7, "pwrite", ())
sys.exit(seccomp.waits(seccomp.install(), nobody))
"""


def test_a_caller_that_is_gone_does_not_wait() -> None:
    """Whoever has its number now is not to be killed in its place."""
    if why_not := gates.why_not():
        pytest.skip(why_not)
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
