"""Bringing a copy of the log up to a longer one, file by file and byte by byte."""

from pathlib import Path
from typing import Final

from vault.audit.head_file import SECTOR, SLOTS, SPACING, encode_slot
from vault.audit.layout import LogLayout, read_segment_header
from vault.audit.record import SegmentBody, decode_body
from vault.audit.recovery import tampered_error
from vault.audit.sinks.disk import Disk

_CHUNK: Final = 2**20  # bytes


def catch_up(behind: LogLayout, ahead: LogLayout, disk: Disk) -> None:
    """Append to `behind` what `ahead` has more, while neither is written.

    Afterwards the two are equal from the last segment of `behind` on. Raises `TamperedError` when
    that segment is not the beginning of its counterpart, or `OSError`.
    """
    files = ahead.segment_files()
    if behind.log.exists():
        number = _header(behind.log).number
        files = [path for path in files if _header(path).number >= number]
        if not files or not _is_prefix(behind.log, files[0]):
            raise tampered_error(str(behind.log), f"it is not a copy of {ahead.log}")
    else:
        known = set(behind.closed_segment_numbers())
        files = [path for path in files if _header(path).number not in known]
    for path in files:
        if not behind.log.exists():
            # The header's note covers all segments before this one: with it as the head, a copy
            # that is interrupted here or later is a log that was interrupted here.
            _write_head(behind.head_file, [encode_slot(_header(path).note, 0)] * SLOTS, disk)
        _append(path, behind.log, disk)
        if path != ahead.log:
            disk.rename(behind.log, behind.closed_segment(_header(path).number))
    head = ahead.head_file.read_bytes()
    _write_head(behind.head_file, [head[i * SPACING :][:SECTOR] for i in range(SLOTS)], disk)
    disk.sync_folder(behind.log.parent)


def _header(path: Path) -> SegmentBody:
    try:
        segment: SegmentBody = decode_body(read_segment_header(path), SegmentBody)
    except ValueError as error:
        raise tampered_error(str(path), str(error)) from None
    return segment


def _is_prefix(short: Path, long: Path) -> bool:
    with short.open("rb") as a, long.open("rb") as b:
        while chunk := a.read(_CHUNK):
            if b.read(len(chunk)) != chunk:
                return False
    return True


def _append(source: Path, target: Path, disk: Disk) -> None:
    """Copy the source from where the target ends, durably."""
    fd = disk.open(target, create=True)
    try:
        offset = disk.size(fd)
        with source.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                _write_at(fd, chunk, offset, disk)
                offset += len(chunk)
        disk.sync(fd)
    finally:
        disk.close(fd)


def _write_head(target: Path, slots: list[bytes], disk: Disk) -> None:
    """Write one slot after the other: at any moment one of them is whole."""
    fd = disk.open(target, create=True)
    try:
        for number, block in enumerate(slots):
            _write_at(fd, block, number * SPACING, disk)
            disk.sync(fd)
    finally:
        disk.close(fd)


def _write_at(fd: int, data: bytes, offset: int, disk: Disk) -> None:
    rest = memoryview(data)
    while rest:
        written = disk.write(fd, rest, offset)
        rest, offset = rest[written:], offset + written
