"""Proofs in reports: how each is made, and verified without any database."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from control.crypto import sha256
from control.errors import ValidationError
from control.model.compliance import (
    CheckpointProof,
    Evidence,
    Header,
    PolicyProof,
    Proof,
    Record,
    TrailEnd,
    TrailProof,
)
from control.model.policies import SignedAssignment
from control.model.records import AuditEvent, WitnessedCheckpoint
from control.services.audit_log import extends_chain
from control.services.signed_heads import SignedHead, is_valid_head
from control.services.witness import has_cosignature, verified_checkpoint
from control.store.audit_records import ConsistencyProof
from control.store.rows import to_columns
from protocols.merkle import verify_consistency

MAX_PROOFS: Final = 50
"""Proofs that one piece of evidence carries; those of what is wrong come first."""


def audit_proof(event: AuditEvent) -> TrailProof:
    """A record of the audit log."""
    fields: dict[str, Any] = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in to_columns(event).items()
    }
    return TrailProof(Record(**fields))


def checkpoint_proof(
    seen: WitnessedCheckpoint, growth: ConsistencyProof | None, cosignature: str
) -> CheckpointProof:
    """An agent's newest checkpoint."""
    grown = growth if growth is not None and growth.size == seen.size else None
    return CheckpointProof(
        vault=seen.vault,
        size=seen.size,
        root=seen.root.hex(),
        note=seen.note,
        cosignature=cosignature,
        signer=seen.signer.hex(),
        at=seen.at,
        grown_from=grown.old_size if grown else 0,
        grown_root=grown.old_root.hex() if grown else "",
        path=tuple(node.hex() for node in grown.nodes) if grown else (),
    )


def policy_proof(row: SignedAssignment) -> PolicyProof:
    """The bundle that an agent should have."""
    return PolicyProof(
        vault=row.vault,
        version=row.version,
        applied=row.applied,
        contents=row.contents,
        bundle=row.digest.hex(),
        signature=sha256(row.signature).hex(),
    )


def audit_event_of(record: Record) -> AuditEvent:
    """The audit event of the record. Raises `ValueError`."""
    fields: dict[str, Any] = to_columns(record)
    for name in ("previous", "hash"):
        fields[name] = bytes.fromhex(fields[name])
    return AuditEvent(**fields)


def signed_head_of(org: str, end: TrailEnd) -> SignedHead:
    """The signed head. Raises `ValueError`."""
    return SignedHead(org, end.size, bytes.fromhex(end.hash), end.at, bytes.fromhex(end.signature))


def find_faults(header: Header, evidence: Mapping[str, Evidence], public: bytes) -> Iterable[str]:
    """The faults of proofs that do not verify."""
    if not _is_consistent(lambda: is_valid_head(signed_head_of(header.org, header.trail), public)):
        yield "header: the trail's end is not signed by this key"
    for item in evidence.values():
        for number, proof in enumerate(item.proofs, 1):
            if not _is_consistent(lambda proof=proof: _is_valid(header, proof, public)):
                yield f"evidence {item.id}: proof {number} ({proof_kind(proof)}) does not hold"


def proof_kind(proof: Proof) -> str:
    """Its kind, as the file has it."""
    return str(type(proof).__struct_config__.tag)


def _is_consistent(check: Any) -> bool:
    try:
        return bool(check())
    except (ValueError, ValidationError):
        return False


def _is_valid(header: Header, proof: Proof, public: bytes) -> bool:
    match proof:
        case TrailProof(record):
            event = audit_event_of(record)
            within = event.org == header.org and event.seq <= header.trail.size
            return within and extends_chain(event, event.previous)
        case CheckpointProof():
            return _is_valid_checkpoint(proof, public)
        case _:
            return True  # a statement of ours: only the database could bear it out


def _is_valid_checkpoint(proof: CheckpointProof, public: bytes) -> bool:
    """Whether the note has this size and root, both signatures verify, and the log has grown."""
    root = bytes.fromhex(proof.root)
    head = verified_checkpoint(proof.note, bytes.fromhex(proof.signer))
    if (head.size, head.root) != (proof.size, root) or not has_cosignature(
        head, proof.cosignature, public
    ):
        return False
    return not proof.grown_from or verify_consistency(
        sha256,
        old=proof.grown_from,
        old_root=bytes.fromhex(proof.grown_root),
        new=proof.size,
        new_root=root,
        path=[bytes.fromhex(node) for node in proof.path],
    )
