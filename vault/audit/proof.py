"""A proof that one record is in a log, for somebody who has nothing but the public key."""

from pathlib import Path

from msgspec import Struct

from protocols.merkle import ProofBuilder, inclusion_ranges, leaf_hash, verify_inclusion
from vault.audit import record
from vault.audit.checkpoint import log_origin, verify_checkpoint
from vault.audit.keys import VerifyKeys
from vault.audit.layout import LogLayout
from vault.audit.record import AuditRecord
from vault.audit.verify import LogVerifier


class Proof(Struct, frozen=True, forbid_unknown_fields=True):
    """The record's line, the path from it to the root, and the signed checkpoint of that root."""

    record: str
    seq: int
    path: list[str]  # hex, from the leaf upwards (RFC 9162, 2.1.3.1)
    checkpoint: str  # a signed note


def prove_inclusion(log: Path, seq: int, keys: VerifyKeys, public: bytes | None = None) -> Proof:
    """Verify the whole log, and prove that its record `seq` is in it.

    Raises `LookupError` when the log does not (or no longer) hold that record, `BadLogError` and
    `OSError` as `verify`.
    """
    verifier = LogVerifier(LogLayout(log), keys, public)
    collector: ProofBuilder | None = None
    wanted: bytes | None = None
    for seen in verifier.records():
        head = verifier.stored_head.head
        if collector is None:
            if not seen.record.seq <= seq < head.size:
                raise LookupError(f"the log holds the records {seen.record.seq} to {head.size - 1}")
            ranges = inclusion_ranges(seq, head.size)
            collector = ProofBuilder(keys.digest, ranges, verifier.first_tree)
        if seen.record.seq < head.size:
            collector.add_leaf(leaf_hash(keys.digest, seen.line.data))
        if seen.record.seq == seq:
            wanted = seen.line.data
    verifier.verdict()
    if collector is None or wanted is None:
        raise LookupError("the log is empty")
    path = [value.hex() for value in collector.proof_hashes()]
    return Proof(wanted.decode(), seq, path, verifier.stored_head.note)


def verify_proof(proof: Proof, keys: VerifyKeys, public: bytes) -> AuditRecord:
    """The record that is proven to be in the log of this key. Raises `ValueError` if it is not."""
    head = verify_checkpoint(proof.checkpoint, keys, public)
    line = proof.record.encode()
    proven = verify_inclusion(
        keys.digest,
        index=proof.seq,
        size=head.size,
        leaf=leaf_hash(keys.digest, line),
        root=head.root,
        path=[bytes.fromhex(value) for value in proof.path],
    )
    entry = record.decode_record(line)
    if not proven or entry.seq != proof.seq or log_origin(entry.log) != head.origin:
        raise ValueError("the record is not proven to be in the log")
    return entry
