"""The audit witness: it cosigns a checkpoint only if the log begins with the one cosigned before.

The agent's own signature is checked first. Its key is pinned by the first checkpoint, which comes
in a frame that the agent's link key has signed; from then on another key is an alert.

After C2SP tlog-witness: what is cosigned is stored before the signature exists, so no crash lets an
agent obtain signatures on two histories. A log that went back or split is an alert and gets
nothing any more until a person has looked.

The witness remembers each log by its origin and key, whichever enrolment shows it: an agent that
enrols again, under another name or in another organization, cannot have a second history cosigned.
Two processes of one database cannot either: the log's row has one key, and writes are serializable.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from control.crypto import is_valid_signature, sha256
from control.errors import ConflictError, ValidationError
from control.model.records import WitnessedCheckpoint, WitnessedLog
from control.store import audit_records
from control.store.audit_records import ConsistencyProof, put_consistency_proof
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.merkle import verify_consistency

SignFunction = Callable[[bytes], bytes]

_ORIGIN: Final = "freehold.audit/"
FORK: Final = "fork"
ROLLBACK: Final = "rollback"
KEY: Final = "key"
_ED25519: Final = b"\x01"  # C2SP signed-note: plain Ed25519
_COSIGNATURE: Final = b"\x04"  # C2SP signed-note: timestamped Ed25519 witness cosignature


class PresentedCheckpoint(Struct, frozen=True):
    """What an agent shows: a note, the key that signed it, the proof of growth from `old_size`."""

    note: str
    signer: bytes
    old_size: int
    proof: Sequence[bytes]


class CheckpointHead(Struct, frozen=True):
    """The parsed text of a note; `text` is all of it that is signed."""

    origin: str
    size: int
    root: bytes
    text: bytes
    line: str
    """The first signature line, without its dash: the log's own."""


class LogFault(Struct, frozen=True):
    """The log contradicts what was cosigned, for the enrolment `org` and `vault`."""

    kind: str
    cosigned: int
    shown: int
    org: str
    vault: str


class StaleProofError(ConflictError):
    """The proof starts from another size than the cosigned one: prove from `size`."""

    def __init__(self, size: int) -> None:
        super().__init__("proof_stale", "prove from the cosigned size", size=size)
        self.size = size


class Witness:
    """`name` and `public` identify us to verifiers, `sign` is plain Ed25519."""

    def __init__(self, name: str, public: bytes, sign: SignFunction) -> None:
        self._name = name
        self._sign = sign
        self._key_id = sha256(name.encode() + b"\n" + _COSIGNATURE + public)[:4]

    def cosign_checkpoint(
        self, tx: Tx, org: str, vault: str, shown: PresentedCheckpoint, *, now: int
    ) -> WitnessedCheckpoint | LogFault:
        """The cosigned checkpoint, or why there is none. The agent's first one names its log.

        Raises `ValidationError` for what is no checkpoint of this agent, `StaleProofError` when
        the proof starts from another size than ours, and `ConflictError` (`log_faulty`) for an
        enrolment that has a fault on record.
        """
        head = parse_checkpoint(shown.note)
        if not head.origin.startswith(_ORIGIN):
            raise ValidationError("checkpoint_invalid", "this is the checkpoint of another log")
        _check_signature(head, shown.signer)
        last = audit_records.get_checkpoint(tx, org, vault)
        if last is not None and last.fault:
            raise ConflictError("log_faulty", "this log contradicts what was cosigned")
        log = _remembered_log(audit_records.get_witnessed_log(tx, head.origin, shown.signer), last)
        fault = _is_other_log(last, head, shown)
        if fault is None and (fault := find_contradiction(log, head, shown)) and log is not None:
            audit_records.put_witnessed_log(tx, replace(log, disputed=True))
        if fault is not None:
            wrong = replace(last or _presented_row(org, vault, shown, now), fault=fault.kind)
            audit_records.put_checkpoint(tx, wrong)
            return fault
        signer = shown.signer
        seen = WitnessedCheckpoint(org, vault, head.size, head.root, shown.note, now, "", signer)
        audit_records.put_checkpoint(tx, seen)
        disputed = log is not None and log.disputed
        grown = WitnessedLog(
            head.origin, signer, head.size, head.root, shown.note, now, org, vault, disputed
        )
        audit_records.put_witnessed_log(tx, grown)
        if log is not None and 0 < log.size < head.size:
            path = b"".join(shown.proof)
            put_consistency_proof(
                tx, ConsistencyProof(org, vault, head.size, log.size, log.root, path)
            )
        return seen

    def cosignature_line(self, seen: WitnessedCheckpoint) -> str:
        """Our signature line for a stored checkpoint: call it only after the commit.

        Raises `ValueError` for a row that names a log of which nothing is cosigned.
        """
        if not seen.size:
            raise ValueError("nothing of this log is cosigned")
        seconds = seen.at // SECOND
        signature = self._sign(_cosigned_bytes(seconds, parse_checkpoint(seen.note)))
        blob = self._key_id + seconds.to_bytes(8, "big") + signature
        return f"— {self._name} {base64.b64encode(blob).decode()}\n"


