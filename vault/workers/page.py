"""The page: memory that the processes of one agent share, mostly with one writer for each word.

The fleet writes `OPENING`, each worker its own count of connections, whoever commits the head, and
all of them the buckets, the failures and the end of the audit log (see there). Words are 64 bits,
aligned, and stored and loaded by one instruction; that stores become visible in their order is what
x86-64 guarantees and others do not (Intel SDM volume 3, section 9.2.2), so other machines are
refused by the settings.
"""

import mmap
import os
from typing import Final

from vault.audit import shared_tail
from vault.authz.rate_limits import Limit
from vault.store import shared_head

OPENING: Final = 0  # which opening of the vault it is; 0: sealed
LOCKOUTS: Final = 1  # how many lockouts have begun
CONNECTIONS: Final = 64  # and following: how many each worker has open, by its number

BUCKETS: Final = 1 << 14  # of a limit; pairs of words: whose bucket it is, and when it is full
FAILURES: Final = 1 << 16  # pairs of words: whose failures they are, and how many, until when
_PAIR: Final = 16  # bytes
_HEADER: Final = 4096
_HEAD_AT: Final = _HEADER
_BUCKETS_AT: Final = _HEAD_AT + 4096
_LIMITS: Final = tuple(Limit)
_FAILURES_AT: Final = _BUCKETS_AT + len(_LIMITS) * BUCKETS * _PAIR
_TAIL_AT: Final = _FAILURES_AT + FAILURES * _PAIR
_SIZE: Final = _TAIL_AT + shared_tail.BYTES


class Page:
    """A mapping of the memory behind a descriptor."""

    def __init__(self, fd: int) -> None:
        """`fd` from `create`, in this process or inherited; it is not needed afterwards."""
        view = memoryview(mmap.mmap(fd, _SIZE))
        self.words = view[:_HEADER].cast("Q")
        self.head = view[_HEAD_AT : _HEAD_AT + shared_head.BYTES]
        self.buckets = {limit: _buckets(view, number) for number, limit in enumerate(_LIMITS)}
        self.failures = view[_FAILURES_AT:_TAIL_AT].cast("Q")
        self.tail = view[_TAIL_AT:]


def _buckets(view: memoryview, number: int) -> memoryview:
    """A limit's own: what fills them costs no other limit anything."""
    start = _BUCKETS_AT + number * BUCKETS * _PAIR
    return view[start : start + BUCKETS * _PAIR].cast("Q")


def create() -> int:
    """New anonymous memory, all zero; its descriptor."""
    fd = os.memfd_create("freehold-page", os.MFD_CLOEXEC)
    os.ftruncate(fd, _SIZE)
    return fd
