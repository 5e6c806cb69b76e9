"""The feed: followers are told of the log's growth, in its order.

What this process wrote is told as it is. Where other processes write, too, that is read back from
the log, some time after it: nobody waits for a follower. Who reads no lines is only told how far
the log goes, so nothing that cannot be read is in his way.
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
from vault.audit.tail import Place, read, resumed

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
        self._layout = layout
        self._end = end
        self._signer = signer
        self._world = world
        self._told = {follower: Place(0, 1, 0) for follower in followers}  # what comes next for him
        self._begun = False
        self._reading = trio.Lock()
        self.trouble = ""
        """Why what others wrote could not be read; empty when it could."""

    def begin(self, position: Position) -> None:
        """The log was opened and ends here.

        Where others write, only the first opening is one for followers: later ones take nothing
        away, and what they add is told as any growth.
        """
        if self._begun and self._end is not None:
            return
        self._begun = True
        size, segment, length = position.chain.size, position.segment, position.length
        place = Place(size, segment + 1, 0) if position.closed else Place(size, segment, length)
        for follower in self._told:
            self._told[follower] = place
            follower.begin(size)

    def offer(self, batch: Batch, length: int) -> None:
        """This process wrote it; its segment is so many bytes long now.

        Who reads lines and lacks some before these is told of them by `catch_up`.
        """
        for follower, place in self._told.items():
            if place.seq == batch.first or not follower.reads_lines():
                self._tell(follower, batch, Place(batch.size, batch.segment, length))

    async def run(self) -> None:
        """Tell of what others write, until cancelled."""
        while True:
            await self._world.sleep(EVERY)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Return when followers know of all that is acknowledged by now, or it cannot be read."""
        async with self._reading:
            end = self._end.look() if self._end is not None else None
            if end is None:
                return
            for follower in self._told:
                if not follower.reads_lines():
                    self._pass_on(follower, [], Place(end.size, end.segment, end.length), end)
            try:
                for follower in self._told:
                    while self._told[follower].seq < end.size:
                        await self._read(follower, end)
                self.trouble = ""
            except (OSError, ValueError) as error:
                if not self.trouble:
                    log.error("audit: what was written cannot be read back: %s", where(error))  # noqa: TRY400  # one line tells all
                self.trouble = f"followers lag: {error}"

    async def _read(self, follower: Follower, end: End) -> None:
        place = self._told[follower]
        try:
            stretch = await self._world.run_sync(read, self._layout, place, end.size, MOST)
        except (FileNotFoundError, ValueError):
            left = await self._world.run_sync(resumed, self._layout, place)
            if left.seq == place.seq:
                raise
            self._told[follower] = left  # retention has taken what lay between
            return
        if self._told[follower] == place:  # nobody has told him more meanwhile
            self._pass_on(follower, stretch.lines, stretch.end, end)

    def _pass_on(self, follower: Follower, lines: list[bytes], following: Place, end: End) -> None:
        first = self._told[follower].seq
        if following.seq <= first:
            return
        batch = Batch(
            segment=following.segment,
            first=first,
            size=following.seq,
            data=b"\n".join([*lines, b""]) if lines else b"",
            note=end.note if following.seq == end.size else "",
            mark=end.mark,
            settles=False,
            signer=self._signer,
        )
        self._tell(follower, batch, following)

    def _tell(self, follower: Follower, batch: Batch, following: Place) -> None:
        self._told[follower] = following
        follower.offer(batch)