def name_log(tx: Tx, org: str, vault: str, shown: PresentedCheckpoint, *, now: int) -> None:
    """Store which log an enrolment shows, before anything is cosigned for it."""
    last = audit_records.get_checkpoint(tx, org, vault)
    if last is None or not last.size:
        audit_records.put_checkpoint(tx, _presented_row(org, vault, shown, now))


def cosigned_at(tx: Tx, org: str, vault: str, size: int) -> WitnessedCheckpoint | None:
    """The cosigned checkpoint of this size, of the enrolment's log.

    It may be cosigned for another enrolment: the agent has to prove from there.
    """
    last = audit_records.get_checkpoint(tx, org, vault)
    if last is None or not size:
        return None
    if last.size == size:
        return last
    log = audit_records.get_witnessed_log(tx, parse_checkpoint(last.note).origin, last.signer)
    if log is None or log.size != size:
        return None
    return WitnessedCheckpoint(org, vault, log.size, log.root, log.note, log.at, "", log.signer)


def accept_new_log(tx: Tx, org: str, vault: str) -> None:
    """Let the enrolment's log begin anew, after a person has looked. No fault: nothing changes.

    A log that was cosigned for another organization stays remembered and disputed: its people
    decide about it. The enrolment only leaves it, for a log of its own.
    """
    last = audit_records.get_checkpoint(tx, org, vault)
    if last is None or not (last.fault or is_disputed(tx, last)):
        return
    log = audit_records.get_witnessed_log(tx, parse_checkpoint(last.note).origin, last.signer)
    if log is not None and log.disputed and log.org == org:
        audit_records.put_witnessed_log(tx, replace(log, size=0, root=b"", disputed=False))
    audit_records.put_checkpoint(tx, replace(last, fault="", size=0, root=b"", signer=b""))


def is_disputed(tx: Tx, last: WitnessedCheckpoint | None) -> bool:
    """Whether some enrolment has shown another history of the log that this one shows."""
    if last is None:
        return False
    log = audit_records.get_witnessed_log(tx, parse_checkpoint(last.note).origin, last.signer)
    return log is not None and log.disputed


def _is_other_log(
    last: WitnessedCheckpoint | None, head: CheckpointHead, shown: PresentedCheckpoint
) -> LogFault | None:
    """Whether this is another log than the one that was cosigned for this enrolment."""
    if last is None or last.size == 0:
        return None
    if last.signer and last.signer != shown.signer:  # not secret: public keys
        return LogFault(KEY, last.size, head.size, last.org, last.vault)
    if head.origin != parse_checkpoint(last.note).origin:  # an agent has one log: its vault's
        return LogFault(FORK, last.size, head.size, last.org, last.vault)
    return None


