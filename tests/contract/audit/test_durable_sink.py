"""What the writer relies on, of every durable sink."""

from collections.abc import Callable

import pytest

from protocols.instant import SECOND
from vault.audit import record
from vault.audit.batch import Batch, BatchComposer
from vault.audit.pending_record import PendingRecord
from vault.audit.replica import DurableSink
from vault.audit.testing import NOW, VAULT, make_keys, make_pending_record, verify_log

KEYS = make_keys()
Make = Callable[[str], DurableSink]


def _start(sink: DurableSink, rotation: int = 2**30) -> BatchComposer:
    return BatchComposer(KEYS, VAULT, sink.load(KEYS, VAULT).position, rotation_bytes=rotation)


def _batches(ledger: BatchComposer, count: int) -> tuple[Batch, ...]:
    return tuple(ledger.compose([make_pending_record(n)], NOW + n * SECOND) for n in range(count))


def test_what_is_written_is_found_at_the_next_load(make: Make) -> None:
    """Size, head and segment of the log are those of the last batch written."""
    sink = make("a")
    ledger = _start(sink, 5_000)
    for batch in _batches(ledger, 12):
        sink.write((batch,))
        assert make("a").layout.log.exists()
    sink.close()
    again = make("a")
    found = again.load(KEYS, VAULT)
    assert found.position.chain.size == ledger.size
    assert (found.adopted, found.dropped) == (0, 0)
    again.close()
    assert verify_log(sink.layout.log, KEYS).size == ledger.size


def test_a_batch_is_written_once(make: Make) -> None:
    """Batches that are there already are skipped, alone or among others."""
    sink = make("a")
    ledger = _start(sink)
    batches = _batches(ledger, 4)
    sink.write(batches[:2])
    sink.write(batches[:2])
    sink.write(batches)
    sink.close()
    assert verify_log(sink.layout.log, KEYS).size == ledger.size


def test_one_writer_at_a_time(make: Make) -> None:
    """A second sink on the same log cannot be loaded while the first is open."""
    sink = make("a")
    sink.load(KEYS, VAULT)
    with pytest.raises(OSError, match=r".+"):
        make("a").load(KEYS, VAULT)
    sink.close()


def test_a_copy_is_brought_up(make: Make) -> None:
    """A shorter copy becomes equal to a longer one."""
    long, short = make("long"), make("short")
    ledger = _start(long, 5_000)
    batches = _batches(ledger, 12)
    long.write(batches)
    short.load(KEYS, VAULT)
    short.write(batches[:5])
    short.catch_up_from(long.layout)
    assert short.load(KEYS, VAULT).position.chain.size == ledger.size
    long.close()
    short.close()
    assert verify_log(short.layout.log, KEYS) == verify_log(long.layout.log, KEYS)


def test_old_segments_are_named_and_removed(make: Make) -> None:
    """`expired` changes nothing; `tend` removes what the batch says, and only that."""
    sink = make("a")
    ledger = _start(sink, 5_000)
    sink.write(_batches(ledger, 12))
    assert sink.expired_segments(NOW) is None
    found = sink.expired_segments(NOW + 100 * SECOND)
    assert found is not None
    draft = PendingRecord(NOW, "retention", record.encode_body(found))
    batch = ledger.compose([draft], NOW, checkpoint=True, expire=found.through)
    sink.write((batch,))
    before = sink.layout.closed_segment_numbers()
    sink.maintain(batch)
    assert sink.layout.closed_segment_numbers() == [
        number for number in before if number > found.through
    ]
    sink.close()
    assert verify_log(sink.layout.log, KEYS).first == found.first


def test_a_name_for_people(make: Make) -> None:
    """The name leads a person to the file."""
    assert "audit.log" in make("a").name
