"""A start: what was acknowledged must be there, what a crash left is told apart, quickly."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from vault.audit import record
from vault.audit.batch import BatchComposer
from vault.audit.layout import LogLayout, LogLine, read_lines
from vault.audit.recovery import RecoveredLog, recover_log, tampered_error
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record, verify_log, write_log
from vault.crypto.digest import sha256
from vault.errors import TamperedError

KEYS = make_keys()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two segments, left in good order."""
    path = tmp_path / "audit.log"
    write_log(path, 20, rotation=30_000)
    return path


def _recover(log: Path) -> RecoveredLog:
    return recover_log(LogLayout(log), KEYS, LOG_ID)


def _lines(log: Path) -> list[bytes]:
    return log.read_bytes().split(b"\n")[:-1]


def _put(log: Path, lines: list[bytes], rest: bytes = b"") -> None:
    log.write_bytes(b"".join(line + b"\n" for line in lines) + rest)


def _batch(log: Path, count: int = 3) -> bytes:
    """What the next batch of the log would be."""
    sink = FileSink(log, reserve_bytes=0)
    found = sink.load(KEYS, LOG_ID)
    sink.close()
    ledger = BatchComposer(KEYS, LOG_ID, found.position, rotation_bytes=2**30)
    return ledger.compose([make_pending_record(i) for i in range(count)], NOW).data


def test_a_good_log_goes_on_where_it_ended(log: Path) -> None:
    """Position, segment and length are those of the files; nothing is adopted or dropped."""
    found = _recover(log)
    verdict = verify_log(log, KEYS)
    assert found.position.chain.size == verdict.size
    assert found.position.chain.tree.root().hex() == verdict.root
    assert found.position.segment == 2
    assert not found.position.is_closed
    assert found.position.length == found.keep_bytes == log.stat().st_size
    assert (found.adopted, found.dropped) == (0, 0)
    assert found.last_line == _lines(log)[-1]


def test_no_log_yet(tmp_path: Path) -> None:
    """Where nothing is, a log begins."""
    found = _recover(tmp_path / "audit.log")
    assert found.stored is None
    assert found.position.is_closed
    assert (found.position.chain.size, found.position.segment) == (0, 0)


