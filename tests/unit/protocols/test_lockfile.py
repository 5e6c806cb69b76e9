"""protocols.lockfile: one holder."""

import os
from pathlib import Path

import pytest

from protocols.errors import UnavailableError
from protocols.lockfile import LockFile


def test_one_holder(tmp_path: Path) -> None:
    """A second one is refused at once, and let in after the first is done."""
    first, second = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    first.acquire()
    with pytest.raises(UnavailableError) as caught:
        second.acquire()
    assert caught.value.code == "store_locked"
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_mode(tmp_path: Path) -> None:
    """The file is its owner's only, whatever the umask."""
    lock = LockFile(tmp_path / "lock")
    before = os.umask(0)
    try:
        lock.acquire()
    finally:
        os.umask(before)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_no_folder(tmp_path: Path) -> None:
    """Where there is no folder there is no lock."""
    with pytest.raises(FileNotFoundError):
        LockFile(tmp_path / "absent" / "lock").acquire()
