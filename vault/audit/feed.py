"""The feed: followers receive the log's growth, in its order.

What this process wrote is published as it is. Where other processes write, too, that is read back
from the log, some time after it: no writer waits for a follower. A follower that reads no lines
receives only how far the log goes, so nothing that cannot be read is in its way.
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from actors import World
from protocols.errors import locate
from vault.audit.batch import Batch, LogPosition
from vault.audit.layout import LogLayout
from vault.audit.log_reader import RecordLocation, read_range, resume_location
from vault.audit.shared_tail import SharedTail, Tail

log: Final = logging.getLogger("freehold.audit")
POLL_INTERVAL: Final = 0.05  # seconds between two looks at what others have written
MAX_RECORDS: Final = 1024  # records that are published at a time


class LogFollower(Protocol):
    """Receives acknowledged batches; the log never waits for it."""

    def on_open(self, size: int) -> None:
        """The log was opened and has so many records; returns at once and does not raise."""
        ...

    def on_batch(self, batch: Batch) -> None:
        """Take note of it; returns at once and does not raise.

        It may be several that others wrote, and has no note then where no head of just this size
        is at hand, and no lines where nobody reads them.
        """
        ...

    def wants_lines(self) -> bool:
        """Whether it looks at the next batch's lines, and not only at how far the log goes."""
        ...


class LogFeed:
    """Of one log. `run` while others write it as well."""

    def __init__(
        self,
        followers: Sequence[LogFollower],
        layout: LogLayout,
        tail: SharedTail | None,
        signer: bytes,
        world: World,
    ) -> None:
        """`tail`: the log's end if other processes write it, too. `signer`: of the heads."""
        self._layout = layout
        self._tail = tail
        self._signer = signer
        self._world = world
        self._published = {
            follower: RecordLocation(0, 1, 0) for follower in followers
        }  # what comes next for each
        self._started = False
        self._reading = trio.Lock()
        self.read_error = ""
        """Why what others wrote could not be read; empty when it could."""

    def start(self, position: LogPosition) -> None:
        """The log was opened and ends here.

        Where others write, only the first opening is one for followers: later ones take nothing
        away, and what they add is published as any growth.
        """
        if self._started and self._tail is not None:
            return
        self._started = True
        size, segment, length = position.chain.size, position.segment, position.length
        place = (
            RecordLocation(size, segment + 1, 0)
            if position.is_closed
            else RecordLocation(size, segment, length)
        )
        for follower in self._published:
            self._published[follower] = place
            follower.on_open(size)

    def publish(self, batch: Batch, length: int) -> None:
        """This process wrote it; its segment is so many bytes long now.

        A follower that reads lines and lacks some before these gets them from `run`.
        """
        for follower, place in self._published.items():
            if place.seq == batch.first or not follower.wants_lines():
                self._notify(follower, batch, RecordLocation(batch.size, batch.segment, length))

    async def run(self) -> None:
        """Tell of what others write, until cancelled."""
        while True:
            await self._world.sleep(POLL_INTERVAL)
            await self.wait_caught_up()

    async def wait_caught_up(self) -> None:
        """Return when followers know of all that is acknowledged by now, or it cannot be read."""
        async with self._reading:
            tail = self._tail.peek() if self._tail is not None else None
            if tail is None:
                return
            for follower in self._published:
                if not follower.wants_lines():
                    self._forward(
                        follower, [], RecordLocation(tail.size, tail.segment, tail.length), tail
                    )
            try:
                for follower in self._published:
                    while self._published[follower].seq < tail.size:
                        await self._read(follower, tail)
                self.read_error = ""
            except (OSError, ValueError) as error:
                if not self.read_error:
                    log.error("audit: what was written cannot be read back: %s", locate(error))  # noqa: TRY400  # one line tells all
                self.read_error = f"followers lag: {error}"

    async def _read(self, follower: LogFollower, tail: Tail) -> None:
        place = self._published[follower]
        try:
            stretch = await self._world.run_sync(
                read_range, self._layout, place, tail.size, MAX_RECORDS
            )
        except (FileNotFoundError, ValueError):
            left = await self._world.run_sync(resume_location, self._layout, place)
            if left.seq == place.seq:
                raise
            self._published[follower] = left  # retention has taken what lay between
            return
        if self._published[follower] == place:  # nothing more was published to it meanwhile
            self._forward(follower, stretch.lines, stretch.end, tail)

    def _forward(
        self, follower: LogFollower, lines: list[bytes], following: RecordLocation, tail: Tail
    ) -> None:
        first = self._published[follower].seq
        if following.seq <= first:
            return
        batch = Batch(
            segment=following.segment,
            first=first,
            size=following.seq,
            data=b"\n".join([*lines, b""]) if lines else b"",
            note=tail.note if following.seq == tail.size else "",
            checkpoint_offset=tail.checkpoint_offset,
            syncs_head=False,
            signer=self._signer,
        )
        self._notify(follower, batch, following)

    def _notify(self, follower: LogFollower, batch: Batch, following: RecordLocation) -> None:
        self._published[follower] = following
        follower.on_batch(batch)
