"""The end of a log that several processes write, in turn: whose turn it is, and where they left it.

The turn is a write lock on the head file (of an open file description, see fcntl(2)). The kernel
releases it when a process dies. The last writer publishes the end in shared memory. The holder of
the lock checks first whether the end is open; between `begin_write` and `publish` it is not, so a
process that dies or fails while it writes leaves an end that `is_broken`. The log's owner then
opens the log anew, as at a start; no other process writes before that.

Every process that may write holds a second lock, shared, for its whole life: a later run does not
touch the log while one of them lives (`wait_exclusive`).
"""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Final, Protocol, Self

import msgspec
from msgspec import Struct

from protocols.merkle import Frontier
from vault.audit.batch import LogPosition
from vault.audit.chain import Chain
from vault.audit.keys import HashFunction

BYTES: Final = 8192  # of shared memory
_HEADER: Final = 64
_STATE, _VERSION, _SIZE, _LENGTH, _COMMITS, _HOLDER, _LOCK_COUNT = range(7)  # words of the header
_CLOSED, _OPEN, _WRITING = range(3)
_WRITER, _PRESENCE = range(2)  # bytes of the head file that are locked
_POLL_INTERVAL: Final = 0.01  # seconds
_MAX_READS: Final = 4  # of a tail that changes meanwhile; a change takes less time than these


def _lock(kind: int, byte: int) -> bytes:
    """`struct flock` of 64-bit systems."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)


_LOCK: Final = _lock(fcntl.F_WRLCK, _WRITER)
_UNLOCK: Final = _lock(fcntl.F_UNLCK, _WRITER)
_SHARED: Final = _lock(fcntl.F_RDLCK, _PRESENCE)
_EXCLUSIVE: Final = _lock(fcntl.F_WRLCK, _PRESENCE)


class LastLine(Struct, frozen=True, array_like=True):
    """The last acknowledged line of `audit.log`, by which a file that is opened again is known."""

    length: int = 0  # bytes, its newline included; 0: there is no line
    digest: bytes = b""  # SHA-256 of it, its newline included


class SinkFiles(Protocol):
    """What a sink knows of its files. See `FileSink`."""

    last_line: LastLine
    slot: int


class Tail(Struct, frozen=True, array_like=True):
    """Where a log ends, its files included: all that the next one to write there has to know."""

    size: int  # records
    head: bytes  # of the chain
    frontier: list[bytes]
    segment: int
    length: int  # bytes of the segment
    checkpoint_offset: int  # see `LogPosition`, as the following
    checkpoint: int
    checkpoint_time: int
    last_line: LastLine
    slot: int  # of the head file, the one that was written last
    note: str  # the signed head
    owner_at: int  # when its owner was there last, in Unix nanoseconds

    @classmethod
    def from_position(
        cls, position: LogPosition, files: SinkFiles, note: str, owner_at: int
    ) -> Self:
        """Of a log whose last segment is open, after a batch with this note."""
        chain = position.chain
        return cls(
            chain.size,
            chain.head,
            chain.tree.hashes,
            position.segment,
            position.length,
            position.checkpoint_offset,
            position.checkpoint,
            position.checkpoint_time,
            files.last_line,
            files.slot,
            note,
            owner_at,
        )

    def to_position(self, digest: HashFunction) -> LogPosition:
        """The same as a `BatchComposer` takes it."""
        return LogPosition(
            Chain(digest, self.head, Frontier(digest, self.size, self.frontier)),
            self.segment,
            self.length,
            self.checkpoint_offset,
            is_closed=False,
            checkpoint=self.checkpoint,
            checkpoint_time=self.checkpoint_time,
        )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Tail).decode


class WriterLock:
    """One process's hold on the lock. One thread at a time; methods raise `OSError`."""

    def __init__(self, head_file: Path) -> None:
        self._path = head_file
        self._fd: int | None = None

    def acquire(self) -> None:
        """Wait for it."""
        fcntl.fcntl(self._file(), fcntl.F_OFD_SETLKW, _LOCK)

    def acquire_nowait(self) -> bool:
        """Take it if it is free; whether it was."""
        try:
            fcntl.fcntl(self._file(), fcntl.F_OFD_SETLK, _LOCK)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        fcntl.fcntl(self._file(), fcntl.F_OFD_SETLK, _UNLOCK)

    def close(self) -> None:
        """Give it back if it is ours, and the descriptor."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def announce(self) -> None:
        """Be one who may take it."""
        if self._fd is None:
            self._fd = _open_file(self._path)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _SHARED)

    def _file(self) -> int:
        self.announce()
        if self._fd is None:
            raise RuntimeError("not open")
        return self._fd


def wait_exclusive(head_file: Path, seconds: float) -> bool:
    """Wait no longer than that for all who may take a turn to be gone; whether they are.

    Raises `OSError`. Where the system has no such locks nobody can have one.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return True
    fd = _open_file(head_file)
    try:
        for _ in range(int(seconds / _POLL_INTERVAL)):
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _EXCLUSIVE)
            except BlockingIOError:
                Event().wait(_POLL_INTERVAL)
            else:
                return True
        return False
    finally:
        os.close(fd)


