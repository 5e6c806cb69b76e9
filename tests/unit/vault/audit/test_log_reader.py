"""Reading a log that grows and rotates, from a place on."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from vault.audit.batch import BatchComposer
from vault.audit.layout import LogLayout, read_segment_header
from vault.audit.log_reader import (
    MAX_BYTES,
    RecordLocation,
    RecordRange,
    first_location,
    read_range,
    resume_location,
)
from vault.audit.record import AuditRecord
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record, write_log

KEYS = make_keys()
START = RecordLocation(0, 1, 0)
NESTED = b'{"x":' + b"[" * 100_000 + b"\n"


def _follow(
    layout: LogLayout, place: RecordLocation, until: int, limit: int = 7
) -> list[RecordRange]:
    found: list[RecordRange] = []
    while (stretch := read_range(layout, place, until, limit)).lines:
        assert len(stretch.lines) <= limit
        found.append(stretch)
        place = stretch.end
    return found


def _numbers(stretches: list[RecordRange]) -> list[int]:
    return [msgspec.json.decode(line)["seq"] for one in stretches for line in one.lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


def test_every_record_comes_once(log: Path) -> None:
    """In order, across segments, from any place on, up to the bound and no further."""
    size = write_log(log, 20, rotation=9_000).size
    assert size > 60
    layout = LogLayout(log)
    whole = _follow(layout, START, size)
    assert _numbers(whole) == list(range(size))
    for stretch in whole:
        place = stretch.start
        assert _numbers(_follow(layout, place, size)) == list(range(place.seq, size))
        assert _numbers(_follow(layout, place, 60)) == list(range(place.seq, 60))


def test_a_stretch_ends_with_its_segment(log: Path) -> None:
    """So what goes with a segment goes whole."""
    size = write_log(log, 20, rotation=9_000).size
    whole = _follow(LogLayout(log), START, size, limit=1_000)
    assert [stretch.start.segment for stretch in whole] == list(range(1, len(whole) + 1))
    assert all(stretch.start.offset == 0 for stretch in whole)
    assert len(whole) == len(LogLayout(log).segment_files())


def test_a_stretch_may_be_longer_than_one_read(log: Path) -> None:
    """And its offsets are right behind it."""
    size = write_log(log, 200, batch=5).size
    assert log.stat().st_size > 2 * 262_145
    first = read_range(LogLayout(log), START, size, size - 3)
    rest = read_range(LogLayout(log), first.end, size, size)
    assert _numbers([first, rest]) == list(range(size))


def test_a_growing_log_is_followed(log: Path) -> None:
    """What is written later, in later segments too, is read when it is there."""
    sink = FileSink(log, reserve_bytes=0)
    ledger = BatchComposer(KEYS, LOG_ID, sink.load(KEYS, LOG_ID).position, rotation_bytes=4_000)
    place, found = START, []
    for number in range(30):
        sink.write((ledger.compose([make_pending_record(number)], NOW),))
        if number % 4 == 0 or number == 29:
            found += _follow(sink.layout, place, ledger.size)
            place = found[-1].end
    assert _numbers(found) == list(range(ledger.size))
    sink.close()


def test_half_a_line_is_not_read(log: Path) -> None:
    """What is being written comes with the next look."""
    size = write_log(log, 2).size
    whole = log.read_bytes()
    log.write_bytes(whole[:-10])
    stretch = read_range(LogLayout(log), START, size, size)
    assert _numbers([stretch]) == list(range(size - 1))
    with pytest.raises(ValueError, match=f"record {size - 1} is not where it should be"):
        read_range(LogLayout(log), stretch.end, size, size)
    log.write_bytes(whole)
    assert _numbers([read_range(LogLayout(log), stretch.end, size, size)]) == [size - 1]


def test_the_beginning_is_the_first_record_that_is_there(log: Path) -> None:
    """Also of a log from which retention took; a log that has no file has none."""
    layout = LogLayout(log)
    with pytest.raises(FileNotFoundError):
        first_location(layout)
    log.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        first_location(layout)
    log.unlink()
    size = write_log(log, 20, rotation=9_000).size
    assert first_location(layout) == START
    layout.closed_segment(1).unlink()
    place = first_location(layout)
    assert (place.segment, place.offset) == (2, 0)
    assert _numbers(_follow(layout, place, size)) == list(range(place.seq, size))


def test_a_place_that_retention_took_is_left_for_the_next(log: Path) -> None:
    """One that is still there, or is not yet written, is kept."""
    write_log(log, 20, rotation=9_000)
    layout = LogLayout(log)
    for place in (RecordLocation(3, 1, 900), RecordLocation(99, 3, 7)):
        assert resume_location(layout, place) == place
    layout.closed_segment(1).unlink()
    assert resume_location(layout, RecordLocation(3, 1, 900)) == first_location(layout)
    assert resume_location(layout, RecordLocation(99, 3, 7)) == RecordLocation(99, 3, 7)


def test_another_record_in_its_place_is_an_error(log: Path) -> None:
    """A file that was exchanged under the reader, or a segment that is gone."""
    write_log(log, 5)
    with pytest.raises(ValueError, match="record 1 is not where it should be"):
        read_range(LogLayout(log), RecordLocation(1, 1, 0), 100, 100)


def test_a_stretch_has_a_bounded_size(log: Path) -> None:
    """Records may be large: it ends with the one that reaches the bound, or the read after it."""
    large = b'{"seq":%d,"prev":"","x":"' + b"x" * 200_000 + b'"}\n'
    log.write_bytes(b"".join(large % number for number in range(40)))
    whole = _follow(LogLayout(log), START, 40, limit=1_000)
    assert _numbers(whole) == list(range(40))
    whole.append(read_range(LogLayout(log), START, 10_000, 10_000))
    assert max(sum(map(len, one.lines)) for one in whole) < MAX_BYTES + 2 * 262_144


@pytest.mark.parametrize("line", [NESTED, b"no record\n", b'{"seq":"0"}\n'])
def test_what_is_no_record_is_an_error(log: Path, line: bytes) -> None:
    """Of one type, however it is broken."""
    log.write_bytes(line)
    with pytest.raises(ValueError, match=r"."):
        read_range(LogLayout(log), START, 1, 1)


def _to_rotate(log: Path) -> Callable[[], None]:
    """Set a log of two segments back to before the second; what is returned closes the first."""
    write_log(log, 8, rotation=9_000)
    layout, later = LogLayout(log), log.with_name("later")
    assert layout.closed_segment_numbers() == [1]
    log.rename(later)
    layout.closed_segment(1).rename(log)

    def rotate() -> None:
        log.rename(layout.closed_segment(1))
        later.rename(log)

    return rotate


def test_a_log_that_is_closed_meanwhile_begins_where_it_did(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for closed segments and the look into `audit.log`."""
    steps = [_to_rotate(log)]

    def late(path: Path) -> AuditRecord:
        if steps:
            steps.pop()()
        return read_segment_header(path)

    monkeypatch.setattr("vault.audit.log_reader.read_segment_header", late)
    assert first_location(LogLayout(log)) == START


