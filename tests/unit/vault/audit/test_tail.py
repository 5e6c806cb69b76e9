"""Reading a log that grows and rotates, from a place on."""

from pathlib import Path

import msgspec
import pytest

from vault.audit.layout import Layout
from vault.audit.ledger import Ledger
from vault.audit.sinks.file import FileSink
from vault.audit.tail import Place, Stretch, beginning, read, resumed
from vault.audit.testing import NOW, VAULT, make_draft, make_keys, write_log

KEYS = make_keys()
START = Place(0, 1, 0)


def _follow(layout: Layout, place: Place, until: int, limit: int = 7) -> list[Stretch]:
    found: list[Stretch] = []
    while (stretch := read(layout, place, until, limit)).lines:
        assert len(stretch.lines) <= limit
        found.append(stretch)
        place = stretch.end
    return found


def _numbers(stretches: list[Stretch]) -> list[int]:
    return [msgspec.json.decode(line)["seq"] for one in stretches for line in one.lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


def test_every_record_comes_once(log: Path) -> None:
    """In order, across segments, from any place on, up to the bound and no further."""
    size = write_log(log, 20, rotation=9_000).size
    assert size > 60
    layout = Layout(log)
    whole = _follow(layout, START, size)
    assert _numbers(whole) == list(range(size))
    for stretch in whole:
        place = stretch.place
        assert _numbers(_follow(layout, place, size)) == list(range(place.seq, size))
        assert _numbers(_follow(layout, place, 60)) == list(range(place.seq, 60))


def test_a_stretch_ends_with_its_segment(log: Path) -> None:
    """So what goes with a segment goes whole."""
    size = write_log(log, 20, rotation=9_000).size
    whole = _follow(Layout(log), START, size, limit=1_000)
    assert [stretch.place.segment for stretch in whole] == list(range(1, len(whole) + 1))
    assert all(stretch.place.offset == 0 for stretch in whole)
    assert len(whole) == len(Layout(log).files())


def test_a_stretch_may_be_longer_than_one_read(log: Path) -> None:
    """And its offsets are right behind it."""
    size = write_log(log, 200, batch=5).size
    assert log.stat().st_size > 2 * 262_145
    first = read(Layout(log), START, size, size - 3)
    rest = read(Layout(log), first.end, size, size)
    assert _numbers([first, rest]) == list(range(size))


def test_a_growing_log_is_followed(log: Path) -> None:
    """What is written later, in later segments too, is read when it is there."""
    sink = FileSink(log, reserve_bytes=0)
    ledger = Ledger(KEYS, VAULT, sink.load(KEYS, VAULT).position, rotation_bytes=4_000)
    place, found = START, []
    for number in range(30):
        sink.write((ledger.compose([make_draft(number)], NOW),))
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
    stretch = read(Layout(log), START, size, size)
    assert _numbers([stretch]) == list(range(size - 1))
    with pytest.raises(ValueError, match=f"record {size - 1} is not where it should be"):
        read(Layout(log), stretch.end, size, size)
    log.write_bytes(whole)
    assert _numbers([read(Layout(log), stretch.end, size, size)]) == [size - 1]


def test_the_beginning_is_the_first_record_that_is_there(log: Path) -> None:
    """Also of a log from which retention took; none of a log that has no file."""
    layout = Layout(log)
    assert beginning(layout) is None
    size = write_log(log, 20, rotation=9_000).size
    assert beginning(layout) == START
    layout.closed(1).unlink()
    place = beginning(layout)
    assert place is not None
    assert (place.segment, place.offset) == (2, 0)
    assert _numbers(_follow(layout, place, size)) == list(range(place.seq, size))


def test_a_place_that_retention_took_is_left_for_the_next(log: Path) -> None:
    """One that is still there, or is not yet written, is kept."""
    write_log(log, 20, rotation=9_000)
    layout = Layout(log)
    for place in (Place(3, 1, 900), Place(99, 3, 7)):
        assert resumed(layout, place) == place
    layout.closed(1).unlink()
    assert resumed(layout, Place(3, 1, 900)) == beginning(layout)
    assert resumed(layout, Place(99, 3, 7)) == Place(99, 3, 7)


def test_another_record_in_its_place_is_an_error(log: Path) -> None:
    """A file that was exchanged under the reader, or a segment that is gone."""
    write_log(log, 5)
    with pytest.raises(ValueError, match="record 1 is not where it should be"):
        read(Layout(log), Place(1, 1, 0), 100, 100)


def test_a_segment_that_is_renamed_meanwhile_is_still_read(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for its final name and opening `audit.log`, which is the next one then."""
    size = write_log(log, 20, rotation=9_000).size
    layout = Layout(log)
    last = _follow(layout, START, size, limit=1_000)[-1].place
    closed, opened = layout.closed(last.segment), Path.open

    def rotate(path: Path, mode: str) -> object:
        if path == log and not closed.exists():
            log.rename(closed)
            log.write_bytes(b"the next one\n")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", rotate)
    assert _numbers([read(layout, last, size, 1_000)]) == list(range(last.seq, size))
