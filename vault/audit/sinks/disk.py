"""The file operations of the file sink, in which tests inject faults, and its disk reserve.

The reserve is room that a log keeps for the ends of what runs; it is released when the disk is
full. It is reclaimed once the disk has room for it and for some records beside it: without that
margin the reserve itself would fill the disk, and the next record would cost it again.
"""

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

MIN_FREE_RATIO: Final = 4  # of a small disk, at most one part in so many is set aside
MARGIN: Final = 8  # and one part of the reserve in so many must stay free beside it
MIB: Final = 2**20
_PRIVATE: Final = 0o600
_BLOCK: Final = 512  # bytes; what st_blocks counts in, see stat(2)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_disk_full(error: OSError) -> bool:
    """Whether the error says that there is no room."""
    return error.errno in _FULL


class Disk:
    """The operating system's. Every method raises `OSError`."""

    def open(self, path: Path, *, create: bool = False, truncate: bool = False) -> int:
        """A descriptor to read and write; a new file is its owner's alone, whatever the umask."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        flags |= (os.O_CREAT if create else 0) | (os.O_TRUNC if truncate else 0)
        return os.open(path, flags, _PRIVATE)

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        os.close(fd)

    def lock(self, fd: int) -> None:
        """Keep every other process from locking this file until the descriptor is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        """Write some of `data` at the offset; how much, may be less than all."""
        return os.pwrite(fd, data, offset)

    def read(self, fd: int, size: int, offset: int) -> bytes:
        """At most `size` bytes."""
        return os.pread(fd, size, offset)

    def sync(self, fd: int) -> None:
        """Return when the file's content (and its length) is durable."""
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file off."""
        os.ftruncate(fd, size)

    def size(self, fd: int) -> int:
        """The file's length; -1 when it has no name any more."""
        status = os.fstat(fd)
        return status.st_size if status.st_nlink else -1

    def allocated(self, fd: int) -> int:
        """How much of the disk the file takes, in bytes."""
        return os.fstat(fd).st_blocks * _BLOCK

    def disk_space(self, folder: Path) -> tuple[int, int]:
        """The disk's size and what is free of it for us, in bytes; 0 and 0 when it does not say."""
        found = os.statvfs(folder)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def allocate(self, fd: int, size: int) -> None:
        """Take this much room on the disk."""
        os.posix_fallocate(fd, 0, size)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name. Raises `FileExistsError` if that is taken."""
        if target.exists():
            raise FileExistsError(errno.EEXIST, "the segment exists already", str(target))
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file that may not be there."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in the folder durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


log: Final = logging.getLogger("freehold.audit")


class DiskReserve:
    """A file of at most `wanted` bytes. One thread at a time; methods raise `OSError`."""

    def __init__(self, path: Path, max_bytes: int, disk: Disk) -> None:
        self.is_released = False
        """Whether it is gone: the disk is full but for what it gave back."""
        self._path = path
        self._max_bytes = max_bytes
        self._size = max_bytes
        self._disk = disk

    def open(self) -> None:
        """Fit the size to the disk and take it. Says in the log when it is smaller than wanted."""
        total, _ = self._disk.disk_space(self._path.parent)
        self._size = min(self._max_bytes, total // MIN_FREE_RATIO) if total else self._max_bytes
        if self._size < self._max_bytes:
            log.warning(
                "audit: the disk of %s has only %.1f MiB: %.1f MiB of it are kept in reserve,"
                " not %.1f; give the audit log a larger one",
                self._path.parent, total / MIB, self._size / MIB, self._max_bytes / MIB,
            )  # fmt: skip
        self._set_released(is_released=not self._allocate())

    def reclaim(self) -> None:
        """Take it back if it was given up and there is room again."""
        if self.is_released:
            self._set_released(is_released=not self._allocate())

    def release(self) -> bool:
        """Give it up; False when there is none (any more)."""
        if self.is_released or not self._size:
            return False
        self._disk.unlink(self._path)
        self._set_released(is_released=True)
        return True

    def _allocate(self) -> bool:
        if not self._size:
            return True
        fd = self._disk.open(self._path, create=True)
        taken = False
        try:
            taken = self._fill(fd)
        finally:
            self._disk.close(fd)
            if not taken:
                self._disk.unlink(self._path)
        return taken

    def _fill(self, fd: int) -> bool:
        """Looked at first, since the attempt alone would take the last room from everybody else."""
        missing = self._size - self._disk.allocated(fd)
        if missing <= 0:
            return True
        _, free = self._disk.disk_space(self._path.parent)
        if free < missing + self._size // MARGIN:
            return False
        try:
            self._disk.allocate(fd, self._size)
        except OSError as error:
            if not is_disk_full(error):
                raise
            return False
        return True

    def _set_released(self, *, is_released: bool) -> None:
        if is_released and not self.is_released:
            log.error(
                "audit: the disk of %s is full: nothing new is served until %.1f MiB are free",
                self._path.parent, (self._size + self._size // MARGIN) / MIB,
            )  # fmt: skip
        elif self.is_released and not is_released:
            log.warning("audit: the disk of %s has room again", self._path.parent)
        self.is_released = is_released
