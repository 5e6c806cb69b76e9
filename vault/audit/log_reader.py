"""Reading a log that is being written, from a known place on, across rotations.

Synchronous. Raises `OSError`, and `ValueError` for a log that is not one: it is the verifier's part
to say what is wrong with it.
"""

from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple, TypeVar

from msgspec import Struct

from protocols import json_text
from vault.audit.layout import LogLayout, read_segment_header
from vault.audit.record import MAX_LINE, SegmentBody, decode_body

T = TypeVar("T")

MAX_BYTES: Final = 2**20  # of a stretch, and one record more: 1,024 of the usual size
_BLOCK: Final = MAX_LINE + 1  # bytes of one read: at least one record
_TYPICAL_LINE: Final = 1024  # bytes that hold a record, mostly: as many are read as are asked for


class RecordLocation(NamedTuple):
    """Where record `seq` begins: its segment's number, and the offset in it, in bytes."""

    seq: int
    segment: int
    offset: int


class RecordRange(NamedTuple):
    """Records of one segment that follow each other, as lines; at its end the next one begins."""

    start: RecordLocation
    lines: list[bytes]
    end: RecordLocation


class ChainLink(Struct):
    """What ties a record to the one before: its number, and the chain's head in hex."""

    seq: int
    prev: str


_decode_link: Final = json_text.decoder(ChainLink).decode


def decode_line(decode: Callable[[bytes], T], line: bytes) -> T:
    """A line, decoded. Raises `ValueError`, also for what is nested a thousand deep."""
    try:
        return decode(line)
    except RecursionError:
        raise ValueError("a record is nested too deeply") from None


def parse_chain_link(line: bytes) -> ChainLink:
    """Of a record. Raises `ValueError`."""
    return decode_line(_decode_link, line)


def first_location(layout: LogLayout) -> RecordLocation:
    """The first record that is there. Raises `FileNotFoundError` if there is no log."""
    while True:
        numbers = layout.closed_segment_numbers()
        try:
            header = read_segment_header(
                layout.closed_segment(numbers[0]) if numbers else layout.log
            )
            segment: SegmentBody = decode_body(header, SegmentBody)
        except (FileNotFoundError, ValueError):
            if layout.closed_segment_numbers()[:1] == numbers[:1]:
                raise
        else:
            if layout.closed_segment_numbers()[:1] == numbers[:1]:
                return RecordLocation(header.seq, segment.number, 0)
        # What was first is closed, or was let go, since we looked.


def resume_location(layout: LogLayout, location: RecordLocation) -> RecordLocation:
    """The location, or the first record after it that retention left.

    Raises as `first_location`.
    """
    first = first_location(layout)
    return location if first.segment <= location.segment else first


def read_range(layout: LogLayout, start: RecordLocation, until: int, limit: int) -> RecordRange:
    """The log from the place on: at most `limit` records, none from number `until` on.

    It ends with its segment, or once it has `MAX_BYTES`; what is closed is followed by the next
    one. Empty at `until` only: what lies before it is said to be there, and `ValueError` says that
    it is not.
    """
    while start.seq < until:
        with _open_segment(layout, start.segment) as file:
            stretch = _read(file, start, min(limit, until - start.seq))
        if stretch.lines and parse_chain_link(stretch.lines[0]).seq == start.seq:
            return stretch
        if stretch.lines or not layout.closed_segment(start.segment).exists():
            raise ValueError(f"record {start.seq} is not where it should be")
        start = RecordLocation(start.seq, start.segment + 1, 0)
    return RecordRange(start, [], start)


def _read(file: BinaryIO, place: RecordLocation, limit: int) -> RecordRange:
    lines: list[bytes] = []
    offset = place.offset
    while len(lines) < limit and offset - place.offset < MAX_BYTES:
        wanted = limit - len(lines)
        some = _lines(file, offset, min(wanted * _TYPICAL_LINE, _BLOCK), wanted)
        some = some or _lines(file, offset, _BLOCK, wanted)
        if not some:
            break
        lines += some
        offset += sum(map(len, some)) + len(some)
    return RecordRange(place, lines, RecordLocation(place.seq + len(lines), place.segment, offset))


def _lines(file: BinaryIO, offset: int, size: int, most: int) -> list[bytes]:
    """The whole lines among so many bytes, at most `most`."""
    file.seek(offset)
    lines = file.read(size).split(b"\n", most)
    lines.pop()  # what comes behind the last newline
    return lines


def _open_segment(layout: LogLayout, segment: int) -> BinaryIO:
    """The segment's file, which may be renamed just now: who had it open keeps it."""
    closed = layout.closed_segment(segment)
    while not closed.exists():
        try:
            file = layout.log.open("rb")
        except FileNotFoundError:  # between the two steps of closing a segment, or gone
            if closed.exists():
                break
            raise
        if not closed.exists():
            return file
        file.close()
    return closed.open("rb")
