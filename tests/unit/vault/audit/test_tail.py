"""Following a log that grows and rotates."""

from pathlib import Path

import pytest

from vault.audit import tail as tail_module
from vault.audit.layout import Layout
from vault.audit.ledger import Ledger
from vault.audit.sinks.file import FileSink
from vault.audit.tail import Tail
from vault.audit.testing import NOW, VAULT, make_draft, make_keys, write_log

KEYS = make_keys()


def _numbers(tail: Tail, until: int, limit: int = 7) -> list[int]:
    found: list[int] = []
    while records := tail.read(until, limit):
        assert len(records) <= limit
        found += [entry.seq for entry in records]
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


@pytest.mark.parametrize("start", [0, 1, 13, 40, 59])
def test_every_record_comes_once(log: Path, start: int) -> None:
    """From any number on, in order, across segments, up to the bound and no further."""
    size = write_log(log, 20, rotation=9_000).size
    assert size > 60
    assert _numbers(Tail(Layout(log), start), 60) == list(range(start, 60))
    assert _numbers(Tail(Layout(log), start), size + 5) == list(range(start, size))


@pytest.mark.parametrize("start", [0, 1, 150, 700, 1_270])
def test_its_place_is_found_by_halves(
    log: Path, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    """Wherever that is, hardly a record is looked at; a line that is being written is none."""
    size = write_log(log, 300).size
    with log.open("ab") as file:
        file.write(b'{"seq":' * 1_000)
    seen: list[bytes] = []

    decode = tail_module._decode
    monkeypatch.setattr(tail_module, "_BLOCK", 4_000)
    monkeypatch.setattr(tail_module, "_decode", lambda line: seen.append(line) or decode(line))
    assert [entry.seq for entry in Tail(Layout(log), start).read(size, 1)] == [start]
    assert len(seen) < 30


def test_a_growing_log_is_followed(log: Path) -> None:
    """What is written later, in later segments too, is read when it is there."""
    tail = Tail(Layout(log), 0)
    assert _numbers(tail, 10) == []
    sink = FileSink(log, reserve_bytes=0)
    ledger = Ledger(KEYS, VAULT, sink.load(KEYS, VAULT).position, rotation_bytes=4_000)
    found: list[int] = []
    for number in range(30):
        sink.write((ledger.compose([make_draft(number)], NOW),))
        if number % 4 == 0:
            found += _numbers(tail, ledger.size)
    found += _numbers(tail, ledger.size)
    assert found == list(range(ledger.size))
    sink.close()


def test_a_log_that_begins_later_is_read_from_there(log: Path) -> None:
    """Records that retention removed are skipped."""
    size = write_log(log, 20, rotation=9_000).size
    layout = Layout(log)
    layout.closed(1).unlink()
    found = _numbers(Tail(layout, 0), size)
    assert found == list(range(found[0], size))
    assert found[0] > 0


def test_a_gap_is_not_skipped(log: Path) -> None:
    """A file that was exchanged under the reader is an error, not a silent gap."""
    write_log(log, 5)
    lines = log.read_bytes().split(b"\n")
    log.write_bytes(b"\n".join(lines[:3] + lines[4:]))
    with pytest.raises(ValueError, match="not where it should be"):
        _numbers(Tail(Layout(log), 0), 100)
