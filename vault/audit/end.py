"""The end of a log that several processes write, in turn: whose turn it is, and where they left it.

The turn is a lock on the head file (an open file description's, see fcntl(2)), so the kernel gives
it back for who dies. What the last one left lies in memory that all of them share. Who has the turn
looks first whether the end is open; between `begin` and `leave` it is not, so a process that dies
or fails while it writes leaves an end that is `broken`. The log's owner then opens the log anew, as
at a start, and nobody else touches it before.
"""

import fcntl
import os
import struct
from pathlib import Path
from threading import Event
from typing import Final, Protocol, Self

import msgspec
from msgspec import Struct

from protocols.merkle import Frontier
from vault.audit.chain import Chain
from vault.audit.keys import Digest
from vault.audit.ledger import Position

BYTES: Final = 8192  # of shared memory
_HEADER: Final = 64
_STATE, _VERSION, _SIZE, _LENGTH = range(4)  # words of the header
_SHUT, _OPEN, _WRITING = range(3)
_LOCK: Final = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)  # struct flock, x86-64
_UNLOCK: Final = struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0)
_LOOK_EVERY: Final = 0.01  # seconds


class Tail(Struct, frozen=True, array_like=True):
    """The last acknowledged line of `audit.log`, by which a file that is opened again is known."""

    length: int = 0  # bytes, its newline included; 0: there is no line
    digest: bytes = b""  # SHA-256 of it, its newline included


class Files(Protocol):
    """What a sink knows of its files. See `FileSink`."""

    tail: Tail
    slot: int


class End(Struct, frozen=True, array_like=True):
    """Where a log ends, its files included: all that the next one to write there has to know."""

    size: int  # records
    head: bytes  # of the chain
    frontier: list[bytes]
    segment: int
    length: int  # bytes of the segment
    mark: int  # see `Position`, as the following
    checkpoint: int
    settled_at: int
    tail: Tail
    slot: int  # of the head file, the one that was written last
    note: str  # the signed head
    commits: int  # of the store, when its owner was there last

    @classmethod
    def of(cls, position: Position, files: Files, note: str, commits: int) -> Self:
        """Of a log whose last segment is open, after a batch with this note."""
        chain = position.chain
        return cls(
            chain.size,
            chain.head,
            chain.tree.hashes,
            position.segment,
            position.length,
            position.mark,
            position.checkpoint,
            position.settled_at,
            files.tail,
            files.slot,
            note,
            commits,
        )

    def position(self, digest: Digest) -> Position:
        """The same as a `Ledger` takes it."""
        return Position(
            Chain(digest, self.head, Frontier(digest, self.size, self.frontier)),
            self.segment,
            self.length,
            self.mark,
            closed=False,
            checkpoint=self.checkpoint,
            settled_at=self.settled_at,
        )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(End).decode


class Turn:
    """One process's hold on the lock. One thread at a time; methods raise `OSError`."""

    def __init__(self, head: Path) -> None:
        self._path = head
        self._fd: int | None = None

    def take(self) -> None:
        """Wait for it."""
        fcntl.fcntl(self._open(), fcntl.F_OFD_SETLKW, _LOCK)

    def take_now(self) -> bool:
        """Take it if it is free; whether it was."""
        try:
            fcntl.fcntl(self._open(), fcntl.F_OFD_SETLK, _LOCK)
        except BlockingIOError:
            return False
        return True

    def take_within(self, seconds: float) -> bool:
        """Wait for it no longer than that; whether it is ours."""
        for _ in range(int(seconds / _LOOK_EVERY)):
            if self.take_now():
                return True
            Event().wait(_LOOK_EVERY)
        return False

    def give(self) -> None:
        """Give it back."""
        fcntl.fcntl(self._open(), fcntl.F_OFD_SETLK, _UNLOCK)

    def close(self) -> None:
        """Give it back if it is ours, and the descriptor."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self._fd


class SharedEnd:
    """The end in shared memory, as one process sees it. Whoever changes it has the `turn`."""

    def __init__(self, memory: memoryview, head: Path) -> None:
        """`memory`: `BYTES` of it, zero for a log that is yet to be opened."""
        self.turn = Turn(head)
        self._words = memory[:_HEADER].cast("Q")
        self._room = memory[_HEADER:]

    def clear(self) -> None:
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
        """Whether somebody who had the turn died or failed while he wrote."""
        return self._words[_STATE] == _WRITING

    def load(self) -> End:
        """What the last one left; for who has the turn."""
        return _decode(self._room[: self._words[_LENGTH]])

    def look(self) -> End | None:
        """The same without a turn; None while somebody changes it, or where there is none yet."""
        words = self._words
        before = words[_VERSION]
        data = bytes(self._room[: words[_LENGTH]])
        if before & 1 or words[_VERSION] != before or not data:
            return None
        return _decode(data)

    def begin(self) -> None:
        """Say that from here on the files are not as the end says."""
        self._words[_STATE] = _WRITING

    def leave(self, end: End) -> None:
        """Say where the log ends now, all of it acknowledged, and that anybody may go on."""
        words, data = self._words, _encode(end)
        words[_VERSION] |= 1  # odd: under way, see `look`; as it is where somebody died here
        self._room[: len(data)] = data
        words[_LENGTH], words[_SIZE] = len(data), end.size
        words[_VERSION] += 1
        words[_STATE] = _OPEN

    def shut(self) -> None:
        """Keep everybody but the owner from writing, until he leaves an end again."""
        self._words[_STATE] = _SHUT
