"""Opening all copies: the longest leads."""

from pathlib import Path

import pytest

from actors.testing import FakeWorld
from vault.audit.batch import BatchComposer
from vault.audit.replica import open_sinks
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record, write_log
from vault.errors import TamperedError, UnavailableError

KEYS = make_keys()


def _sinks(folder: Path, count: int) -> list[FileSink]:
    return [FileSink(folder / str(i) / "audit.log", reserve_bytes=0) for i in range(count)]


async def test_an_empty_folder_gets_the_whole_log(tmp_path: Path) -> None:
    """A new sink beside an old one starts as its copy."""
    sinks = _sinks(tmp_path, 2)
    write_log(sinks[1].layout.log, 10, rotation=9_000)
    opened = await open_sinks(sinks, KEYS, LOG_ID, FakeWorld())
    assert opened.sinks == sinks
    assert opened.failed == {}
    for a, b in zip(sinks[0].layout.segment_files(), sinks[1].layout.segment_files(), strict=True):
        assert a.read_bytes() == b.read_bytes()
    for sink in sinks:
        sink.close()


async def test_a_damaged_copy_stops_the_start_and_frees_the_others(tmp_path: Path) -> None:
    """Tampering with one copy is never papered over by another; no lock is kept."""
    sinks = _sinks(tmp_path, 2)
    for sink in sinks:
        write_log(sink.layout.log, 3)
    sinks[1].layout.log.write_bytes(b"")
    with pytest.raises(TamperedError):
        await open_sinks(sinks, KEYS, LOG_ID, FakeWorld())
    sinks[0].load(KEYS, LOG_ID)
    sinks[0].close()


async def test_equal_lengths_with_other_records_are_a_contradiction(tmp_path: Path) -> None:
    """Two logs of one size and different content: somebody must look."""
    sinks = _sinks(tmp_path, 2)
    for number, sink in enumerate(sinks):
        ledger = BatchComposer(KEYS, LOG_ID, sink.load(KEYS, LOG_ID).position, rotation_bytes=2**30)
        sink.write((ledger.compose([make_pending_record(number)], NOW),))
        sink.close()
    with pytest.raises(TamperedError, match="contradicts"):
        await open_sinks(sinks, KEYS, LOG_ID, FakeWorld())


async def test_locked_logs_are_named(tmp_path: Path) -> None:
    """When another agent has the log, the error says which file and why."""
    sinks = _sinks(tmp_path, 1)
    other = FileSink(sinks[0].layout.log, reserve_bytes=0)
    other.load(KEYS, LOG_ID)
    with pytest.raises(UnavailableError, match="BlockingIOError"):
        await open_sinks(sinks, KEYS, LOG_ID, FakeWorld())
    other.close()
