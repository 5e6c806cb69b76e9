"""A block says where its records are, and what may be among them; a search finds all that is."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocols.instant import SECOND
from vault.audit.batch import BatchComposer
from vault.audit.hashing import ValueHasher
from vault.audit.index_block import (
    MAX_TEXT,
    PREFIX_STEP,
    BlockBuilder,
    IndexBlock,
    Search,
    record_time_ns,
)
from vault.audit.log_reader import RecordLocation, RecordRange, first_location, read_range
from vault.audit.pending_record import PendingRecord, prepare_event
from vault.audit.query import AuditQuery
from vault.audit.record import AuditEvent, RetentionBody, encode_body
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_event, make_keys
from vault.errors import ValidationError

KEYS = make_keys()
NESTED = b'{"x":' + b"[" * 100_000
HASHER = ValueHasher(KEYS.mac)


def block_of(*stretches: RecordRange) -> IndexBlock:
    """The block of these."""
    digest = BlockBuilder(LOG_ID, stretches[0].start)
    for stretch in stretches:
        digest.append(stretch)
    return digest.build()


class Log:
    """A log whose events are a second apart, and one block of all its records."""

    def __init__(self, folder: Path) -> None:
        self._sink = FileSink(folder / "audit.log", reserve_bytes=0)
        position = self._sink.load(KEYS, LOG_ID).position
        self._ledger = BatchComposer(KEYS, LOG_ID, position, rotation_bytes=2**30)
        self._time = NOW

    def add(self, event: AuditEvent) -> None:
        """One more event, a second later."""
        self.write(prepare_event(event, self._time, HASHER))
        self._time += SECOND

    def write(self, draft: PendingRecord) -> None:
        """One more record."""
        self._sink.write((self._ledger.compose([draft], self._time),))

    def stretch(self) -> RecordRange:
        """All records."""
        start = first_location(self._sink.layout)
        assert start is not None
        return read_range(self._sink.layout, start, self._ledger.size, 10_000)

    def block(self) -> IndexBlock:
        """The block of all."""
        return block_of(self.stretch())

    def find(self, **asked: Any) -> list[str]:
        """The request ids that a search finds in the lines, newest first; the block agrees."""
        sought = Search(AuditQuery(**asked))
        found = [row.request_id for row in sought.newest_matches(self.stretch(), 1_000)]
        assert not found or sought.may_match_block(self.block().row)
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """An empty log."""
    return Log(tmp_path)


def test_a_block_tells_its_place_and_times(log: Log) -> None:
    """Numbers of its first and last record, segment and offset; the times of its events."""
    for number in range(3):
        log.add(make_event(number))
    whole = log.stretch()
    row = log.block().row
    assert (row.log, row.first, row.last, row.segment, row.start) == (
        LOG_ID, 0, len(whole.lines) - 1, 1, 0,
    )  # fmt: skip
    assert (row.began, row.ended) == (NOW, NOW + 2 * SECOND)
    assert row.prev == msgspec.json.decode(whole.lines[-1])["prev"]
    rest = RecordRange(RecordLocation(2, 1, 99), whole.lines[2:], whole.end)
    later = block_of(rest).row
    assert (later.first, later.start) == (2, 99)
    assert later.prev == row.prev


def test_a_block_grows_by_pieces(log: Log) -> None:
    """It is the same as if all had come at once; what does not follow is refused."""
    for number in range(6):
        log.add(make_event(number, path=f"secret/a-long-name/{number}"))
    place, lines, end = log.stretch()
    length = sum(map(len, lines[:4])) + 4
    middle = RecordLocation(4, 1, length)
    first, rest = RecordRange(place, lines[:4], middle), RecordRange(middle, lines[4:], end)
    assert block_of(first, rest) == log.block()
    digest = BlockBuilder(LOG_ID, RecordLocation(99, 9, 9))
    digest.append(first)
    assert (digest.count, digest.end) == (4, middle)
    with pytest.raises(ValueError, match="record 0 does not follow"):
        digest.append(first)


def test_a_clock_that_was_set_back_between_two_runs(log: Log) -> None:
    """`began` and `ended` are the earliest and the latest, in whatever order they came."""
    for time in (NOW + 5 * SECOND, NOW - SECOND, NOW):
        log.write(prepare_event(make_event(), time, HASHER))
    row = log.block().row
    assert (row.began, row.ended) == (NOW - SECOND, NOW + 5 * SECOND)


def test_a_block_without_events_is_never_read(log: Log) -> None:
    """Checkpoints and headers are nothing that a search finds."""
    log.write(PendingRecord(NOW, "repair", b'{"adopted":1,"dropped":0}'))
    row = log.block().row
    assert (row.began, row.ended) == (0, 0)
    assert not Search(AuditQuery()).may_match_block(row)
    assert not Search(AuditQuery(since=1)).is_before_range(row)


def test_a_block_tells_what_retention_let_go(log: Log) -> None:
    """The number of the first record that is left."""
    log.add(make_event())
    assert log.block().retained_from == 0
    log.write(PendingRecord(NOW, "retention", encode_body(RetentionBody(through=1, first=77))))
    assert log.block().retained_from == 77


def test_what_cannot_be_read_may_be_anything(log: Log) -> None:
    """A record of a damaged file: whoever needs that block meets the damage, and nobody else."""
    for number in range(3):
        log.add(make_event(number))
    place, lines, end = log.stretch()
    cut = RecordRange(place, lines[:2] + lines[3:], end)
    assert Search(AuditQuery(actor_id="nobody", since=NOW, until=NOW)).may_match_block(
        block_of(cut).row
    )
    with pytest.raises(ValueError, match="record 2 is not where it should be"):
        Search(AuditQuery()).newest_matches(cut, 9)


def test_what_is_in_a_block_is_found_by_each_field(log: Log) -> None:
    """And what is not there is mostly seen without reading it."""
    log.add(make_event(1, actor_id="bob"))
    log.add(make_event(2, operation="secret.write", path="secret/web/x"))
    log.add(make_event(3, result="denied"))
    row = log.block().row
    for asked, expected in (
        ({}, [3, 2, 1]),
        ({"actor_id": "bob"}, [1]),
        ({"operation": "secret.write"}, [2]),
        ({"path": "secret/app/"}, [3, 1]),
        ({"result": "denied"}, [3]),
        ({"request_id": "request-2"}, [2]),
        ({"actor_id": "bob", "result": "ok"}, [1]),
        ({"since": NOW + SECOND}, [3, 2]),
        ({"until": NOW + SECOND}, [2, 1]),
        ({"since": NOW + 1, "until": NOW + SECOND}, [2]),
        ({"cursor": "2"}, [1]),
    ):
        assert log.find(**asked) == [f"request-{number}" for number in expected], asked
    for asked in ({"since": NOW + 2 * SECOND}, {"until": NOW}):  # the very first and last
        assert Search(AuditQuery(**asked)).may_match_block(row), asked
    for asked in (
        {"actor_id": "eve"},
        {"operation": "sys.seal"},
        {"result": "failed"},
        {"request_id": "request-9"},
        {"path": "secret/db/abc"},
        {"actor_id": "secret.write"},
        {"since": NOW + 3 * SECOND},
        {"until": NOW - 1},
    ):
        assert not Search(AuditQuery(**asked)).may_match_block(row), asked


def test_a_path_is_found_by_each_of_its_beginnings(log: Log) -> None:
    """Of whatever length, also one that ends within a character's bytes or a folder's name."""
    paths = ["secret/bücher/größe-" + "x" * n for n in (0, 3, 30, 200)] + ["s", "secret/b"]
    for number, path in enumerate(paths):
        log.add(make_event(number, path=path))
    for path in paths:
        for end in range(len(path) + 1):
            expected = [f"request-{i}" for i, p in enumerate(paths) if p.startswith(path[:end])]
            assert log.find(path=path[:end]) == expected[::-1], path[:end]
    for sibling in ("secret/b" + "y" * PREFIX_STEP, "t", "seek"):
        assert not Search(AuditQuery(path=sibling)).may_match_block(log.block().row)


@pytest.mark.parametrize(
    "line",
    [
        b"damage",
        b'{"x":' + b"[" * 100_000,
        b'{"seq":1,"time":"never","kind":"event","body":{}}',
        b"{}",
    ],
    ids=["no record", "nested", "no time", "empty"],
)
def test_only_as_many_as_are_wanted_are_read(log: Log, line: bytes) -> None:
    """The newest, and no line behind them: it may be damaged, which is told to who needs it."""
    for number in range(5):
        log.add(make_event(number))
    place, lines, end = log.stretch()
    hurt = RecordRange(place, [lines[0], line, *lines[2:]], end)
    rows = Search(AuditQuery()).newest_matches(hurt, 3)
    assert [row.request_id for row in rows] == ["request-4", "request-3", "request-2"]
    with pytest.raises(ValueError, match=r"."):
        Search(AuditQuery()).newest_matches(hurt, 9)
    row = block_of(hurt).row
    assert (row.first, row.last) == (place.seq, end.seq - 1)
    assert Search(AuditQuery(actor_id="nobody")).may_match_block(row)


def test_a_row_says_what_the_record_says(log: Log) -> None:
    """All fields; a text that is longer than a name may be is cut, so that a page is bounded."""
    wide = "\N{SNOWMAN}" * 400
    log.add(make_event(7, code="c", rule="r" * 2_000, actor_name="a\0b", user_agent=wide))
    (row,) = Search(AuditQuery()).newest_matches(log.stretch(), 9)
    assert (row.seq, row.time, row.request_id, row.code) == (1, NOW, "request-7", "c")
    for name in ("operation", "path", "ip", "result", "credential", "method", "phase", "dialect"):
        assert getattr(row, name) == getattr(make_event(), name)
    assert row.actor_name == "a\0b"
    assert row.rule == "r" * MAX_TEXT
    assert wide.startswith(row.user_agent)
    assert len(row.user_agent.encode()) == MAX_TEXT // 3 * 3


def test_a_text_is_found_whole_and_as_it_is_shown(log: Log) -> None:
    """Cut."""
    log.add(make_event(1, actor_id="a" * 600))
    assert log.find(actor_id="a" * 600) == log.find(actor_id="a" * MAX_TEXT) == ["request-1"]
    assert log.find(actor_id="a" * (MAX_TEXT - 1)) == []


def test_a_faulty_query_is_refused() -> None:
    """Before anything is read."""
    with pytest.raises(ValidationError):
        Search(AuditQuery(cursor="x"))


def test_blocks_before_the_time_end_a_search(log: Log) -> None:
    """What is older than a block that ended before `since` is not looked for."""
    log.add(make_event())
    row = log.block().row
    assert Search(AuditQuery(since=NOW + 1)).is_before_range(row)
    assert not Search(AuditQuery(since=NOW)).is_before_range(row)
    assert not Search(AuditQuery()).is_before_range(row)


def test_instants_are_read_to_the_nanosecond() -> None:
    """With nine digits of a second, fewer, or none."""
    assert record_time_ns("2027-01-15T08:00:00Z") == NOW
    assert record_time_ns("2027-01-15T08:00:00.5Z") == NOW + SECOND // 2
    assert record_time_ns("2027-01-15T08:00:00.000000001Z") == NOW + 1
