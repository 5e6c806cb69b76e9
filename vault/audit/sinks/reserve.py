"""The room that a log keeps for the ends of what runs, given up when its disk is full.

It is taken back as soon as the disk has room for it and for some records beside it: without that
margin the reserve itself would fill the disk, and the next record would cost it again.
"""

import logging
from pathlib import Path
from typing import Final

from vault.audit.sinks.disk import Disk, is_disk_full

log: Final = logging.getLogger("freehold.audit")

MIN_FREE_RATIO: Final = 4  # of a small disk, at most one part in so many is set aside
MARGIN: Final = 8  # and one part of the reserve in so many must stay free beside it
MIB: Final = 2**20


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
