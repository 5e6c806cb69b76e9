"""Proofs: one record, checked with nothing but the public key."""

from pathlib import Path

import msgspec
import pytest

from vault.audit import record
from vault.audit.batch import BatchComposer
from vault.audit.pending_record import PendingRecord
from vault.audit.proof import Proof, prove_inclusion, verify_proof
from vault.audit.record import RetentionBody
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_keys, verify_log, write_log

KEYS = make_keys()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of several segments."""
    path = tmp_path / "audit.log"
    write_log(path, 12, batch=3, rotation=9_000)
    return path


def test_every_record_can_be_proven(log: Path) -> None:
    """Each proof, sent as JSON, gives the record back to somebody with the key."""
    for seq in range(verify_log(log, KEYS).size):
        sent = msgspec.json.encode(prove_inclusion(log, seq, KEYS))
        entry = verify_proof(msgspec.json.decode(sent, type=Proof), KEYS, KEYS.public)
        assert entry.seq == seq


def test_a_changed_proof_proves_nothing(log: Path) -> None:
    """Another record, number, path, checkpoint or key: refused."""
    proof, other = prove_inclusion(log, 7, KEYS), prove_inclusion(log, 8, KEYS)
    for bad in (
        msgspec.structs.replace(proof, record=proof.record.replace("alice", "mally")),
        msgspec.structs.replace(proof, record=other.record),
        msgspec.structs.replace(proof, seq=8),
        msgspec.structs.replace(proof, path=other.path),
        msgspec.structs.replace(proof, path=proof.path[1:]),
        msgspec.structs.replace(proof, path=["zz"]),
        msgspec.structs.replace(proof, checkpoint=proof.checkpoint.replace("\n", "\n1", 1)),
        msgspec.structs.replace(proof, record="{}"),
    ):
        with pytest.raises(ValueError, match=r".+"):
            verify_proof(bad, KEYS, KEYS.public)
    with pytest.raises(ValueError, match="another key"):
        verify_proof(proof, KEYS, make_keys(b"other").public)


def test_what_is_not_in_the_log_is_not_proven(log: Path, tmp_path: Path) -> None:
    """A number beyond the end, or a log that is none."""
    with pytest.raises(LookupError):
        prove_inclusion(log, verify_log(log, KEYS).size, KEYS)
    with pytest.raises(LookupError):
        prove_inclusion(log, -1, KEYS)


def test_records_behind_a_removed_segment_are_proven(log: Path) -> None:
    """After retention the rest is proven as before; what is gone is not."""
    sink = FileSink(log, reserve_bytes=0)
    ledger = BatchComposer(KEYS, LOG_ID, sink.load(KEYS, LOG_ID).position, rotation_bytes=2**30)
    second = sink.layout.closed_segment(2)
    first = record.decode_record(second.read_bytes().split(b"\n")[0]).seq
    body = record.encode_body(RetentionBody(1, first))
    batch = ledger.compose([PendingRecord(NOW, "retention", body)], NOW, checkpoint=True, expire=1)
    sink.write((batch,))
    sink.maintain(batch)
    sink.close()
    assert verify_log(log, KEYS).first == first > 0
    for seq in (first, first + 1, batch.size - 1):
        assert verify_proof(prove_inclusion(log, seq, KEYS), KEYS, KEYS.public).seq == seq
    with pytest.raises(LookupError):
        prove_inclusion(log, first - 1, KEYS)
