"""The ledger: consecutive numbers, segments, checkpoints when they are due. Pure."""

import pytest

from protocols.instant import SECOND
from vault.audit import chain_check, record
from vault.audit.batch import CHECKPOINT_RECORDS, Batch, BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.checkpoint import verify_checkpoint
from vault.audit.keys import AuditKeys
from vault.audit.pending_record import PendingRecord
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record
from vault.crypto.digest import sha256

KEYS = make_keys()
GOLDEN = "34b43c796641d80fe703cfb2e6374d8130bb146c99550c7e071633f6d5853186"


def _ledger(rotation: int = 2**30, keys: AuditKeys = KEYS) -> BatchComposer:
    position = LogPosition(Chain(sha256), 0, 0, 0, is_closed=True, checkpoint=0)
    return BatchComposer(keys, LOG_ID, position, rotation_bytes=rotation)


def _kinds(batch: Batch) -> list[str]:
    return [record.decode_record(line).kind for line in batch.lines()]


def test_the_first_record_is_the_genesis() -> None:
    """A new log begins with a header over nothing, which names the key."""
    batch = _ledger().compose([make_pending_record()], NOW)
    assert _kinds(batch) == ["genesis", "event", "checkpoint"]
    entry = record.decode_record(batch.lines()[0])
    assert (entry.seq, entry.prev) == (0, "00" * 32)
    assert chain_check.chain_before(entry, KEYS, KEYS.public).size == 0


def test_the_bytes_of_the_format_do_not_change() -> None:
    """Fixed keys, times and events give this log: a change here is a new version of the format."""
    ledger = _ledger(rotation=3_000)
    batches = [ledger.compose([make_pending_record(n)], NOW + n * SECOND // 2) for n in range(9)]
    data = b"".join(batch.data for batch in batches)
    assert {_kinds(batch)[0] for batch in batches} == {"genesis", "segment", "event"}
    assert sha256(data + batches[-1].note.encode()).hex() == GOLDEN


def test_a_checkpoint_each_second() -> None:
    """Within a second none is added, then one at the end of the batch."""
    ledger = _ledger()
    ledger.compose([make_pending_record()], NOW)
    assert _kinds(ledger.compose([make_pending_record()], NOW + SECOND - 1)) == ["event"]
    late = ledger.compose([make_pending_record()], NOW + SECOND)
    assert _kinds(late) == ["event", "checkpoint"]
    assert late.syncs_head
    assert ledger.ends_with_checkpoint
    assert _kinds(ledger.compose([make_pending_record()], NOW + SECOND)) == ["event"]
    assert not ledger.ends_with_checkpoint


def test_a_checkpoint_each_thousand_records() -> None:
    """Whatever the time, records are never further than a thousand from a checkpoint."""
    ledger = _ledger()
    ledger.compose([make_pending_record()], NOW)
    since = 0
    for _ in range(30):
        batch = ledger.compose([make_pending_record()] * 100, NOW)
        since += len(batch.lines())
        if batch.syncs_head:
            assert since <= CHECKPOINT_RECORDS + 100
            since = 0
    assert since < CHECKPOINT_RECORDS


def test_the_last_record_of_a_batch_is_marked_and_no_other() -> None:
    """One commit mark a batch, on its last line, whatever that is."""
    ledger = _ledger()
    for now in (NOW, NOW, NOW + SECOND):
        marks = [
            bool(record.decode_record(line).commit)
            for line in ledger.compose([make_pending_record()] * 3, now).lines()
        ]
        assert marks == [False] * (len(marks) - 1) + [True]


def test_the_note_is_over_the_whole_batch() -> None:
    """The head that goes with a batch covers its last record."""
    ledger, chain = _ledger(), Chain(sha256)
    for step in range(5):
        batch = ledger.compose([make_pending_record()], NOW + step * SECOND // 2)
        assert batch.first == chain.size
        for line in batch.lines():
            chain.extend(line)
        head = verify_checkpoint(batch.note, KEYS, KEYS.public)
        chain_check.check_head(chain, head)
        assert head.size == batch.size == ledger.size


def test_a_segment_ends_at_its_size() -> None:
    """A batch lies in one segment, a new segment begins with a header, numbers count up."""
    ledger = _ledger(rotation=4_000)
    batches = [ledger.compose([make_pending_record()], NOW + i) for i in range(30)]
    assert {batch.segment for batch in batches} >= {1, 2, 3}
    lengths: dict[int, int] = {}
    for batch in batches:
        opens = batch.segment not in lengths
        assert (_kinds(batch)[0] in {"genesis", "segment"}) is opens
        assert lengths.get(batch.segment, 0) < 4_000
        lengths[batch.segment] = lengths.get(batch.segment, 0) + len(batch.data)


def test_the_mark_is_where_the_last_checkpoint_lies() -> None:
    """The offset that the head file keeps leads to a snapshot in the batch's own segment."""
    ledger = _ledger(rotation=9_000)
    files: dict[int, bytes] = {}
    for i in range(40):
        batch = ledger.compose([make_pending_record()], NOW + i * SECOND // 3)
        files[batch.segment] = files.get(batch.segment, b"") + batch.data
        line = files[batch.segment][batch.checkpoint_offset :].split(b"\n")[0]
        assert chain_check.is_snapshot(record.decode_record(line))


def test_the_time_is_that_of_the_draft() -> None:
    """A record says when its event was reported, not when it was written."""
    batch = _ledger().compose([make_pending_record(time=NOW - 5)], NOW)
    assert record.decode_record(batch.lines()[1]).time == "2027-01-15T07:59:59.999999995Z"
    assert record.decode_record(batch.lines()[2]).time == "2027-01-15T08:00:00Z"


def test_a_ledger_whose_key_fails_is_as_before() -> None:
    """If signing raises, no number is used up and the next batch follows as if nothing was."""
    broken = False

    def sign(text: bytes) -> bytes:
        if broken:
            raise RuntimeError("no key")
        return KEYS.sign(text)

    keys = AuditKeys(KEYS.digest, KEYS.verify, KEYS.mac, sign, KEYS.public)
    ledger = _ledger(keys=keys)
    first = ledger.compose([make_pending_record()], NOW)
    broken = True
    with pytest.raises(RuntimeError):
        ledger.compose([make_pending_record()], NOW + SECOND)
    broken = False
    assert ledger.compose([PendingRecord(NOW, "event", b"{}")], NOW).first == first.size
