"""Reading a log forward: which state a checkpoint begins with, and whether a line continues it.

The same rules for the writer's start and for the verifier. Pure.
"""

import base64
import binascii

from protocols.merkle import Frontier
from vault.audit import record
from vault.audit.chain import Chain
from vault.audit.checkpoint import TreeHead, log_origin, verify_checkpoint
from vault.audit.keys import VerifyKeys
from vault.audit.record import AuditRecord

_SNAPSHOTS = {
    "genesis": record.SegmentBody,
    "segment": record.SegmentBody,
    "checkpoint": record.CheckpointBody,
}


def is_snapshot(entry: AuditRecord) -> bool:
    """Whether the record holds a signed checkpoint."""
    return entry.kind in _SNAPSHOTS


def is_segment_header(entry: AuditRecord) -> bool:
    """Whether the record is the first of a file."""
    return entry.kind in {"genesis", "segment"}


def segment_public_key(entry: AuditRecord) -> bytes:
    """The key in a segment's header. Raises `ValueError`."""
    body: record.SegmentBody = record.decode_body(entry, record.SegmentBody)
    try:
        return base64.b64decode(body.public_key, validate=True)
    except binascii.Error:
        raise ValueError("the public key is not base64") from None


def chain_before(entry: AuditRecord, keys: VerifyKeys, public: bytes) -> Chain:
    """The chain before `entry`, a snapshot. Raises `ValueError` unless it is signed and whole."""
    head, frontier = _snapshot(entry, keys, public)
    try:
        tree = Frontier(keys.digest, head.size, [bytes.fromhex(value) for value in frontier])
    except ValueError as error:
        raise ValueError(f"the frontier is wrong: {error}") from None
    if tree.root() != head.root:
        raise ValueError("the frontier does not give the signed root")
    return Chain(keys.digest, head.head, tree)


def extend_chain(chain: Chain, line: bytes, log_id: str) -> AuditRecord:
    """Extend the chain by a line that continues it. Raises `ValueError` and leaves it otherwise."""
    entry = record.decode_record(line)
    if entry.log != log_id:
        raise ValueError("the record is of another log")
    if entry.seq != chain.size:
        raise ValueError(f"record {chain.size} is expected here, not {entry.seq}")
    if entry.prev != chain.head.hex():
        raise ValueError("the record does not follow the one before it")
    chain.extend(line)
    return entry


def check_snapshot(chain: Chain, entry: AuditRecord, keys: VerifyKeys, public: bytes) -> TreeHead:
    """The signed state in `entry`, which comes next after `chain`.

    Raises `ValueError` unless it is the chain's.
    """
    head, frontier = _snapshot(entry, keys, public)
    check_head(chain, head)
    if frontier != [value.hex() for value in chain.tree.hashes]:
        raise ValueError("the frontier is not that of the records before it")
    return head


def check_head(chain: Chain, head: TreeHead) -> None:
    """Raise `ValueError` unless the signed state is that of the chain."""
    if head.size != chain.size:
        raise ValueError(f"the signed size is {head.size} and there are {chain.size} records")
    if head.root != chain.tree.root() or head.head != chain.head:
        raise ValueError("the records are not those that were signed")


def _snapshot(entry: AuditRecord, keys: VerifyKeys, public: bytes) -> tuple[TreeHead, list[str]]:
    kind = _SNAPSHOTS.get(entry.kind)
    if kind is None:
        raise ValueError("the record holds no checkpoint")
    body = record.decode_body(entry, kind)
    head = verify_checkpoint(body.note, keys, public)
    if head.origin != log_origin(entry.log) or head.time != entry.time:
        raise ValueError("the checkpoint is not of this record")
    if head.size != entry.seq or head.head.hex() != entry.prev:
        raise ValueError("the checkpoint is not of this place")
    return head, body.frontier
