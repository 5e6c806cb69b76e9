"""Writing at the end of a log that another process owns, when it is this one's turn.

It writes what the owner would write, by the same ledger and the same sink. What is out of the
ordinary is left to him: beginning a segment, a disk that is full, an end that somebody has left
broken; and once an hour a batch, since he looks after retention. A write that fails leaves the end
broken, too: what it signed is then kept if it is whole, as after a crash, and is cut off otherwise.
"""

from collections.abc import Sequence
from functools import partial

from actors import World
from vault.audit.chain import Chain
from vault.audit.draft import Draft
from vault.audit.end import End, SharedEnd
from vault.audit.keys import AuditKeys
from vault.audit.ledger import Ledger, Position
from vault.audit.sinks.file import FileSink
from vault.audit.writer import SWEEP_INTERVAL


class Appender:
    """A process's way to the end. One caller at a time."""

    def __init__(
        self,
        end: SharedEnd,
        sink: FileSink,
        keys: AuditKeys,
        vault_id: str,
        world: World,
        *,
        rotation_bytes: int,
    ) -> None:
        """`sink`: one that has not been loaded, without a reserve."""
        self._end = end
        self._sink = sink
        self._keys = keys
        self._world = world
        self._thread = world.worker("audit sink")
        self._seen = 0  # the version of the end that we know
        self._owner_at = 0
        sink.join(keys)
        self._ledger = Ledger(
            keys,
            vault_id,
            Position(Chain(keys.digest), 0, 0, 0, closed=True, checkpoint=0),
            rotation_bytes=rotation_bytes,
            commits=partial(getattr, end, "commits"),
        )

    async def append(self, drafts: Sequence[Draft]) -> bool:
        """Return True once they are durable, in the log's one order.

        False: nothing was written, the owner has to. Raises `OSError` when a write has failed: then
        they may be on record, or some of them.
        """
        return await self._thread.run(self._append, drafts, self._world.now())

    async def aclose(self) -> None:
        """Give up files and thread."""
        await self._thread.run(self._close)
        self._thread.close()

    def _append(self, drafts: Sequence[Draft], now: int) -> bool:
        self._end.take()
        try:
            return self._has_written(drafts, now)
        finally:
            self._end.give()

    def _has_written(self, drafts: Sequence[Draft], now: int) -> bool:
        end = self._end
        if not end.is_open:
            return False
        if end.version != self._seen:
            self._resume(end.load())
        if self._ledger.begins or now - self._owner_at >= SWEEP_INTERVAL:
            return False
        batch = self._ledger.compose(drafts, now)
        end.begin()
        self._sink.write((batch,))
        end.leave(End.of(self._ledger.position, self._sink, batch.note, self._owner_at))
        self._seen = end.version
        return True

    def _resume(self, end: End) -> None:
        self._ledger.resume(end.position(self._keys.digest))
        self._sink.resume(end)
        self._owner_at = end.owner_at

    def _close(self) -> None:
        self._sink.close()
        self._end.close()
