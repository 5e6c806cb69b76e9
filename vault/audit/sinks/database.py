"""The index of the log in the database: behind the log, never beside it.

It reads the log's own file, and keeps one row for each block of it. So it can be thrown away, lag,
or meet a database that is gone, and is whole again later. It is a help for searches and no
evidence: what is found is read from the log, and what has no block yet is searched as it is.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from actors import World
from vault.audit.block import Block, Digest, Sought
from vault.audit.layout import Layout
from vault.audit.ledger import Batch
from vault.audit.query import AuditQuery, Page
from vault.audit.tail import Place, Stretch, beginning, read, resumed
from vault.errors import UnavailableError, VaultError
from vault.model.event import AuditRow
from vault.model.records import BlockRow
from vault.store.table import MAX_LIMIT, Query, Table
from vault.store.tx import Tx

T = TypeVar("T")

BLOCK: Final = 1024  # records; a search reads a block in some 5 ms, a filter has some 4 KiB
PIECE: Final = 128  # records that are looked at in one go: a requests' batch waits for 1 ms of it
REST: Final = 0.0125  # seconds between pieces: the machine is the requests', the index may lag
LAG: Final = 25_000  # records; the further behind, the shorter the rest, and from here on none
FILTERS: Final = 256  # blocks whose filters a search has in memory at once: 1 MiB
RETRY: Final = 1.0  # seconds until a database that failed is tried again


class Rows(Protocol):
    """What the index needs of `vault.store.Store`."""

    async def select(self, table: Table[BlockRow], query: Query) -> list[BlockRow]:
        """The rows of the query."""
        ...

    async def commit(self, change: Callable[[Tx], T]) -> T:
        """Run a transaction."""
        ...


class Index:
    """A follower of one log, and the place to search it. Made by `open_index`."""

    def __init__(
        self, rows: Rows, table: Table[BlockRow], layout: Layout, vault_id: str, world: World
    ) -> None:
        self._rows = rows
        self._table = table
        self._layout = layout
        self._log = vault_id
        self._world = world
        self._size = 0  # acknowledged records
        self._place: Place | None = None  # behind the last block; None: to be found
        self._digest: Digest | None = None  # of what comes there
        self._moved = trio.Event()
        self.error = ""
        """Why the last attempt failed; empty when it did not."""

    @property
    def indexed(self) -> int:
        """Records that have their block; up to `BLOCK` less than there are need none yet."""
        return self._place.seq if self._place else 0

    def begin(self, size: int) -> None:
        """The log has so many records."""
        self._size = size
        if self._is_due():
            self._moved.set()

    def offer(self, batch: Batch) -> None:
        """The log has grown."""
        self.begin(batch.size)

    async def search(self, query: AuditQuery) -> Page:
        """One page of events, newest first: of all that was on record when it was asked.

        Times are those of the records, which follow the agent's clock: it never runs backwards
        within a run. Raises `ValidationError`, `UnavailableError` (`audit_log_unreadable`) when the
        log cannot be read, and what the store raises.
        """
        below = query.check()
        try:
            found = await self._search(Sought(query), below, query.limit + 1)
        except (OSError, ValueError) as error:
            raise UnavailableError(
                "audit_log_unreadable", f"the audit log cannot be searched: {error}"
            ) from error
        rows = found[: query.limit]
        return Page(rows, str(rows[-1].seq) if len(found) > len(rows) else "")

    async def _search(self, sought: Sought, below: int | None, wanted: int) -> list[AuditRow]:
        found: list[AuditRow] = []
        size, place = self._size, self._place or await self._last()
        if place is not None:
            if below is None or below > place.seq:
                found = await self._search_end(sought, place, size, wanted)
            reached = place.seq if below is None else min(below, place.seq)
            await self._search_blocks(sought, reached, found, wanted)
        return found

    async def _search_end(
        self, sought: Sought, place: Place, size: int, wanted: int
    ) -> list[AuditRow]:
        """What has no block yet."""
        found: list[AuditRow] = []
        while place.seq < size:
            stretch = await self._world.run_sync(self._read, place, size, BLOCK)
            newer = await self._world.run_sync(sought.newest, stretch.lines, wanted)
            found, place = [*newer, *found][:wanted], stretch.end
        return found

    async def _search_blocks(
        self, sought: Sought, reached: int, found: list[AuditRow], wanted: int
    ) -> None:
        """Add what blocks below the record `reached` hold, as long as less is found."""
        while len(found) < wanted:
            blocks = await self._rows.select(
                self._table,
                Query(
                    equals={"log": self._log},
                    after=(self._log, reached),
                    descending=True,
                    limit=FILTERS,
                ),
            )
            for block in filter(sought.may_be_in, blocks):
                left = wanted - len(found)
                found += await self._world.run_sync(self._in_block, sought, block, left)
                if left <= 0 or len(found) >= wanted:
                    return
            if len(blocks) < FILTERS or sought.is_before(blocks[-1]):
                return
            reached = blocks[-1].first

    def _in_block(self, sought: Sought, block: BlockRow, wanted: int) -> list[AuditRow]:
        return sought.newest(self._read_block(block).lines, wanted)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            await self._moved.wait()
            self._moved = trio.Event()
            try:
                await self._follow()
            except (VaultError, OSError, ValueError) as error:
                self._place = self._digest = None
                self.error = f"{type(error).__name__}: {error}"
                await self._world.sleep(RETRY)
                self._moved.set()

    def _is_due(self) -> bool:
        if self._place is None:
            return True
        end = self._digest.end if self._digest else self._place
        return self._size - end.seq >= PIECE

    async def _last(self) -> Place | None:
        """Behind the last block that the database has; None while the log is empty."""
        rows = await self._rows.select(
            self._table, Query(equals={"log": self._log}, descending=True, limit=1)
        )
        return await self._world.run_sync(self._behind, rows[0] if rows else None)

    def _behind(self, block: BlockRow | None) -> Place | None:
        return beginning(self._layout) if block is None else self._read_block(block).end

    async def _follow(self) -> None:
        if not self._size:
            return  # the log's first record is still being written
        self._place = self._place or await self._last()
        while self._place is not None and self._is_due():
            self._digest = self._digest or Digest(self._log, self._place)
            block = await self._world.run_sync(self._advance, self._digest)
            if block is not None:
                await self._rows.commit(partial(_add, self._table, block.row))
                if block.gone_before:
                    await self._forget(block.gone_before)
                self._place, self._digest = self._digest.end, None
            self.error = ""
            await self._world.sleep(REST * max(0.0, 1 - (self._size - self.indexed) / LAG))

    def _advance(self, digest: Digest) -> Block | None:
        """Look at what comes next, in a thread; the block if it is whole, as at a segment's end."""
        stretch = self._read(digest.end, self._size, min(PIECE, BLOCK - digest.count))
        if digest.count and stretch.place != digest.end:
            return digest.block()
        digest.add(stretch)
        return digest.block() if digest.count == BLOCK else None

    def _read_block(self, block: BlockRow) -> Stretch:
        place, until = Place(block.first, block.segment, block.start), block.last + 1
        return self._read(place, until, until - block.first)

    def _read(self, place: Place, until: int, limit: int) -> Stretch:
        """The log from the place on, or from the first record that retention has left."""
        try:
            return read(self._layout, place, until, limit)
        except (FileNotFoundError, ValueError):
            left = resumed(self._layout, place)
            if left is None or left == place:
                raise
            return read(self._layout, left, until, limit)

    async def _forget(self, first: int) -> None:
        """Remove the blocks of records that retention has removed from the log."""
        while True:
            oldest = await self._rows.select(
                self._table, Query(equals={"log": self._log}, limit=MAX_LIMIT)
            )
            gone = [block for block in oldest if block.last < first]
            if not gone:
                return
            await drop(self._rows, self._table, gone)


def _add(table: Table[BlockRow], row: BlockRow, tx: Tx) -> None:
    tx.add(table, [row])


async def drop(rows: Rows, table: Table[BlockRow], blocks: list[BlockRow]) -> None:
    """Have these blocks forgotten. Raises what the store raises."""

    def change(tx: Tx) -> None:
        for block in blocks:
            tx.delete(table, block.log, block.first)

    await rows.commit(change)


@asynccontextmanager
async def open_index(
    rows: Rows, table: Table[BlockRow], layout: Layout, vault_id: str, world: World
) -> AsyncIterator[Index]:
    """An index that follows the log for the length of the block."""
    index = Index(rows, table, layout, vault_id, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.run)
        yield index
        nursery.cancel_scope.cancel()
