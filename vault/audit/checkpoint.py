"""Signed checkpoints in the form of C2SP tlog-checkpoint, so that any witness can cosign them.

A checkpoint is a signed note (C2SP signed-note, Ed25519): origin, size and root, then extension
lines: the head of the hash chain, the time, and how often the store had committed (none: never).
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Self

from protocols.signed_note import note_text, sign_note, verify_note
from vault.audit.keys import AuditKeys, VerifyKeys

_ORIGIN: Final = "freehold.audit/"
_HASH: Final = 32


def log_id_of(vault: str, node: str) -> str:
    """The id of a node's audit log, as its records have it."""
    return f"{vault}/{node}"


def log_origin(log: str) -> str:
    """The log's identity: the checkpoint's first line, and the name of its key."""
    return f"{_ORIGIN}{log}"


def origin_node(origin: str) -> str:
    """The node whose log that is."""
    return origin.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A state of the log: `size` records, Merkle `root`, chain `head`, at `time` (RFC 3339).

    `store`: the store's count of commits then, so that an older database is noticed by the log.
    """

    origin: str
    size: int
    root: bytes
    head: bytes
    time: str
    store: int = 0

    def text(self) -> bytes:
        """The note's text: what is signed, its last newline included."""
        root = base64.b64encode(self.root).decode()
        store = f"store {self.store}\n" if self.store else ""
        return (
            f"{self.origin}\n{self.size}\n{root}\nhead {self.head.hex()}\ntime {self.time}\n{store}"
        ).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The inverse of `text`, and nothing else. Raises `ValueError`."""
        try:
            origin, size, root, head, time, *store = text.decode().removesuffix("\n").split("\n")
            parsed = cls(
                origin=origin,
                size=int(size),
                root=base64.b64decode(root, validate=True),
                head=bytes.fromhex(head.removeprefix("head ")),
                time=time.removeprefix("time "),
                store=int(store[0].removeprefix("store ")) if store else 0,
            )
        except (ValueError, binascii.Error):
            raise ValueError("not a checkpoint") from None
        if parsed.text() != text or len(parsed.root) != _HASH or len(parsed.head) != _HASH:
            raise ValueError("not a canonical checkpoint")
        return parsed


def sign_checkpoint(head: TreeHead, keys: AuditKeys) -> str:
    """The signed note."""
    return sign_note(head.text(), head.origin, keys.public, keys.sign, keys.digest)


def verify_checkpoint(note: str, keys: VerifyKeys, public: bytes) -> TreeHead:
    """The head that this key has signed. Raises `ValueError` if it has not, or not this note.

    Lines by other signers (witnesses) may follow ours; they are not looked at.
    """
    head = parse_unverified_head(note)
    verify_note(note, head.origin, public, keys.verify, keys.digest, what="checkpoint")
    return head


def parse_unverified_head(note: str) -> TreeHead:
    """The head in a note that something else vouches for. Raises `ValueError`."""
    return TreeHead.parse(note_text(note))
