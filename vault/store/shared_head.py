"""The head of a SQLite file that several processes of one agent write.

On a database server the head is a locked row (`vault.store.server`). Here it is a lock on a byte of
the lock file (an open file description lock, fcntl(2)), held for one transaction. The kernel
releases it when its holder dies. Beside it, in shared memory, are the number of the last commit, so
that a reader knows without a query whether it has seen everything, and SQLite's own count of
changes, so that a commit of any other program is noticed.

A commit is known by its number before anybody is told of it, be it by the one who made it or by one
who has met its rows in the database a moment earlier. So whoever begins to read and finds no higher
number than his own has seen all that anybody was told.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vault.store.interface import BackendError

MAX_PROCESSES: Final = 65
BYTES: Final = 64 + 8 * MAX_PROCESSES  # of shared memory
_BEGUN, _DONE, _FILE_CHANGES, _FOREIGN, _HOLDER, _HELD = range(6)  # words
_SEEN: Final = 8  # and following: the last commit that each process knows; it alone writes that
_BYTE: Final = 0  # of the lock file, that is locked


def _lock(kind: int) -> bytes:
    """`struct flock` of 64-bit systems."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, _BYTE, 1, 0)


_ACQUIRE: Final = _lock(fcntl.F_WRLCK)
_RELEASE: Final = _lock(fcntl.F_UNLCK)


class SharedHead:
    """The head as one process sees it. Only one thread of a process may `hold` it at a time."""

    def __init__(
        self,
        lock_file: Path,
        memory: memoryview,
        process: int = 0,
        processes: int = MAX_PROCESSES,
    ) -> None:
        """`memory`: `BYTES` of it, zero at first, the same for all processes.

        `process`: the number of this one, less than `processes`, at most `MAX_PROCESSES`.
        """
        self._path = lock_file
        self._own = _SEEN + process
        self._seen = slice(_SEEN, _SEEN + processes)
        self._words = memory.cast("Q")
        self._fd: int | None = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only writer for the length of the block; waits for it. Raises `BackendError`."""
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, _ACQUIRE)
        except OSError as error:
            raise BackendError(
                "store_unavailable", f"{self._path} cannot be locked: {error.strerror}"
            ) from error
        try:
            self._words[_HOLDER] = os.getpid()
            self._words[_HELD] += 1
            yield
        finally:
            self._words[_HOLDER] = 0
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _RELEASE)

    def close(self) -> None:
        """Give up the descriptor."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    @property
    def holder(self) -> tuple[int, int]:
        """The process that holds it (0: none), and how often it was held before."""
        return self._words[_HOLDER], self._words[_HELD]

    # The number of the last commit. The order of these stores is that of x86-64, see
    # `vault.workers.page`.

    def begin_commit(self, number: int) -> None:
        """The holder is about to commit the transaction with this number."""
        self._words[_BEGUN] = number

    def abandon_commit(self, number: int) -> None:
        """The holder has stored nothing: `number` is the last commit still.

        Not the number that was there before: whoever made the last commit may have died in it.
        """
        self._words[_BEGUN] = self._words[_DONE] = number

    def end_commit(self, number: int) -> None:
        """It is committed. To be called before anybody hears of it."""
        self._words[_BEGUN] = self._words[_DONE] = number

    def end_last_commit(self) -> None:
        """The commit that was begun last is committed, and its own process does not know it."""
        self._words[_DONE] = self._words[_BEGUN]

    def publish(self, number: int) -> None:
        """This process has seen it in the database. To be called before anybody is told what."""
        self._words[self._own] = number

    def is_at(self, number: int) -> bool:
        """Whether nobody was told of a later commit. Needs no lock."""
        return self._words[_DONE] == number and max(self._words[self._seen]) <= number

    # What other programs write.

    @property
    def file_changes(self) -> int:
        """SQLite's count of changes after the last commit of ours."""
        return self._words[_FILE_CHANGES]

    @file_changes.setter
    def file_changes(self, count: int) -> None:
        self._words[_FILE_CHANGES] = count

    def expects_file_changes(self, count: int) -> bool:
        """Whether that is the count after our last commit, or after one whose holder died in it."""
        known = self._words[_FILE_CHANGES]
        died = self._words[_BEGUN] != self._words[_DONE]
        self._words[_BEGUN] = self._words[_DONE]  # a holder dies once
        return count == known or (died and count == next_file_change(known))

    @property
    def foreign_writes(self) -> int:
        """How often somebody else was seen to have written."""
        return self._words[_FOREIGN]

    def count_foreign_write(self) -> None:
        """Once more."""
        self._words[_FOREIGN] += 1


def next_file_change(count: int) -> int:
    """SQLite's count of changes after one more; it has 32 bits."""
    return (count + 1) & 0xFFFF_FFFF
