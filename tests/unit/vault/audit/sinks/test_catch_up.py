"""Bringing up a copy: whatever it lacks, and only if it is a copy."""

import shutil
from pathlib import Path

import pytest

from vault.audit.layout import LogLayout
from vault.audit.sinks.catch_up import catch_up
from vault.audit.sinks.disk import Disk
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, FaultyDisk, fail_at, make_keys, verify_log, write_log
from vault.errors import TamperedError

KEYS = make_keys()


@pytest.fixture
def ahead(tmp_path: Path) -> LogLayout:
    """A log of several segments."""
    write_log(tmp_path / "a" / "audit.log", 24, rotation=9_000)
    layout = LogLayout(tmp_path / "a" / "audit.log")
    assert len(layout.closed_segment_numbers()) >= 3
    return layout


def _behind(tmp_path: Path, batches: int) -> LogLayout:
    layout = LogLayout(tmp_path / "b" / "audit.log")
    layout.log.parent.mkdir(parents=True)
    if batches:
        write_log(layout.log, batches, rotation=9_000)
    return layout


@pytest.mark.parametrize("batches", [0, 1, 5, 9, 15, 23, 24])
def test_a_copy_becomes_equal(tmp_path: Path, ahead: LogLayout, batches: int) -> None:
    """From any earlier state, at a rotation too, the copy ends as the original."""
    behind = _behind(tmp_path, batches)
    catch_up(behind, ahead, Disk())
    assert behind.closed_segment_numbers() == ahead.closed_segment_numbers()
    for a, b in zip(behind.segment_files(), ahead.segment_files(), strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert verify_log(behind.log, KEYS) == verify_log(ahead.log, KEYS)


def test_a_copy_between_two_segments_becomes_equal(tmp_path: Path, ahead: LogLayout) -> None:
    """A crash after the renaming and before the new file leaves a copy that can be brought up."""
    behind = _behind(tmp_path, 9)
    behind.log.unlink()
    for number in behind.closed_segment_numbers():
        shutil.copy(ahead.closed_segment(number), behind.closed_segment(number))
    catch_up(behind, ahead, Disk())
    assert verify_log(behind.log, KEYS) == verify_log(ahead.log, KEYS)


def test_what_is_no_copy_is_left_alone(tmp_path: Path, ahead: LogLayout) -> None:
    """A log whose last segment is not the beginning of its counterpart is not touched."""
    behind = _behind(tmp_path, 5)
    data = behind.log.read_bytes().replace(b"alice", b"mally")
    behind.log.write_bytes(data)
    with pytest.raises(TamperedError, match="not a copy"):
        catch_up(behind, ahead, Disk())
    assert behind.log.read_bytes() == data


def test_a_copy_can_be_tried_again(tmp_path: Path, ahead: LogLayout) -> None:
    """An error anywhere leaves a log that a start accepts and a second attempt completes."""
    calls = FaultyDisk()
    catch_up(_behind(tmp_path / "dry", 1), ahead, calls)
    assert len(calls.calls) > 15
    for call in range(len(calls.calls)):
        behind = _behind(tmp_path / str(call), 1)
        with pytest.raises(OSError, match="faulty"):
            catch_up(behind, ahead, FaultyDisk(fail_at(call)))
        sink = FileSink(behind.log, reserve_bytes=0)
        sink.load(KEYS, LOG_ID)
        sink.catch_up_from(ahead)
        assert verify_log(behind.log, KEYS) == verify_log(ahead.log, KEYS)
