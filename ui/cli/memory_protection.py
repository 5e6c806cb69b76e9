"""What keeps other processes, and files, from the memory of one that holds keys."""

import ctypes
import os
import resource
import sys
from typing import Final

from ui.cli.errors import CliError

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def protect_memory() -> None:
    """Allow no core file and, on Linux, no debugger of the same user; to be called at the start.

    Processes that are forked from this one inherit both. A process that is not dumpable is traced
    or read through /proc/PID/mem by root alone (prctl(2), ptrace(2)), so that profilers need root.
    Raises `CliError`.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        why = os.strerror(ctypes.get_errno())
        raise CliError(f"cannot keep other processes from the memory of this one: prctl: {why}")
