"""The audit log as the uplink sees it: its newest signed head, and the proof from a cosigned one.

It follows the log's batches (`vault.audit.feed.Follower`), across sealing too. Only after a start
the lines behind the cosigned size are read once, a slice at a time with rests in between.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from actors import World
from protocols.link import messages as m
from vault.audit.batch import Batch
from vault.audit.checkpoint import parse_unverified_head
from vault.audit.layout import LogLayout
from vault.control_link.log_growth import LogGrowth, read_growth

LINES_PER_SLICE: Final = 500  # lines, about 2 ms
SLICE_PAUSE: Final = 0.02  # seconds between slices
MAX_TRIES: Final = 3  # a file may be closed just then
MAX_PENDING_BYTES: Final = 8 * 1024 * 1024  # bytes of batches that come while the log is read


class AuditLogFollower:
    """Told of each batch; asked for checkpoints."""

    def __init__(self, layout: LogLayout, world: World) -> None:
        self._layout = layout
        self._world = world
        self._note = ""
        self._signer = b""
        self._growth: LogGrowth | None = None
        self._missed: list[Batch] | None = None
        self.size = 0

    def on_open(self, size: int) -> None:
        """See `Follower`. The log was opened: what was fed before may not be all of it."""
        self.size, self._note = size, ""
        self._growth, self._missed = None, None

    def on_batch(self, batch: Batch) -> None:
        """See `Follower`."""
        if self._growth is not None:
            for line in batch.lines():
                self._growth.append_line(line)
        if self._missed is not None:
            self._missed.append(batch)
            if sum(len(missed.data) for missed in self._missed) > MAX_PENDING_BYTES:
                self._missed = None
        self.size, self._note, self._signer = batch.size, batch.note, batch.signer

    def wants_lines(self) -> bool:
        """While there is something for them to be added to."""
        return self._growth is not None or self._missed is not None

    async def checkpoint(self, old: int, old_root: bytes) -> m.AuditCheckpoint | None:
        """The newest signed state with its proof; None when it says nothing new.

        A log that does not begin with what was cosigned is told without a proof: the witness must
        see that.
        """
        if not self._note or self.size == old:
            return None
        growth = await self._growth_from(old)
        if not self._note:
            return None
        head = parse_unverified_head(self._note)
        proof: tuple[bytes, ...] = ()
        if growth is not None and growth.size == head.size and growth.base_root == old_root:
            proof = growth.proof()
            growth.mark_base()  # it may come back cosigned
        return m.AuditCheckpoint(
            old_size=old,
            size=head.size,
            root=head.root,
            note=self._note,
            signer=self._signer,
            proof=proof,
        )

    async def _growth_from(self, old: int) -> LogGrowth | None:
        if old > self.size:
            return None
        growth = self._growth
        if growth is None or (growth.base != old and not growth.rebase(old)):
            self._growth = growth = await self._read(old)
        return growth

    async def _read(self, old: int) -> LogGrowth | None:
        """From the files; None when they do not hold it, or change too quickly."""
        for _ in range(MAX_TRIES):
            missed: list[Batch] = []
            self._missed = missed
            try:
                growth = await self._slices(read_growth(self._layout, old, self.size))
            except (ValueError, OSError):
                await self._world.sleep(SLICE_PAUSE)
                continue
            if self._missed is not missed:  # too much came, or the log was opened anew
                continue
            self._missed = None
            for batch in missed:
                for line in batch.lines():
                    growth.append_line(line)
            return growth
        self._missed = None
        return None

    async def _slices(self, reading: Iterator[LogGrowth | None]) -> LogGrowth:
        while True:
            some = await self._world.run_sync(_slice, reading)
            if (last := some[-1]) is not None:
                return last
            await self._world.sleep(SLICE_PAUSE)


def _slice(reading: Iterator[LogGrowth | None]) -> list[LogGrowth | None]:
    return list(islice(reading, LINES_PER_SLICE))
