"""Where the next records go: numbers, chain, tree, segments and signatures. Pure.

A batch that has been composed is final: it is written as it is or never, but no other batch takes
its place. So two sinks, or a sink and its own past, can never hold different records of one number.
Only what a process had composed that died or failed while it wrote can be replaced, after the log
was opened anew; no caller had its acknowledgement.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.instant import SECOND, rfc3339
from vault.audit import record
from vault.audit.chain import Chain
from vault.audit.checkpoint import TreeHead, log_origin, sign_checkpoint
from vault.audit.keys import AuditKeys
from vault.audit.pending_record import PendingRecord
from vault.audit.record import RecordContent, RecordKind

CHECKPOINT_INTERVAL: Final = SECOND  # security.md, "Audit tampering"
CHECKPOINT_RECORDS: Final = 1000  # the same


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are written together, all in one segment, and the head once they are."""

    segment: int
    first: int  # sequence number of the first record
    size: int  # of the log once these are in it
    data: bytes  # whole lines
    note: str  # the signed head
    checkpoint_offset: (
        int  # where in the segment its last checkpoint (or its header) begins, in bytes
    )
    syncs_head: (
        bool  # opens a segment or ends with a checkpoint: the head is to be made durable too
    )
    expire: int = 0  # once durable, the closed segments up to this number may go
    signer: bytes = b""  # the public key that belongs to the head's signature

    def lines(self) -> list[bytes]:
        """The records, without their newlines."""
        return self.data.split(b"\n")[:-1]


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a log ends. `length` and `mark` are in bytes of segment `segment`.

    `closed`: the segment takes no more records (or there is none yet, and its number is 0).
    """

    chain: Chain
    segment: int
    length: int
    checkpoint_offset: int
    is_closed: bool
    checkpoint: int  # size of the log once its last checkpoint is in it
    checkpoint_time: int = 0  # when that was, in Unix nanoseconds; 0: not known


class BatchComposer:
    """Composes the batches of one log. Its one owner writes each before it asks for the next."""

    def __init__(
        self,
        keys: AuditKeys,
        log_id: str,
        position: LogPosition,
        *,
        rotation_bytes: int,
        commits: Callable[[], int] = int,
    ) -> None:
        """`commits`: the store's count of durable commits now; it goes into each signed head."""
        self._keys = keys
        self._log = log_id
        self._origin = log_origin(log_id)
        self._rotation = rotation_bytes
        self._commits = commits
        self.resume(position)

    def resume(self, position: LogPosition) -> None:
        """Go on from here: somebody else has written since."""
        self._chain = position.chain
        self._segment = position.segment
        self._length = position.length
        self._checkpoint_offset = position.checkpoint_offset
        self._closed = position.is_closed
        self._checkpoint = position.checkpoint
        self._checkpoint_time = position.checkpoint_time

    @property
    def position(self) -> LogPosition:
        """Where the log ends once all that was composed is written."""
        return LogPosition(
            self._chain,
            self._segment,
            self._length,
            self._checkpoint_offset,
            self._closed,
            self._checkpoint,
            self._checkpoint_time,
        )

    @property
    def size(self) -> int:
        """How many records have been composed."""
        return self._chain.size

    @property
    def starts_segment(self) -> bool:
        """Whether the next record begins a segment."""
        return self._closed or self._length >= self._rotation

    @property
    def ends_with_checkpoint(self) -> bool:
        """Whether the last record is a checkpoint, so that another would say nothing new."""
        return self._chain.size == self._checkpoint

    def compose(
        self,
        records: Sequence[PendingRecord],
        now: int,
        *,
        checkpoint: bool = False,
        expire: int = 0,
    ) -> Batch:
        """Number and chain the records; without `checkpoint` there must be at least one.

        `checkpoint` adds a checkpoint whether one is due or not. Raises only what the keys raise,
        and then nothing has changed.
        """
        chain = self._chain.copy()
        opens = self.starts_segment
        segment = self._segment + 1 if opens else self._segment
        length, mark = (0, 0) if opens else (self._length, self._checkpoint_offset)
        time = rfc3339(now)
        entries = [RecordContent(time, *self._header(chain, segment, time))] if opens else []
        entries += [RecordContent(rfc3339(draft.time), draft.kind, draft.body) for draft in records]
        checkpoint = checkpoint or self._is_due(chain.size + len(entries), now)
        lines = self._encode(chain, entries, commit=not checkpoint)
        if checkpoint:
            mark = length + sum(map(len, lines)) + len(lines)
            snapshot = RecordContent(time, "checkpoint", self._snapshot(chain, time))
            lines += self._encode(chain, [snapshot], commit=True)
        data = b"\n".join([*lines, b""])
        note = sign_checkpoint(self._head(chain, time), self._keys)
        first = self._chain.size
        if checkpoint:
            self._checkpoint, self._checkpoint_time = chain.size, now
        self._chain, self._segment, self._closed = chain, segment, False
        self._length, self._checkpoint_offset = length + len(data), mark
        signer = self._keys.public
        return Batch(
            segment, first, chain.size, data, note, mark, opens or checkpoint, expire, signer
        )

    def _encode(
        self, chain: Chain, entries: Sequence[RecordContent], *, commit: bool
    ) -> list[bytes]:
        log_id, encode, lines = self._log, record.encode_record, []
        last = len(entries) - 1 if commit else -1
        for i, entry in enumerate(entries):
            if i == last:
                line = record.encode_committed(entry, log_id, chain.size, chain.head, self._keys)
            else:
                line = encode(entry, log_id, chain.size, chain.head)
            chain.extend(line)
            lines.append(line)
        return lines

    def _header(self, chain: Chain, segment: int, time: str) -> tuple[RecordKind, bytes]:
        body = record.SegmentBody(
            number=segment,
            public_key=base64.b64encode(self._keys.public).decode(),
            note=sign_checkpoint(self._head(chain, time), self._keys),
            frontier=[value.hex() for value in chain.tree.hashes],
        )
        return ("segment" if chain.size else "genesis"), record.encode_body(body)

    def _snapshot(self, chain: Chain, time: str) -> bytes:
        note = sign_checkpoint(self._head(chain, time), self._keys)
        frontier = [value.hex() for value in chain.tree.hashes]
        return record.encode_body(record.CheckpointBody(note, frontier))

    def _head(self, chain: Chain, time: str) -> TreeHead:
        root = chain.tree.root()
        return TreeHead(self._origin, chain.size, root, chain.head, time, self._commits())

    def _is_due(self, size: int, now: int) -> bool:
        return (
            size - self._checkpoint >= CHECKPOINT_RECORDS
            or now - self._checkpoint_time >= CHECKPOINT_INTERVAL
        )