def _open_file(head: Path) -> int:
    return os.open(head, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


class SharedTail:
    """The end in shared memory, as one process sees it. Whoever changes it has the turn."""

    def __init__(
        self, memory: memoryview, head_file: Path, evict: Callable[[int], None] = lambda _pid: None
    ) -> None:
        """`memory`: `BYTES` of it, zero for a log that is yet to be opened.

        `evict`: the owner's way to end a process that has the turn and does nothing.
        """
        self.evict = evict
        self._lock = WriterLock(head_file)
        self._words = memory[:_HEADER].cast("Q")
        self._room = memory[_HEADER:]

    def announce(self) -> None:
        """Be one who may take the turn. Raises `OSError`, as the following."""
        self._lock.announce()

    def acquire(self) -> None:
        """Wait for the turn."""
        self._lock.acquire()
        self._hold()

    def acquire_nowait(self) -> bool:
        """Take the turn if nobody has it; whether that was so."""
        taken = self._lock.acquire_nowait()
        if taken:
            self._hold()
        return taken

    def release(self) -> None:
        """Give the turn back."""
        self._words[_HOLDER] = 0
        self._lock.release()

    def close(self) -> None:
        """Give up the turn and what it takes."""
        self._lock.close()

    @property
    def holder(self) -> tuple[int, int]:
        """Which process has the turn (0: none), and which of all turns that is. Needs none."""
        return self._words[_HOLDER], self._words[_LOCK_COUNT]

    @property
    def commits(self) -> int:
        """Of the store, all of them durable. Set by the one process that writes it."""
        return self._words[_COMMITS]

    @commits.setter
    def commits(self, commits: int) -> None:
        self._words[_COMMITS] = commits

    def reset(self) -> None:
        """Forget what was left: the log is about to be opened, and nobody else is there."""
        for word in range(_HEADER // 8):
            self._words[word] = 0

    @property
    def size(self) -> int:
        """Acknowledged records. Needs no turn."""
        return self._words[_SIZE]

    @property
    def version(self) -> int:
        """Changes whenever the end does."""
        return self._words[_VERSION]

    @property
    def is_open(self) -> bool:
        """Whether any process may write there."""
        return self._words[_STATE] == _OPEN

    @property
    def is_broken(self) -> bool:
        """Whether a holder of the write lock died or failed while writing."""
        return self._words[_STATE] == _WRITING

    def load(self) -> Tail:
        """The end as last published. Call it with the write lock."""
        return _decode(self._room[: self._words[_LENGTH]])

    def peek(self) -> Tail | None:
        """The same without the lock; None while it changes, or before the first `publish`."""
        words = self._words
        for _ in range(_MAX_READS):
            before = words[_VERSION]
            data = bytes(self._room[: words[_LENGTH]])
            if not before & 1 and words[_VERSION] == before:
                return _decode(data) if data else None
        return None

    def begin_write(self) -> None:
        """Mark the end as broken until `publish`."""
        self._words[_STATE] = _WRITING

    def publish(self, tail: Tail) -> None:
        """Publish where the log ends now, all of it durable, and let other processes write."""
        words, data = self._words, _encode(tail)
        words[_VERSION] |= 1  # odd while it changes, see `peek`, or after a death here
        self._room[: len(data)] = data
        words[_LENGTH], words[_SIZE] = len(data), tail.size
        words[_VERSION] += 1
        words[_STATE] = _OPEN

    def _hold(self) -> None:
        self._words[_HOLDER] = os.getpid()
        self._words[_LOCK_COUNT] += 1

    def close_to_others(self) -> None:
        """Keep all processes but the owner from writing, until the owner publishes an end again."""
        self._words[_STATE] = _CLOSED
