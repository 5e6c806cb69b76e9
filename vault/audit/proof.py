"""A proof that one record is in a log, for somebody who has nothing but the public key."""

from pathlib import Path

from msgspec import Struct

from protocols.merkle import Collector, inclusion_ranges, leaf_hash, verify_inclusion
from vault.audit import record
from vault.audit.checkpoint import open_note, origin_of
from vault.audit.keys import VerifyKeys
from vault.audit.layout import Layout
from vault.audit.record import Record
from vault.audit.verify import Verifier


class Proof(Struct, frozen=True, forbid_unknown_fields=True):
    """The record's line, the path from it to the root, and the signed checkpoint of that root."""

    record: str
    seq: int
    path: list[str]  # hex, from the leaf upwards (RFC 9162, 2.1.3.1)
    checkpoint: str  # a signed note


def prove(log: Path, seq: int, keys: VerifyKeys, public: bytes | None = None) -> Proof:
    """Verify the whole log, and prove that its record `seq` is in it.

    Raises `LookupError` when the log does not (or no longer) hold that record, `BadLogError` and
    `OSError` as `verify`.
    """
    verifier = Verifier(Layout(log), keys, public)
    collector: Collector | None = None
    wanted: bytes | None = None
    for seen in verifier.records():
        head = verifier.stored.head
        if collector is None:
            if not seen.record.seq <= seq < head.size:
                raise LookupError(f"the log holds the records {seen.record.seq} to {head.size - 1}")
            ranges = inclusion_ranges(seq, head.size)
            collector = Collector(keys.digest, ranges, verifier.begin)
        if seen.record.seq < head.size:
            collector.feed(leaf_hash(keys.digest, seen.line.data))
        if seen.record.seq == seq:
            wanted = seen.line.data
    verifier.verdict()
    if collector is None or wanted is None:
        raise LookupError("the log is empty")
    path = [value.hex() for value in collector.hashes()]
    return Proof(wanted.decode(), seq, path, verifier.stored.note)


def check(proof: Proof, keys: VerifyKeys, public: bytes) -> Record:
    """The record that is proven to be in the log of this key. Raises `ValueError` if it is not."""
    head = open_note(proof.checkpoint, keys, public)
    line = proof.record.encode()
    proven = verify_inclusion(
        keys.digest,
        index=proof.seq,
        size=head.size,
        leaf=leaf_hash(keys.digest, line),
        root=head.root,
        path=[bytes.fromhex(value) for value in proof.path],
    )
    entry = record.decode(line)
    if not proven or entry.seq != proof.seq or origin_of(entry.vault) != head.origin:
        raise ValueError("the record is not proven to be in the log")
    return entry
