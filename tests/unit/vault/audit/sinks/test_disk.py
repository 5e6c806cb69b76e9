"""The disk's small promises."""

import errno
from pathlib import Path

import pytest

from vault.audit.sinks.disk import Disk, is_disk_full

DISK = Disk()


def test_a_full_disk_is_told_from_a_broken_one() -> None:
    """No space and no quota are full; an input/output error is not."""
    assert is_disk_full(OSError(errno.ENOSPC, ""))
    assert is_disk_full(OSError(errno.EDQUOT, ""))
    assert not is_disk_full(OSError(errno.EIO, ""))


def test_what_is_written_is_there(tmp_path: Path) -> None:
    """Write, read, cut, size."""
    fd = DISK.open(tmp_path / "f", create=True)
    assert DISK.write(fd, memoryview(b"hello"), 3) == 5
    assert DISK.read(fd, 9, 2) == b"\0hello"
    DISK.truncate(fd, 4)
    DISK.sync(fd)
    assert DISK.size(fd) == 4
    DISK.allocate(fd, 100)
    assert DISK.size(fd) == 100
    DISK.unlink(tmp_path / "f")
    DISK.unlink(tmp_path / "f")
    assert DISK.size(fd) == -1
    DISK.close(fd)


def test_a_name_that_is_taken_is_not_overwritten(tmp_path: Path) -> None:
    """Renaming never destroys a segment."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        DISK.rename(tmp_path / "a", tmp_path / "b")
    DISK.rename(tmp_path / "a", tmp_path / "c")
    DISK.sync_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    """A second lock fails at once."""
    first = DISK.open(tmp_path / "f", create=True)
    second = DISK.open(tmp_path / "f")
    DISK.lock(first)
    with pytest.raises(BlockingIOError):
        DISK.lock(second)
    DISK.close(first)
    DISK.lock(second)
    DISK.close(second)
