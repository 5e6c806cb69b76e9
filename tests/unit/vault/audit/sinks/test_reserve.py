"""The reserve: as much as the disk allows, given up whole, taken back when there is room."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from vault.audit.sinks.disk import MARGIN, MIN_FREE_RATIO, DiskReserve
from vault.audit.testing import FaultyDisk

SIZE = 64 * 1024


class SmallDisk(FaultyDisk):
    """The real disk, but for what it says of its room; `quota`: what taking it fails with."""

    def __init__(self, total: int = 1 << 30, free: int = 1 << 29) -> None:
        super().__init__(self._fault)
        self.total = total
        self.free = free
        self.quota = 0

    def _fault(self, operation: str, _number: int) -> OSError | None:
        return OSError(self.quota, "quota") if self.quota and operation == "allocate" else None

    def disk_space(self, _folder: Path) -> tuple[int, int]:
        """As set."""
        return self.total, self.free


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the reserve lies."""
    return tmp_path / "audit.log.reserve"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the log was told."""
    with caplog.at_level(logging.WARNING, "freehold.audit"):
        yield caplog


def test_room_is_taken_given_up_and_taken_back(path: Path, said: pytest.LogCaptureFixture) -> None:
    """The file holds its blocks; releasing frees them once; people are told of both."""
    reserve = DiskReserve(path, SIZE, SmallDisk())
    reserve.open()
    states = [reserve.is_released]
    assert path.stat().st_blocks * 512 >= SIZE
    assert said.messages == []
    assert reserve.release()
    assert not path.exists()
    assert not reserve.release()
    states.append(reserve.is_released)
    reserve.reclaim()
    states.append(reserve.is_released)
    assert states == [False, True, False]
    assert path.stat().st_size == SIZE
    assert ["is full" in text for text in said.messages] == [True, False]


def test_the_last_room_is_not_taken_for_it(path: Path) -> None:
    """Without a margin beside it nothing is tried: others need that room."""
    disk = SmallDisk()
    reserve = DiskReserve(path, SIZE, disk)
    reserve.open()
    reserve.release()
    disk.free = SIZE + SIZE // MARGIN - 1
    disk.calls.clear()
    reserve.reclaim()
    states = [reserve.is_released]
    assert "allocate" not in disk.calls
    assert not path.exists()
    disk.free += 1
    reserve.reclaim()
    assert [*states, reserve.is_released] == [True, False]


def test_a_reserve_that_is_there_needs_no_room(path: Path) -> None:
    """A restart on a disk that is full but for the reserve keeps it."""
    DiskReserve(path, SIZE, SmallDisk()).open()
    again = DiskReserve(path, SIZE, SmallDisk(free=0))
    again.open()
    assert not again.is_released


def test_a_small_disk_gets_a_small_reserve(path: Path, said: pytest.LogCaptureFixture) -> None:
    """A disk smaller than the reserve serves; the start says what was set aside, and why."""
    reserve = DiskReserve(path, SIZE, SmallDisk(total=SIZE // 2, free=SIZE // 2))
    reserve.open()
    assert not reserve.is_released
    assert path.stat().st_size == SIZE // 2 // MIN_FREE_RATIO
    assert "kept in reserve" in said.text


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_promises_too_much(path: Path, code: int) -> None:
    """A quota is not seen beforehand: it counts as full, and what was begun is let go."""
    disk = SmallDisk()
    disk.quota = code
    reserve = DiskReserve(path, SIZE, disk)
    reserve.open()
    assert reserve.is_released
    assert not path.exists()


def test_another_error_is_told(path: Path) -> None:
    """A broken disk is not a full one."""
    disk = SmallDisk()
    disk.quota = errno.EIO
    with pytest.raises(OSError, match="quota"):
        DiskReserve(path, SIZE, disk).open()


def test_no_reserve(path: Path) -> None:
    """Nothing is set aside, so nothing can be given up."""
    reserve = DiskReserve(path, 0, SmallDisk())
    reserve.open()
    assert not reserve.release()
    assert not reserve.is_released
    assert not path.exists()