def test_a_segment_that_is_let_go_meanwhile_is_not_the_beginning(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for closed segments and the look into the first."""
    write_log(log, 20, rotation=9_000)
    layout = LogLayout(log)

    def late(path: Path) -> AuditRecord:
        layout.closed_segment(1).unlink(missing_ok=True)
        return read_segment_header(path)

    monkeypatch.setattr("vault.audit.log_reader.read_segment_header", late)
    assert first_location(layout).segment == 2


def test_a_segment_is_read_between_the_steps_of_closing_it(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its final name, and there is no `audit.log`."""
    size = write_log(log, 3).size
    layout, opened = LogLayout(log), Path.open

    def late(path: Path, mode: str) -> object:
        if path == log and log.exists():
            log.rename(layout.closed_segment(1))
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", late)
    assert _numbers([read_range(layout, START, size, 1_000)]) == list(range(size))


def test_a_log_that_is_gone_is_an_error(log: Path) -> None:
    """Not the log's end."""
    with pytest.raises(FileNotFoundError):
        read_range(LogLayout(log), START, 1, 1)


def test_a_segment_that_is_renamed_meanwhile_is_still_read(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for its final name and opening `audit.log`, which is the next one then."""
    size = write_log(log, 20, rotation=9_000).size
    layout = LogLayout(log)
    last = _follow(layout, START, size, limit=1_000)[-1].start
    closed, opened = layout.closed_segment(last.segment), Path.open

    def rotate(path: Path, mode: str) -> object:
        if path == log and not closed.exists():
            log.rename(closed)
            log.write_bytes(b"the next one\n")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", rotate)
    assert _numbers([read_range(layout, last, size, 1_000)]) == list(range(last.seq, size))
