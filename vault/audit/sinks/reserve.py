"""The room that a log keeps for the ends of what runs, given up when its disk is full.

It is taken back as soon as the disk has room for it and for some records beside it: without that
margin the reserve itself would fill the disk, and the next record would cost it again.
"""

import logging
from pathlib import Path
from typing import Final

from vault.audit.sinks.disk import Disk, is_full

log: Final = logging.getLogger("freehold.audit")

SHARE: Final = 4  # of a small disk, at most one part in so many is set aside
MARGIN: Final = 8  # and one part of the reserve in so many must stay free beside it
MIB: Final = 2**20


class Reserve:
    """A file of at most `wanted` bytes. One thread at a time; methods raise `OSError`."""

    def __init__(self, path: Path, wanted: int, disk: Disk) -> None:
        self.given_up = False
        """Whether it is gone: the disk is full but for what it gave back."""
        self._path = path
        self._wanted = wanted
        self._size = wanted
        self._disk = disk

    def open(self) -> None:
        """Fit the size to the disk and take it. Says in the log when it is smaller than wanted."""
        total, _ = self._disk.room(self._path.parent)
        self._size = min(self._wanted, total // SHARE) if total else self._wanted
        if self._size < self._wanted:
            log.warning(
                "audit: the disk of %s has only %.1f MiB: %.1f MiB of it are kept in reserve,"
                " not %.1f; give the audit log a larger one",
                self._path.parent, total / MIB, self._size / MIB, self._wanted / MIB,
            )  # fmt: skip
        self._set(given_up=not self._take())

    def regain(self) -> None:
        """Take it back if it was given up and there is room again."""
        if self.given_up:
            self._set(given_up=not self._take())

    def release(self) -> bool:
        """Give it up; False when there is none (any more)."""
        if self.given_up or not self._size:
            return False
        self._disk.unlink(self._path)
        self._set(given_up=True)
        return True

    def _take(self) -> bool:
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
        _, free = self._disk.room(self._path.parent)
        if free < missing + self._size // MARGIN:
            return False
        try:
            self._disk.allocate(fd, self._size)
        except OSError as error:
            if not is_full(error):
                raise
            return False
        return True

    def _set(self, *, given_up: bool) -> None:
        if given_up and not self.given_up:
            log.error(
                "audit: the disk of %s is full: nothing new is served until %.1f MiB are free",
                self._path.parent, (self._size + self._size // MARGIN) / MIB,
            )  # fmt: skip
        elif self.given_up and not given_up:
            log.warning("audit: the disk of %s has room again", self._path.parent)
        self.given_up = given_up
