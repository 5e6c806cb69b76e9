"""Reading a log that is being written, from a known place on, across rotations.

Synchronous. Raises `OSError`, and `ValueError` for a log that is not one: it is the verifier's part
to say what is wrong with it.
"""

from typing import BinaryIO, Final, NamedTuple

import msgspec
from msgspec import Struct

from vault.audit.layout import Layout, first_record
from vault.audit.record import MAX_LINE, Segment, body_as

_BLOCK: Final = MAX_LINE + 1  # bytes of one read: at least one record, mostly many


class _Number(Struct):
    seq: int


_number: Final = msgspec.json.Decoder(_Number).decode


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


def beginning(layout: Layout) -> Place | None:
    """The first record that is there; None while the log's first is still being written."""
    for path in layout.files():
        header = first_record(path)
        segment: Segment = body_as(header, Segment)
        return Place(header.seq, segment.number, 0)
    return None


def resumed(layout: Layout, place: Place) -> Place | None:
    """The place, or the first record behind it that retention has left."""
    first = beginning(layout)
    return place if first is None or first.segment <= place.segment else first


def read(layout: Layout, place: Place, until: int, limit: int) -> Stretch:
    """The log from the place on: at most `limit` records, none from number `until` on.

    It ends with its segment; what is closed is followed by the next one. Empty at `until` only:
    what lies before it is said to be there, and `ValueError` says that it is not.
    """
    while place.seq < until:
        with _opened(layout, place.segment) as file:
            stretch = _read(file, place, min(limit, until - place.seq))
        if stretch.lines and _number(stretch.lines[0]).seq == place.seq:
            return stretch
        if stretch.lines or not layout.closed(place.segment).exists():
            raise ValueError(f"record {place.seq} is not where it should be")
        place = Place(place.seq, place.segment + 1, 0)
    return Stretch(place, [], place)


def _read(file: BinaryIO, place: Place, limit: int) -> Stretch:
    lines: list[bytes] = []
    offset = place.offset
    while len(lines) < limit:
        file.seek(offset)
        block = file.read(_BLOCK)
        some = block[: block.rfind(b"\n") + 1].split(b"\n")[:-1][: limit - len(lines)]
        if not some:
            break
        lines += some
        offset += sum(map(len, some)) + len(some)
    return Stretch(place, lines, Place(place.seq + len(lines), place.segment, offset))


def _opened(layout: Layout, segment: int) -> BinaryIO:
    """The segment's file, which may be renamed just now: who had it open keeps it."""
    closed = layout.closed(segment)
    if not closed.exists():
        file = layout.log.open("rb")
        if not closed.exists():
            return file
        file.close()
    return closed.open("rb")
