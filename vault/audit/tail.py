"""Reading a log that is being written, from any record on, across rotations."""

from os import SEEK_END
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.audit.layout import Layout, first_record
from vault.audit.record import MAX_LINE, Segment, body_as

_BLOCK: Final = MAX_LINE + 1  # bytes of one read: at least one record, mostly many


class Outline(Struct, frozen=True):
    """A record but for its commitments; `body` is left as it is written."""

    seq: int
    time: str
    kind: str
    body: msgspec.Raw

    def body_as(self, shape: type[Any]) -> Any:
        """The body as a struct, which need not name all of it. Raises `ValueError`."""
        return msgspec.json.decode(self.body, type=shape)


_decode = msgspec.json.Decoder(Outline).decode


class Tail:
    """A place in a log, which moves on as records are read.

    Synchronous. Raises `OSError`, and `ValueError` for a log that is not one: it is the verifier's
    part to say what is wrong with it.
    """

    def __init__(self, layout: Layout, seq: int) -> None:
        """Begin at record `seq`, or at the first that is still there."""
        self._layout = layout
        self._seq = seq
        self._number = 0  # of the segment; 0: not found yet
        self._offset = 0

    def read(self, until: int, limit: int) -> list[Outline]:
        """The next records, at most `limit`, none with the number `until` or above."""
        if not self._number and not self._find():
            return []
        found = self._read(until, limit)
        while not found and self._seq < until and self._layout.closed(self._number).exists():
            self._number, self._offset = self._number + 1, 0
            found = self._read(until, limit)
        return found

    def _find(self) -> bool:
        first = 0
        for path in reversed(self._layout.files()):
            header = first_record(path)
            segment: Segment = body_as(header, Segment)
            self._number = segment.number
            first = header.seq
            if first <= self._seq:
                self._offset = _before(self._path(), self._seq)
                return True
        self._seq = max(self._seq, first)  # what lies before is gone by retention
        return bool(self._number)

    def _read(self, until: int, limit: int) -> list[Outline]:
        records: list[Outline] = []
        while lines := self._lines():
            for line in lines:
                entry = _decode(line)
                if entry.seq >= until or len(records) == limit:
                    return records
                if entry.seq > self._seq:
                    raise ValueError(f"record {self._seq} is not where it should be")
                if entry.seq == self._seq:
                    records.append(entry)
                    self._seq += 1
                self._offset += len(line) + 1
        return records

    def _lines(self) -> list[bytes]:
        """The next whole lines; none while the next one is still being written."""
        with self._path().open("rb") as file:
            file.seek(self._offset)
            block = file.read(_BLOCK)
        return block[: block.rfind(b"\n") + 1].split(b"\n")[:-1]

    def _path(self) -> Path:
        closed = self._layout.closed(self._number)
        return closed if closed.exists() else self._layout.log


def _before(segment: Path, seq: int) -> int:
    """Where a line begins from which record `seq` is not far: it, or one before it.

    By halves. A full segment has 100,000 records, and an agent looks for its place at each start,
    while its first requests are waiting.
    """
    low = 0
    with segment.open("rb") as file:
        high = file.seek(0, SEEK_END)
        while high - low > _BLOCK:
            middle = (low + high) // 2
            file.seek(middle)
            file.readline(_BLOCK)  # what is left of a line
            begin, line = file.tell(), file.readline(_BLOCK)
            if line.endswith(b"\n") and _decode(line).seq <= seq:
                low = begin
            else:
                high = middle
    return low
