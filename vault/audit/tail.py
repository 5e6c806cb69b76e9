"""Reading a log that is being written, from any record on, across rotations."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from vault.audit.layout import Layout, first_record, read_lines
from vault.audit.record import Segment, body_as


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
                return True
        self._seq = max(self._seq, first)  # what lies before is gone by retention
        return bool(self._number)

    def _read(self, until: int, limit: int) -> list[Outline]:
        records: list[Outline] = []
        offset = self._offset
        for line in read_lines(self._path(), offset):
            entry = _decode(line.data) if line.whole and len(records) < limit else None
            if entry is None or entry.seq >= until:
                break
            offset += len(line.data) + 1
            if entry.seq > self._seq + len(records):
                raise ValueError(f"record {self._seq + len(records)} is not where it should be")
            if entry.seq >= self._seq:
                records.append(entry)
        self._offset = offset
        self._seq = records[-1].seq + 1 if records else self._seq
        return records

    def _path(self) -> Path:
        closed = self._layout.closed(self._number)
        return closed if closed.exists() else self._layout.log