def test_a_torn_batch_is_dropped(log: Path) -> None:
    """Cut anywhere, a batch that was not acknowledged goes, and what was before stays."""
    size = _recover(log).position.chain.size
    lines, batch = _lines(log), _batch(log)
    for keep in (1, 50, len(batch) // 2, batch.rfind(b"\n", 0, -1) + 1, len(batch) - 1):
        _put(log, lines, batch[:keep])
        found = _recover(log)
        assert found.position.chain.size == size
        assert (found.adopted, found.dropped) == (0, keep)
    _put(log, lines, batch.replace(b"alice", b"\0\0\0\0\0", 1))  # its end was on the disk first
    assert _recover(log).dropped == len(batch)


def test_a_whole_batch_behind_the_head_is_adopted(log: Path) -> None:
    """A batch that was written whole before the crash is ours: its mark says so."""
    size = _recover(log).position.chain.size
    batch = _batch(log, 3)
    count = batch.count(b"\n")
    _put(log, _lines(log), batch)
    found = _recover(log)
    assert (found.position.chain.size, found.adopted, found.dropped) == (size + count, count, 0)


def test_a_forged_record_behind_the_head_is_not_adopted(log: Path) -> None:
    """Who can write the file but has no key cannot add to the log while the agent is down."""
    lines = _lines(log)
    last = msgspec.json.decode(lines[-1])
    head = sha256(bytes.fromhex(last["prev"]) + lines[-1])
    entry = record.RecordContent("2027-01-15T08:00:00Z", "event", make_pending_record(9).body)
    forger = make_keys(b"forger")
    for line in (
        record.encode_record(entry, LOG_ID, last["seq"] + 1, head),
        record.encode_committed(entry, LOG_ID, last["seq"] + 1, head, forger),
    ):
        _put(log, [*lines, line])
        found = _recover(log)
        assert (found.adopted, found.dropped) == (0, len(line) + 1)


def test_damage_in_front_of_another_batch_is_no_torn_end(log: Path) -> None:
    """A bad record that later batches follow was acknowledged: somebody must look."""
    lines = _lines(log)
    head = LogLayout(log).head_file.read_bytes()
    write_log(log, 4, rotation=2**30)
    after = _lines(log)
    LogLayout(log).head_file.write_bytes(
        head
    )  # as after a power cut: the head is older than the log
    assert _recover(log).adopted == len(after) - len(lines)
    bad = len(lines) + 1
    _put(log, [*after[:bad], after[bad].replace(b"alice", b"mally"), *after[bad + 1 :]])
    with pytest.raises(TamperedError, match="record"):
        _recover(log)


@pytest.mark.parametrize("index", [0, 1, -3, -1])
def test_an_altered_acknowledged_end_is_damage(log: Path, index: int) -> None:
    """Since the last checkpoint every record is read; a changed one stops the start."""
    lines = _lines(log)
    index = len(lines) + index if index < 0 else index
    lines[index] = lines[index].replace(b'"v":1', b'"v":2')
    _put(log, lines)
    if index == 0 or index > 1:
        with pytest.raises(TamperedError):
            _recover(log)
    else:
        _recover(log)  # before the last checkpoint: found by the verifier, not by the start


def test_an_altered_last_record_is_damage(tmp_path: Path) -> None:
    """The record that nothing follows is held against the head."""
    log = tmp_path / "audit.log"
    write_log(log, 3, step=0)
    lines = _lines(log)
    assert record.decode_record(lines[-1]).kind == "event"
    _put(log, [*lines[:-1], lines[-1].replace(b"alice", b"mally")])
    with pytest.raises(TamperedError, match="not those that were signed"):
        _recover(log)


def test_a_cut_off_end_is_damage(log: Path) -> None:
    """Fewer records than the head has signed: refused, whether cut at a line or within one."""
    lines = _lines(log)
    for kept in (lines[:-1], lines[:5], []):
        _put(log, kept)
        with pytest.raises(TamperedError):
            _recover(log)
    _put(log, lines[:-1], lines[-1][:20])
    with pytest.raises(TamperedError):
        _recover(log)


def _no_head(log: Path) -> None:
    LogLayout(log).head_file.unlink()


def _no_log(log: Path) -> None:
    for path in LogLayout(log).segment_files():
        path.unlink()


def _spoilt_head(log: Path) -> None:
    LogLayout(log).head_file.write_bytes(b"\0" * 8192)


def _longer_closed(log: Path) -> None:
    log.unlink()
    with LogLayout(log).closed_segment(1).open("ab") as file:
        file.write(b"{}\n")


@pytest.mark.parametrize("spoil", [_no_head, _no_log, _spoilt_head, _longer_closed, Path.unlink])
def test_missing_files_are_damage(log: Path, spoil: Callable[[Path], None]) -> None:
    """A log without its head, a head without its log: refused."""
    spoil(log)
    with pytest.raises(TamperedError, match="audit_log_damaged"):
        _recover(log)


def test_another_vaults_log_is_refused(log: Path) -> None:
    """A folder that was put in the place of ours is not written to."""
    with pytest.raises(TamperedError, match="another node"):
        recover_log(LogLayout(log), KEYS, "vault-1/node-2")
    with pytest.raises(TamperedError, match="another key"):
        recover_log(LogLayout(log), make_keys(b"other"), LOG_ID)


def test_a_wrong_hint_only_costs_time(log: Path) -> None:
    """The head's unsigned offset is no authority: a useless one leads to the same end."""
    expected = _recover(log)
    head = LogLayout(log).head_file
    for hint in (b"7", b"0", b"999999999"):
        data = head.read_bytes()
        slots = [data[:512], data[4096 : 4096 + 512]]
        changed = [(hint + b"\n" + slot.split(b"\n", 1)[1])[:512] for slot in slots]
        head.write_bytes(changed[0].ljust(4096, b"\0") + changed[1].ljust(512, b"\0"))
        found = _recover(log)
        assert found.position.chain.head == expected.position.chain.head
        assert found.position.length == expected.position.length


def test_a_start_reads_from_the_last_checkpoint_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the log, a start reads a bounded part of it: 1,000 records and one batch."""
    log = tmp_path / "audit.log"
    ledger = write_log(log, 300, batch=20, step=0)
    read: list[int] = []

    def counted(path: Path, offset: int = 0) -> Iterator[LogLine]:
        for line in read_lines(path, offset):
            read.append(line.number)
            yield line

    monkeypatch.setattr("vault.audit.recovery.read_lines", counted)
    assert _recover(log).position.chain.size == ledger.size
    assert len(read) < 1_100 < ledger.size


def test_a_new_segment_that_was_never_acknowledged_is_dropped(log: Path) -> None:
    """A crash between the rotation and the first acknowledgement leads back to the old segment."""
    sink = FileSink(log, reserve_bytes=0)
    position = sink.load(KEYS, LOG_ID).position
    batch = BatchComposer(KEYS, LOG_ID, position, rotation_bytes=1).compose(
        [make_pending_record()], NOW
    )
    sink.close()
    log.rename(LogLayout(log).closed_segment(position.segment))
    for keep in (0, 10, batch.data.index(b"\n") + 1, len(batch.data) - 5):
        log.write_bytes(batch.data[:keep])
        found = _recover(log)
        assert found.position.is_closed
        assert found.position.segment == position.segment
        assert found.position.chain.head == position.chain.head
        assert (found.adopted, found.dropped, found.keep_bytes) == (0, keep, 0)
    log.write_bytes(batch.data)
    found = _recover(log)
    assert (found.position.segment, found.adopted) == (position.segment + 1, 3)
    log.unlink()
    assert _recover(log).position.is_closed


def test_damaged_names_the_place() -> None:
    """The error says which file, and nothing of what is in it."""
    assert (
        str(tampered_error("audit.log", "gone")) == "audit_log_damaged: audit log, audit.log: gone"
    )


def test_the_stores_count_is_the_highest_that_was_signed(tmp_path: Path) -> None:
    """In the head, or in a checkpoint behind a head that was set back."""
    path, keys = tmp_path / "audit.log", KEYS
    sink = FileSink(path, reserve_bytes=0, durability="write")
    commits = [0]
    ledger = BatchComposer(
        keys, LOG_ID, sink.load(keys, LOG_ID).position, rotation_bytes=2**30,
        commits=lambda: commits[-1],
    )  # fmt: skip
    heads = []
    for count in (3, 5, 8):
        commits.append(count)
        sink.write((ledger.compose([make_pending_record()], NOW, checkpoint=True),))
        heads.append(LogLayout(path).head_file.read_bytes())
    sink.close()
    assert _recover(path).commits == 8
    LogLayout(path).head_file.write_bytes(heads[1])
    assert _recover(path).commits == 8
    for file in (path, LogLayout(path).head_file):
        file.unlink()
    assert _recover(path).commits == 0
