"""Bringing a copy of the log up to a longer one, file by file and byte by byte."""

from pathlib import Path
from typing import Final

from vault.audit.layout import Layout, first_record
from vault.audit.record import Segment, body_as
from vault.audit.recovery import damaged
from vault.audit.sinks.disk import Disk

_CHUNK: Final = 2**20  # bytes


def bring_up(behind: Layout, ahead: Layout, disk: Disk) -> None:
    """Append to `behind` what `ahead` has more; both logs are closed.

    Afterwards the two are equal from the last segment of `behind` on. Raises `TamperedError` when
    that segment is not the beginning of its counterpart, or `OSError`.
    """
    files = ahead.files()
    if behind.log.exists():
        number = _number(behind.log)
        files = [path for path in files if _number(path) >= number]
        if not files or not _is_prefix(behind.log, files[0]):
            raise damaged(str(behind.log), f"it is not a copy of {ahead.log}")
    else:
        known = set(behind.numbers())
        files = [path for path in files if _number(path) not in known]
    for path in files:
        _append(path, behind.log, disk)
        if path != ahead.log:
            disk.rename(behind.log, behind.closed(_number(path)))
    _append(ahead.head, behind.head, disk, begin=0)
    disk.sync_folder(behind.log.parent)


def _number(path: Path) -> int:
    try:
        segment: Segment = body_as(first_record(path), Segment)
    except ValueError as error:
        raise damaged(str(path), str(error)) from None
    return segment.number


def _is_prefix(short: Path, long: Path) -> bool:
    with short.open("rb") as a, long.open("rb") as b:
        while chunk := a.read(_CHUNK):
            if b.read(len(chunk)) != chunk:
                return False
    return True


def _append(source: Path, target: Path, disk: Disk, begin: int | None = None) -> None:
    """Copy the source from where the target ends (or from `begin`), durably."""
    fd = disk.open(target, create=True)
    try:
        offset = disk.size(fd) if begin is None else begin
        with source.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                rest = memoryview(chunk)
                while rest:
                    written = disk.write(fd, rest, offset)
                    rest, offset = rest[written:], offset + written
        disk.sync(fd)
    finally:
        disk.close(fd)
