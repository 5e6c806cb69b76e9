"""The feed: followers are told of the log's growth, each record once, in its order.

What this process wrote is told as it is. Where other processes write, too, that is read back from
the log, some time after it: nobody waits for a follower.
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from actors import World
from protocols.errors import where
from vault.audit.end import End, SharedEnd
from vault.audit.layout import Layout
from vault.audit.ledger import Batch, Position
from vault.audit.tail import Place, Stretch, read

log: Final = logging.getLogger("freehold.audit")
EVERY: Final = 0.05  # seconds between two looks at what others have written
MOST: Final = 1024  # records that are told in one go


class Follower(Protocol):
    """Somebody who is told of acknowledged batches and is never waited for."""

    def begin(self, size: int) -> None:
        """The log was opened and has so many records; returns at once and does not raise."""
        ...

    def offer(self, batch: Batch) -> None:
        """Take note of it; returns at once and does not raise.

        It may be several that others wrote, and has no note then where no head of just this size
        is at hand, and no lines where nobody reads them.
        """
        ...

    def reads_lines(self) -> bool:
        """Whether it looks at the next batch's lines, and not only at how far the log goes."""
        ...


class Feed:
    """Of one log. `run` while others write it as well."""

    def __init__(
        self,
        followers: Sequence[Follower],
        layout: Layout,
        end: SharedEnd | None,
        signer: bytes,
        world: World,
    ) -> None:
        """`end`: where others leave it; None: nobody else writes. `signer`: of the heads."""
        self._followers = followers
        self._layout = layout
        self._end = end
        self._signer = signer
        self._world = world
        self._next = Place(0, 1, 0)  # what nobody was told of yet
        self._reading = trio.Lock()
        self.trouble = ""
        """Why what others wrote could not be read; empty when it could."""

    def begin(self, position: Position) -> None:
        """The log was opened and ends here."""
        size = position.chain.size
        self._next = (
            Place(size, position.segment + 1, 0)
            if position.closed
            else Place(size, position.segment, position.length)
        )
        for follower in self._followers:
            follower.begin(size)

    def offer(self, batch: Batch, length: int) -> None:
        """This process wrote it; its segment is so many bytes long now."""
        if batch.first == self._next.seq:
            self._tell(batch, Place(batch.size, batch.segment, length))

    async def run(self) -> None:
        """Tell of what others write, until cancelled."""
        while True:
            await self._world.sleep(EVERY)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Return when followers know of all that is acknowledged by now, or it cannot be read."""
        async with self._reading:
            end = self._end.look() if self._end is not None else None
            try:
                while end is not None and self._next.seq < end.size:
                    if any(follower.reads_lines() for follower in self._followers):
                        await self._read(end)
                    else:
                        self._pass_on([], Place(end.size, end.segment, end.length), end)
                self.trouble = ""
            except (OSError, ValueError) as error:
                if not self.trouble:
                    log.error("audit: what was written cannot be read back: %s", where(error))  # noqa: TRY400  # one line tells all
                self.trouble = f"followers lag: {error}"

    async def _read(self, end: End) -> None:
        stretch: Stretch = await self._world.run_sync(
            read, self._layout, self._next, end.size, MOST
        )
        if stretch.place.seq != self._next.seq:  # the log was opened anew meanwhile
            return
        self._pass_on(stretch.lines, stretch.end, end)

    def _pass_on(self, lines: list[bytes], following: Place, end: End) -> None:
        batch = Batch(
            segment=following.segment,
            first=self._next.seq,
            size=following.seq,
            data=b"\n".join([*lines, b""]) if lines else b"",
            note=end.note if following.seq == end.size else "",
            mark=end.mark,
            settles=False,
            signer=self._signer,
        )
        self._tell(batch, following)

    def _tell(self, batch: Batch, following: Place) -> None:
        self._next = following
        for follower in self._followers:
            follower.offer(batch)
