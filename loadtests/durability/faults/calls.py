"""What a system call of the agent is about: which file, at which position of an operation."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.durability.faults.seccomp import Notification

WRITES: Final = frozenset({"pwrite"})  # that can be cut short: they say themselves where they go
SYNCS: Final = frozenset({"fsync", "fdatasync"})
_PATH_ARGUMENTS: Final = {
    "openat": 1, "unlink": 0, "unlinkat": 1, "rename": 0, "renameat": 1, "renameat2": 1,
}  # fmt: skip
_PRINTED: Final = ".out"  # what an agent prints is no part of its vault
_MAX_PATH: Final = 4096  # bytes; PATH_MAX
_PAGE: Final = 4096


@dataclass
class FileCall:
    """One call on a file of the agent's data; `fault` once one has struck it."""

    name: str
    path: Path
    fault: str = ""
    worker: int = 0  # process id of the worker whose call it is; 0: the agent's first process

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} {self.path.name}" + (f" ({self.fault})" if self.fault else "")


def identify_call(asked: Notification, folder: Path, leader: int) -> FileCall | None:
    """The call, None when it is not about this folder or a file in it.

    `leader` is the id of the agent's first process.
    """
    try:
        path = _path(asked)
        if path is None or not path.is_relative_to(folder) or path.suffix == _PRINTED:
            return None
        process = process_of(asked.thread)
        return FileCall(asked.name, path, worker=0 if process == leader else process)
    except OSError:
        return None  # killed meanwhile


def process_of(thread: int) -> int:
    """The id of its process. Raises `OSError` when it is gone."""
    for line in Path(f"/proc/{thread}/status").read_text().splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    raise ProcessLookupError(thread)


def write_half(asked: Notification) -> int:
    """Do the first half of a `pwrite` in the agent's place; its length. Raises `OSError`."""
    fd, address, size, offset = asked.arguments[:4]
    half = (size + 1) // 2
    with Path(f"/proc/{asked.thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        data = memory.read(half)
    own = os.open(f"/proc/{asked.thread}/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        return os.pwrite(own, data, offset)
    finally:
        os.close(own)


def _path(asked: Notification) -> Path | None:
    if asked.name in _PATH_ARGUMENTS:
        text = _text(asked.thread, asked.arguments[_PATH_ARGUMENTS[asked.name]])
        return Path(text) if text.startswith("/") else None
    (fd,) = struct.unpack("i", struct.pack("Q", asked.arguments[0])[:4])
    target = str(Path(f"/proc/{asked.thread}/fd/{fd}").readlink()).removesuffix(" (deleted)")
    return Path(target) if target.startswith("/") else None


def _text(thread: int, address: int) -> str:
    """A NUL-terminated string of the process; no more than the rest of its page may be mapped."""
    size = min(_MAX_PATH, _PAGE - address % _PAGE)
    with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        data = memory.read(size)
        if b"\0" not in data:
            data += memory.read(_MAX_PATH - size)
    return os.fsdecode(data.partition(b"\0")[0])
