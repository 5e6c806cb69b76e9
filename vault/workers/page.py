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
from typing import Final

from vault.audit.end import BYTES as END

WRITTEN: Final = 0  # the journal's end
RESERVED: Final = 1  # as far as its bytes may be changing
BEGUN: Final = 2  # where the transaction that is under way was announced; 0: none is
OPENING: Final = 3  # which opening of the vault it is; 0: sealed
FAILED_AT: Final = 4  # Unix ns of the last wrong secret that was counted
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
        self._memory = mmap.mmap(fd, _SIZE)
        view = memoryview(self._memory)
        self.words = view[:_HEADER].cast("Q")
        self.ring = view[_HEADER : _HEADER + RING]
        self.buckets = view[_BUCKETS_AT:_END_AT].cast("Q")
        self.end = view[_END_AT:]


def create() -> int:
    """New anonymous memory, all zero; its descriptor."""
    fd = os.memfd_create("freehold-page", os.MFD_CLOEXEC)
    os.ftruncate(fd, _SIZE)
    return fd
