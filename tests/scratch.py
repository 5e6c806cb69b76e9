"""Where tests write: in memory, if there is room, for none of it outlives the run.

A commit waits for the disk, and a run makes tens of thousands. What a test kills is a process, not
the machine; a disk that fails is made by faults in system calls (decision 10), not by a real one.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

ROOM: Final = 6 << 30  # bytes; a run has about one at a time
_MEMORY: Final = Path("/dev/shm")  # the kernel's own place for it


def use_memory() -> None:
    """Let temporary folders of this process be there, unless TMPDIR says where they are."""
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return
    if shutil.disk_usage(_MEMORY).free >= ROOM and os.access(_MEMORY, os.W_OK):
        tempfile.tempdir = str(_MEMORY)


def open_folder() -> str:
    """Where another user may enter, as PostgreSQL's has to: TMPDIR may be closed to it."""
    return "/tmp" if "TMPDIR" in os.environ else tempfile.gettempdir()
