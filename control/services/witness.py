"""The audit witness: it cosigns a checkpoint only if the log begins with the one cosigned before.

The agent's own signature is checked first. Its key is pinned by the first checkpoint, which comes
in a frame that the agent's link key has signed; from then on another key is an alert.

After C2SP tlog-witness: what is cosigned is stored before the signature exists, so no crash lets an
agent obtain signatures on two histories. A log that went back or split is an alert and gets
nothing any more until a person has looked.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from control.crypto import is_signed, sha256
from control.errors import ConflictError, ValidationError
from control.model.records import Witnessed
from control.store import records
from control.store.growths import Growth, put_growth
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.merkle import verify_consistency

Sign = Callable[[bytes], bytes]

_ORIGIN: Final = "freehold.audit/"
FORK: Final = "fork"
ROLLBACK: Final = "rollback"
KEY: Final = "key"
_ED25519: Final = b"\x01"  # C2SP signed-note: plain Ed25519
_COSIGNATURE: Final = b"\x04"  # C2SP signed-note: timestamped Ed25519 witness cosignature


class Shown(Struct, frozen=True):
    """What an agent shows: a note, the key that signed it, the proof of growth from `old_size`."""

    note: str
    signer: bytes
    old_size: int
    proof: Sequence[bytes]


class Head(Struct, frozen=True):
    """What the note's text says; `text` is all of it that is signed."""

    origin: str
    size: int
    root: bytes
    text: bytes
    line: str
    """The first signature line, without its dash: the log's own."""


class Fault(Struct, frozen=True):
    """The log contradicts what was cosigned."""

    kind: str
    cosigned: int
    shown: int


class Witness:
    """`name` and `public` are what verifiers know us by, `sign` is plain Ed25519."""

    def __init__(self, name: str, public: bytes, sign: Sign) -> None:
        self._name = name
        self._sign = sign
        self._key_id = sha256(name.encode() + b"\n" + _COSIGNATURE + public)[:4]

    def cosign(self, tx: Tx, org: str, vault: str, shown: Shown, *, now: int) -> Witnessed | Fault:
        """The cosigned checkpoint, or why there is none. The agent's first one names its log.

        Raises `ValidationError` for what is no checkpoint of this agent, `ConflictError`
        (`proof_stale`) when the proof starts from another size than ours: try again from
        `details["size"]`, and (`log_faulty`) for a log that has a fault on record.
        """
        head = parse(shown.note)
        if not head.origin.startswith(_ORIGIN):
            raise ValidationError("checkpoint_invalid", "this is the checkpoint of another log")
        _check_signature(head, shown.signer)
        last = records.checkpoint(tx, org, vault)
        if last is not None:
            if last.fault:
                raise ConflictError("log_faulty", "this log contradicts what was cosigned")
            if fault := contradiction(last, head, shown):
                records.put_checkpoint(tx, replace(last, fault=fault.kind))
                return fault
        signer = shown.signer
        seen = Witnessed(org, vault, head.size, head.root, shown.note, now, "", signer)
        records.put_checkpoint(tx, seen)
        if last is not None and 0 < last.size < head.size:
            path = b"".join(shown.proof)
            put_growth(tx, Growth(org, vault, head.size, last.size, last.root, path))
        return seen

    def sign(self, seen: Witnessed) -> str:
        """Our line for a checkpoint that is stored: call it only after the commit."""
        seconds = seen.at // SECOND
        signature = self._sign(_cosigned_bytes(seconds, parse(seen.note)))
        blob = self._key_id + seconds.to_bytes(8, "big") + signature
        return f"— {self._name} {base64.b64encode(blob).decode()}\n"


def accept(tx: Tx, org: str, vault: str) -> bool:
    """A person has looked: the log may begin anew. Whether there was a fault."""
    last = records.checkpoint(tx, org, vault)
    if last is None or not last.fault:
        return False
    records.put_checkpoint(tx, replace(last, fault="", size=0, root=b"", signer=b""))
    return True


def contradiction(last: Witnessed, head: Head, shown: Shown) -> Fault | None:
    """Whether a log with this head cannot have grown from the cosigned one (RFC 9162, 2.1.4.2)."""
    if last.size == 0:
        return None
    if last.signer and last.signer != shown.signer:  # not secret: public keys
        return Fault(KEY, last.size, head.size)
    if head.origin != parse(last.note).origin:  # an agent has one log: its vault's
        return Fault(FORK, last.size, head.size)
    if head.size < last.size:
        return Fault(ROLLBACK, last.size, head.size)
    if head.size == last.size:
        same = hmac.compare_digest(head.root, last.root)
        return None if same else Fault(FORK, last.size, head.size)
    if shown.old_size != last.size:
        raise ConflictError("proof_stale", "prove from the cosigned size", size=last.size)
    grown = verify_consistency(
        sha256,
        old=last.size,
        old_root=last.root,
        new=head.size,
        new_root=head.root,
        path=shown.proof,
    )
    return None if grown else Fault(FORK, last.size, head.size)


def parse(note: str) -> Head:
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
    return Head(origin, number, decoded, (text + "\n").encode(), line)


def signed_by_log(note: str, signer: bytes) -> Head:
    """The head of a note that this key of a log has signed. Raises `ValidationError`."""
    head = parse(note)
    _check_signature(head, signer)
    return head


def cosigned(head: Head, line: str, public: bytes) -> bool:
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
    return is_signed(public, _cosigned_bytes(seconds, head), blob[12:])


def _cosigned_bytes(seconds: int, head: Head) -> bytes:
    return b"cosignature/v1\ntime %d\n" % seconds + head.text


def _check_signature(head: Head, signer: bytes) -> None:
    """Return if the log's key has signed the note (C2SP signed-note). Raises `ValidationError`."""
    name, _, encoded = head.line.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise _malformed() from None
    key_id = sha256(name.encode() + b"\n" + _ED25519 + signer)[:4]
    known = name == head.origin and hmac.compare_digest(blob[:4], key_id)
    if not known or not is_signed(signer, head.text, blob[4:]):
        raise ValidationError("checkpoint_invalid", "the log's own key has not signed this")


def _malformed() -> ValidationError:
    return ValidationError("checkpoint_invalid", "this is not a signed checkpoint")
