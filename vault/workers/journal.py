"""The journal: what the leader tells all workers at once, in a ring of shared memory.

A transaction is announced before it commits (`Fence`) and ended after it (`Settled`), both before
anybody is told of it. In between no process answers from memory for the rows it changes: the
database alone says what they are, so all processes agree at any moment on what they are, and not
only once the change is acknowledged.

A reader pulls: it compares one word at the start of each request, and reads on if that has moved.
The writer never waits for a reader. One that was overtaken by a whole ring is told so (`LOST`).
"""

import logging
from collections.abc import Iterable
from enum import Enum
from threading import Lock
from typing import Final, Literal, NewType, TypeAlias

import msgspec
from msgspec import Struct

from protocols.errors import locate
from vault.store.bounded_cache import Slot
from vault.store.table import Key, plain_key
from vault.workers.page import BEGUN, FAILED_AT, RESERVED, RING, WRITTEN, Page

Row = NewType("Row", tuple[str, tuple[str | int, ...]])
"""A table's name and a row's key. Only `row_of` makes one, so every `Row` can be encoded."""
Pair: TypeAlias = tuple[str, str]  # credential id, source address

FIRST: Final = 8  # where a journal begins: 0 is for "none"
_LENGTH: Final = 4
_MOST: Final = RING // 4  # bytes of one entry; a larger fence is around everything


class Fence(Struct, frozen=True, tag="f", array_like=True):
    """These rows are about to be changed; None: any may be.

    `snapshots`: those of them that a worker holds in another form than its cache.
    """

    slots: tuple[Slot, ...] | None
    snapshots: tuple[Row, ...] = ()


class Settled(Struct, frozen=True, tag="s", array_like=True):
    """What was announced has happened or not: the database says which."""


class Failed(Struct, frozen=True, tag="x", array_like=True):
    """A wrong secret was counted for this pair."""

    pair: Pair


class Cleared(Struct, frozen=True, tag="c", array_like=True):
    """The pair's failures are forgotten."""

    pair: Pair


Entry: TypeAlias = Fence | Settled | Failed | Cleared
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
_EVERYTHING: Final = _encode(Fence(None))

log: Final = logging.getLogger("freehold.workers")


def row_of(table: str, key: Key) -> Row:
    """The row with this key. A key may hold a `ResourcePath`, which msgpack does not encode."""
    return Row((table, plain_key(key)))


class Lost(Enum):
    """A singleton."""

    LOST = "lost"


LOST: Final = Lost.LOST
"""Instead of entries: some are overwritten. `JournalReader` goes on from what is sure."""


class JournalWriter:
    """The leader's end. Thread-safe: the store's writer and the event loop both write."""

    def __init__(self, page: Page) -> None:
        self._words = page.words
        self._ring = page.ring
        self._lock = Lock()
        self._words[RESERVED] = self._words[WRITTEN] = FIRST

    def fence(self, slots: Iterable[Slot], snapshots: Iterable[Row] = ()) -> None:
        """Announce a transaction; `settle` ends it.

        Never fails: a fence that cannot be encoded is around everything, which is always true.
        """
        try:
            data = _encode(Fence(tuple(slots), tuple(snapshots)))
        except Exception as error:  # noqa: BLE001  # else the transaction fails, and its neighbours
            log.error("a fence is around everything, since it failed with %s", locate(error))  # noqa: TRY400  # its text could hold a name
            data = _EVERYTHING
        with self._lock:
            self._append(data if len(data) <= _MOST else _EVERYTHING, begins=True)

    def fence_all(self) -> None:
        """Announce that any row may change; `settle` ends it."""
        with self._lock:
            self._append(_EVERYTHING, begins=True)

    def settle(self) -> None:
        """End the transaction that was announced."""
        with self._lock:
            self._append(_encode(Settled()))
            self._words[BEGUN] = 0

    def failed(self, pair: Pair, now: int) -> None:
        """Tell of a wrong secret at `now` (Unix ns)."""
        with self._lock:
            self._words[FAILED_AT] = now
            self._append(_encode(Failed(pair)))

    def cleared(self, pair: Pair) -> None:
        """Tell that its failures are forgotten."""
        with self._lock:
            self._append(_encode(Cleared(pair)))

    def _append(self, data: bytes, *, begins: bool = False) -> None:
        words, start = self._words, self._words[WRITTEN]
        entry = len(data).to_bytes(_LENGTH) + data
        words[RESERVED] = start + len(entry)  # before a byte is changed: readers look at it last
        at = start % RING
        first = min(len(entry), RING - at)
        self._ring[at : at + first] = entry[:first]
        self._ring[: len(entry) - first] = entry[first:]
        if begins:
            words[BEGUN] = start
        words[WRITTEN] = start + len(entry)


class JournalReader:
    """A worker's end."""

    def __init__(self, page: Page) -> None:
        self._words = page.words
        self._ring = page.ring
        self.position = 0
        self.join()

    def join(self) -> None:
        """Go on from here, or from the announcement of the transaction that is under way."""
        written = self._words[
            WRITTEN
        ]  # first: what is announced between the two loads is read later
        begun = self._words[BEGUN]
        self.position = min(written, begun) if begun else written

    def is_behind(self) -> bool:
        """Whether there is something to read."""
        return self._words[WRITTEN] != self.position

    def read(self) -> list[Entry] | Literal[Lost.LOST]:
        """The entries since the last call. After `LOST` it goes on as after `join`."""
        start, end = self.position, self._words[WRITTEN]
        if end - start > RING:
            self.join()
            return LOST
        at, length = start % RING, end - start
        data = bytes(self._ring[at : at + length])
        data += bytes(self._ring[: length - len(data)])
        if self._words[RESERVED] - start > RING:  # overtaken while we copied
            self.join()
            return LOST
        self.position = end
        return list(_entries(data))


def _entries(data: bytes) -> Iterable[Entry]:
    at = 0
    while at < len(data):
        body = at + _LENGTH
        at = body + int.from_bytes(data[at:body])
        yield _decode(data[body:at])
