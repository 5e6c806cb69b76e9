"""Appends to a log that another process owns, in turn with that process.

It writes what the owner would write, with the same composer and the same sink. The owner does the
rest: a new segment, a full disk, an end that a process left broken, and one batch an hour for
retention. A write that fails leaves the end broken: as after a crash, the batch is kept if it is
whole, and is cut off otherwise.
"""

from collections.abc import Sequence
from functools import partial

from actors import World
from vault.audit.batch import BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.keys import AuditKeys
from vault.audit.pending_record import PendingRecord
from vault.audit.shared_tail import SharedTail, Tail
from vault.audit.sinks.file import FileSink
from vault.audit.writer import SWEEP_INTERVAL


class Appender:
    """A process's way to the end. One caller at a time."""

    def __init__(
        self,
        tail: SharedTail,
        sink: FileSink,
        keys: AuditKeys,
        log_id: str,
        world: World,
        *,
        rotation_bytes: int,
    ) -> None:
        """`sink`: one that has not been loaded, without a reserve."""
        self._tail = tail
        self._sink = sink
        self._keys = keys
        self._world = world
        self._thread = world.worker("audit sink")
        self._seen = 0  # the version of the end that we know
        self._owner_at = 0
        sink.attach(keys)
        self._composer = BatchComposer(
            keys,
            log_id,
            LogPosition(Chain(keys.digest), 0, 0, 0, is_closed=True, checkpoint=0),
            rotation_bytes=rotation_bytes,
            commits=partial(getattr, tail, "commits"),
        )

    async def append(self, records: Sequence[PendingRecord]) -> bool:
        """Return True once they are durable, in the log's one order.

        False: nothing was written, the owner has to. Raises `OSError` when a write has failed: then
        they may be on record, or some of them.
        """
        return await self._thread.run(self._append, records, self._world.now())

    async def aclose(self) -> None:
        """Give up files and thread."""
        await self._thread.run(self._close)
        self._thread.close()

    def _append(self, drafts: Sequence[PendingRecord], now: int) -> bool:
        self._tail.acquire()
        try:
            return self._write(drafts, now)
        finally:
            self._tail.release()

    def _write(self, drafts: Sequence[PendingRecord], now: int) -> bool:
        tail = self._tail
        if not tail.is_open:
            return False
        if tail.version != self._seen:
            self._resume(tail.load())
        if self._composer.starts_segment or now - self._owner_at >= SWEEP_INTERVAL:
            return False
        batch = self._composer.compose(drafts, now)
        tail.begin_write()
        self._sink.write((batch,))
        tail.publish(
            Tail.from_position(self._composer.position, self._sink, batch.note, self._owner_at)
        )
        self._seen = tail.version
        return True

    def _resume(self, tail: Tail) -> None:
        self._composer.resume(tail.to_position(self._keys.digest))
        self._sink.resume(tail)
        self._owner_at = tail.owner_at

    def _close(self) -> None:
        self._sink.close()
        self._tail.close()
