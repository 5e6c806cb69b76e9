"""The page: memory that leader and workers share, mostly with one writer for each word of it.

The journal writes `WRITTEN`, `RESERVED`, `BEGUN`, `FAILED_AT` and the ring, the fleet `OPENING`,
each worker its own count of connections, and all of them the buckets and the end of the audit log
(see there). Words are 64
bits, aligned, and stored and loaded by one instruction; that stores become visible in their order
is what x86-64 guarantees and others do not (Intel SDM volume 3, section 9.2.2), so other machines
are refused by the settings.
"""

import mmap
import os
from collections.abc import Sequence
from typing import Final

from vault.audit.shared_tail import BYTES as END
from vault.store.row_index import MAX_SEGMENTS, Segment

WRITTEN: Final = 0  # the journal's end
RESERVED: Final = 1  # as far as its bytes may be changing
BEGUN: Final = 2  # where the transaction that is under way was announced; 0: none is
OPENING: Final = 3  # which opening of the vault it is; 0: sealed
FAILED_AT: Final = 4  # Unix ns of the last wrong secret that was counted
SEGMENTS: Final = 8  # how many the index of rows has
PLACES: Final = 9  # and following: where each begins, and how many words it has
CONNECTIONS: Final = 64  # and following: how many each worker has open, by its number

RING: Final = (
    1 << 20
)  # bytes; some 10,000 changed rows: a worker that is further behind starts over
BUCKETS: Final = 1 << 14  # pairs of words: whose bucket it is, and when it is full
_HEADER: Final = 4096
_BUCKETS_AT: Final = _HEADER + RING
_END_AT: Final = _BUCKETS_AT + BUCKETS * 16
_SIZE: Final = _END_AT + END


class Page:
    """A mapping of the memory behind a descriptor."""

    def __init__(self, fd: int) -> None:
        """`fd` from `create`, in this process or inherited; it is not needed afterwards."""
        self.fd = os.dup(fd)
        self._memory = mmap.mmap(fd, _SIZE)
        view = memoryview(self._memory)
        self.words = view[:_HEADER].cast("Q")
        self.ring = view[_HEADER : _HEADER + RING]
        self.buckets = view[_BUCKETS_AT:_END_AT].cast("Q")
        self.end = view[_END_AT:]


class SharedRows:
    """The row index's `IndexMemory` behind the page, of one opening. The leader alone changes it.

    What an opening leaves is never cut off, since a worker may still look there: its memory is
    given back, and reads as zeros.
    """

    def __init__(self, page: Page) -> None:
        self._words = page.words
        self._fd = page.fd
        self._mapped: list[mmap.mmap] = []
        self._segments: list[Segment] = []

    @property
    def segments(self) -> Sequence[Segment]:
        """Those that there are."""
        if len(self._segments) != self._words[SEGMENTS]:
            self._map()
        return self._segments

    def grow(self, words: int) -> None:
        """One more, all zero."""
        number = self._words[SEGMENTS]
        if number == MAX_SEGMENTS:
            raise ValueError("there are as many as the page has words for")
        start = _whole(os.fstat(self._fd).st_size)
        os.ftruncate(self._fd, start + words * 8)
        at = PLACES + 2 * number
        self._words[at], self._words[at + 1] = start, words
        self._words[SEGMENTS] = number + 1  # last: who sees it sees where it is
        self._map()

    def clear(self) -> None:
        """None any more."""
        self._map()
        self._words[SEGMENTS] = 0
        for mapped in self._mapped:
            mapped.madvise(mmap.MADV_REMOVE)
        self._mapped, self._segments = [], []

    def _map(self) -> None:
        for number in range(len(self._segments), self._words[SEGMENTS]):
            start, words = self._words[PLACES + 2 * number], self._words[PLACES + 2 * number + 1]
            self._mapped.append(mmap.mmap(self._fd, words * 8, offset=start))
            self._segments.append(memoryview(self._mapped[-1]).cast("Q"))


def _whole(size: int) -> int:
    return -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


def create() -> int:
    """New anonymous memory, all zero; its descriptor."""
    fd = os.memfd_create("freehold-page", os.MFD_CLOEXEC)
    os.ftruncate(fd, _SIZE)
    return fd