def find_contradiction(
    log: WitnessedLog | None, head: CheckpointHead, shown: PresentedCheckpoint
) -> LogFault | None:
    """Whether a log with this head cannot have grown from the cosigned one (RFC 9162, 2.1.4.2)."""
    if log is None or log.size == 0:
        return None
    if head.size < log.size:
        return LogFault(ROLLBACK, log.size, head.size, log.org, log.vault)
    split = LogFault(FORK, log.size, head.size, log.org, log.vault)
    if head.size == log.size:
        same = hmac.compare_digest(head.root, log.root)
        return None if same else split
    if shown.old_size != log.size:
        raise StaleProofError(log.size)
    grown = verify_consistency(
        sha256,
        old=log.size,
        old_root=log.root,
        new=head.size,
        new_root=head.root,
        path=shown.proof,
    )
    return None if grown else split


def _presented_row(
    org: str, vault: str, shown: PresentedCheckpoint, now: int
) -> WitnessedCheckpoint:
    """The row of an enrolment that shows a log and for which nothing is cosigned yet."""
    return WitnessedCheckpoint(org, vault, 0, b"", shown.note, now, "", shown.signer)


def _remembered_log(
    log: WitnessedLog | None, last: WitnessedCheckpoint | None
) -> WitnessedLog | None:
    """What is remembered of the log that an enrolment shows.

    Where the log was cosigned for this very enrolment last, what is kept of that can be newer: a
    process of before step 0024 of the schema, on the same database, knows of nothing else. And it
    is all there is of one whose key was not noted yet (before step 0006).
    """
    if last is None or not last.size:
        return log
    own = WitnessedLog(
        parse_checkpoint(last.note).origin,
        *(last.signer, last.size, last.root, last.note, last.at, last.org, last.vault),
    )
    if log is None:
        return own
    mine = (log.org, log.vault, log.signer) == (own.org, own.vault, own.signer)
    newer = mine and log.origin == own.origin and own.size > log.size
    return replace(own, disputed=log.disputed) if newer else log


def parse_checkpoint(note: str) -> CheckpointHead:
    """The head that a signed note is about (C2SP tlog-checkpoint). Raises `ValidationError`."""
    text, blank, lines_after = note.partition("\n\n— ")
    lines = text.split("\n")
    try:
        origin, size, root, *_ = lines
        decoded = base64.b64decode(root, validate=True)
        number = int(size) if size.isascii() and size.isdigit() else -1
    except (ValueError, binascii.Error):
        raise _malformed() from None
    if not blank or len(decoded) != 32 or number < 1 or str(number) != size:  # noqa: PLR2004  # SHA-256
        raise _malformed()
    line = lines_after.partition("\n")[0]
    return CheckpointHead(origin, number, decoded, (text + "\n").encode(), line)


def verified_checkpoint(note: str, signer: bytes) -> CheckpointHead:
    """The head of a note that this key of a log has signed. Raises `ValidationError`."""
    head = parse_checkpoint(note)
    _check_signature(head, signer)
    return head


def has_cosignature(head: CheckpointHead, line: str, public: bytes) -> bool:
    """Whether a witness with this key has cosigned the head by this line (C2SP tlog-witness)."""
    dash, name, encoded = (*line.strip().split(" "), "", "", "")[:3]
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return False
    key_id = sha256(name.encode() + b"\n" + _COSIGNATURE + public)[:4]
    if dash != "—" or not hmac.compare_digest(blob[:4], key_id):
        return False
    seconds = int.from_bytes(blob[4:12], "big")
    return is_valid_signature(public, _cosigned_bytes(seconds, head), blob[12:])


def _cosigned_bytes(seconds: int, head: CheckpointHead) -> bytes:
    return b"cosignature/v1\ntime %d\n" % seconds + head.text


def _check_signature(head: CheckpointHead, signer: bytes) -> None:
    """Return if the log's key has signed the note (C2SP signed-note). Raises `ValidationError`."""
    name, _, encoded = head.line.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise _malformed() from None
    key_id = sha256(name.encode() + b"\n" + _ED25519 + signer)[:4]
    known = name == head.origin and hmac.compare_digest(blob[:4], key_id)
    if not known or not is_valid_signature(signer, head.text, blob[4:]):
        raise ValidationError("checkpoint_invalid", "the log's own key has not signed this")


def _malformed() -> ValidationError:
    return ValidationError("checkpoint_invalid", "this is not a signed checkpoint")
