"""Reading a log that is being written, from a known place on, across rotations.

Synchronous. Raises `OSError`, and `ValueError` for a log that is not one: it is the verifier's part
to say what is wrong with it.
"""

from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple, TypeVar

from msgspec import Struct

from protocols import json_text
from vault.audit.layout import Layout, first_record
from vault.audit.record import MAX_LINE, Segment, body_as

T = TypeVar("T")

MAX_BYTES: Final = 2**20  # of a stretch, and one record more: 1,024 of the usual size
_BLOCK: Final = MAX_LINE + 1  # bytes of one read: at least one record
_USUAL: Final = 1024  # bytes that hold a record, mostly: as many are read as are asked for


class Place(NamedTuple):
    """Where record `seq` begins: its segment's number, and the offset in it, in bytes."""

    seq: int
    segment: int
    offset: int


class Stretch(NamedTuple):
    """Records of one segment that follow each other, as lines; at its end the next one begins."""

    place: Place
    lines: list[bytes]
    end: Place


class Link(Struct):
    """What ties a record to the one before: its number, and the chain's head in hex."""

    seq: int
    prev: str


_link: Final = json_text.decoder(Link).decode


def parsed(decode: Callable[[bytes], T], line: bytes) -> T:
    """A line, decoded. Raises `ValueError`, also for what is nested a thousand deep."""
    try:
        return decode(line)
    except RecursionError:
        raise ValueError("a record is nested too deeply") from None


def link_of(line: bytes) -> Link:
    """Of a record. Raises `ValueError`."""
    return parsed(_link, line)


def beginning(layout: Layout) -> Place:
    """The first record that is there. Raises `FileNotFoundError` if there is no log."""
    while True:
        numbers = layout.numbers()
        try:
            header = first_record(layout.closed(numbers[0]) if numbers else layout.log)
            segment: Segment = body_as(header, Segment)
        except (FileNotFoundError, ValueError):
            if layout.numbers()[:1] == numbers[:1]:
                raise
        else:
            if layout.numbers()[:1] == numbers[:1]:
                return Place(header.seq, segment.number, 0)
        # What was first is closed, or was let go, since we looked.


def resumed(layout: Layout, place: Place) -> Place:
    """The place, or the first record behind it that retention has left. Raises as `beginning`."""
    first = beginning(layout)
    return place if first.segment <= place.segment else first


def read(layout: Layout, place: Place, until: int, limit: int) -> Stretch:
    """The log from the place on: at most `limit` records, none from number `until` on.

    It ends with its segment, or once it has `MAX_BYTES`; what is closed is followed by the next
    one. Empty at `until` only: what lies before it is said to be there, and `ValueError` says that
    it is not.
    """
    while place.seq < until:
        with _opened(layout, place.segment) as file:
            stretch = _read(file, place, min(limit, until - place.seq))
        if stretch.lines and link_of(stretch.lines[0]).seq == place.seq:
            return stretch
        if stretch.lines or not layout.closed(place.segment).exists():
            raise ValueError(f"record {place.seq} is not where it should be")
        place = Place(place.seq, place.segment + 1, 0)
    return Stretch(place, [], place)


def _read(file: BinaryIO, place: Place, limit: int) -> Stretch:
    lines: list[bytes] = []
    offset = place.offset
    while len(lines) < limit and offset - place.offset < MAX_BYTES:
        wanted = limit - len(lines)
        some = _lines(file, offset, min(wanted * _USUAL, _BLOCK), wanted)
        some = some or _lines(file, offset, _BLOCK, wanted)
        if not some:
            break
        lines += some
        offset += sum(map(len, some)) + len(some)
    return Stretch(place, lines, Place(place.seq + len(lines), place.segment, offset))


def _lines(file: BinaryIO, offset: int, size: int, most: int) -> list[bytes]:
    """The whole lines among so many bytes, at most `most`."""
    file.seek(offset)
    lines = file.read(size).split(b"\n", most)
    lines.pop()  # what comes behind the last newline
    return lines


def _opened(layout: Layout, segment: int) -> BinaryIO:
    """The segment's file, which may be renamed just now: who had it open keeps it."""
    closed = layout.closed(segment)
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
