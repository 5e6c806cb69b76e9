"""A process that holds keys leaves no core file and is read by no other of the same user."""

import subprocess
import sys

import pytest

from ui.cli import process
from ui.cli.errors import CliError

ASKED = """
import ctypes, os, resource
from ui.cli.process import protect_memory

def told():
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
    print(dumpable, resource.getrlimit(resource.RLIMIT_CORE), os.path.exists("/proc/self/fd/0"),
          len(os.listdir("/proc/self/fd")) > 2, open("/proc/self/cgroup").read() != "", flush=True)

protect_memory()
told()
if not os.fork():
    told()
    os._exit(0)
os.wait()
"""


def test_a_protected_process_and_its_children() -> None:
    """Neither dumpable nor with a core file; they still read of themselves what an agent reads."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, check=True, cwd="."
    )
    assert done.stdout.splitlines() == ["0 (0, 0) True True True"] * 2


def test_a_process_that_cannot_be_protected_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where a filter of system calls forbids it."""

    class Refusing:
        def prctl(self, *_: int) -> int:
            return -1

    monkeypatch.setattr(process.sys, "platform", "linux")
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    monkeypatch.setattr(process.ctypes, "CDLL", lambda *_, **__: Refusing())
    with pytest.raises(CliError, match="memory of this one"):
        process.protect_memory()
