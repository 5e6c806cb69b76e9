"""The remembered states and their form: one line of JSON, its MAC in hex on the next. Pure.

The anchor's form is readable, since people look at it when something is wrong.
"""

import hmac
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from protocols import json_text
from vault.audit.checkpoint import TreeHead, parse_unverified_head
from vault.audit.retention import RetentionNotice
from vault.seal.anchor.keys import AnchorKeys

ANCHOR_FORMAT: Final = 2
COMMIT_STAMP_FORMAT: Final = 4
_FORMATS: Final = {"Anchor": ANCHOR_FORMAT, "CommitStamp": COMMIT_STAMP_FORMAT}
MAX_BYTES: Final = 65_536  # a state is about 1 KiB; what is longer is none
_LABELS: Final = {"Anchor": b"freehold-anchor-v1\n", "CommitStamp": b"freehold-mark-v1\n"}
_NAMES: Final = {"Anchor": "an anchor", "CommitStamp": "a commit stamp"}
_HEX: Final = 64


class NodeState(Struct, frozen=True):
    """What the database records of one node: see `CommitStamp`. An empty `node` is nobody."""

    node: str = ""
    checkpoint: str = ""
    anchored: bool = False
    sealed_at: int = 0
    notice: RetentionNotice | None = None

    @property
    def head(self) -> TreeHead | None:
        """The node's audit log as it was. The database's MACs vouch for it."""
        return parse_unverified_head(self.checkpoint) if self.checkpoint else None


NOBODY: Final = NodeState()


class Anchor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file outside the database, of one node.

    `epoch` is the keyring's, `commits` is the highest count of the store's transactions that the
    node has seen, whoever's; `checkpoint` is the signed head of the node's audit log (empty before
    the first). `sealed_at` (Unix ns) is there while a seal that was ordered is in force: only a
    person who brings the root key ends it. `break_glass` counts the openings by break-glass, and
    `break_glass_at` (Unix ns) is the last one; they are absent before the first.
    """

    format: int = ANCHOR_FORMAT
    vault: str
    node: str = ""
    epoch: int
    commits: int
    checkpoint: str
    sealed_at: int | UnsetType = UNSET
    break_glass: int | UnsetType = UNSET
    break_glass_at: int | UnsetType = UNSET

    @property
    def head(self) -> TreeHead | None:
        """The log as it was. What signs this state vouches for it: the signature is not checked."""
        return parse_unverified_head(self.checkpoint) if self.checkpoint else None


class CommitStamp(Anchor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The row in the database, written by the node that committed last.

    `anchored`: the node has an anchor; `rows`: totals of rows, sealed. `time` is that of the
    transaction, `slewed` the same by a `SlewedClock` (Unix ns), `notice` what the node has
    announced of its audit log's retention, `feed` the last link of the change feed.

    `node`, `checkpoint`, `anchored`, `sealed_at` and `notice` are of this node. Those of the others
    are in the table `nodes`.
    """

    format: int = COMMIT_STAMP_FORMAT
    anchored: bool
    rows: bytes
    time: int = 0
    slewed: int = 0
    notice: RetentionNotice | None = None
    feed: bytes = b""

    @property
    def node_state(self) -> NodeState:
        """What it says of its node."""
        return NodeState(
            self.node, self.checkpoint, self.anchored, self.sealed_at or 0, self.notice
        )


S = TypeVar("S", bound=Anchor)


def encode_state(state: Anchor, keys: AnchorKeys) -> bytes:
    """The two lines."""
    body = msgspec.json.encode(state)
    return body + b"\n" + keys.mac(_LABELS[type(state).__name__] + body).hex().encode() + b"\n"


def decode_state(data: bytes, kind: type[S], keys: AnchorKeys) -> S:
    """The state that this vault wrote. Raises `ValueError` for anything else."""
    body, _, rest = data.partition(b"\n")
    mac = keys.mac(_LABELS[kind.__name__] + body).hex().encode() + b"\n"
    if not hmac.compare_digest(mac, rest):
        raise ValueError("it is damaged, or of another vault")
    state = json_text.decode(body, type=kind)
    if state.format != _FORMATS[kind.__name__]:
        raise ValueError(f"format {state.format} is not known")
    return state


def decode_unverified(data: bytes, kind: type[S]) -> S:
    """A state without its MAC, which takes the keys. Raises `ValueError`."""
    body, _, mac = data.partition(b"\n")
    if len(mac.strip()) != _HEX:
        raise ValueError(f"not {_NAMES[kind.__name__]}")
    try:
        return json_text.decode(body, type=kind)
    except msgspec.MsgspecError:
        raise ValueError(f"not {_NAMES[kind.__name__]}") from None
