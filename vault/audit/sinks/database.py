"""The index of the log in the database: behind the log, never beside it.

It reads the log's own file, and keeps one row for each block of it. So it can be thrown away, lag,
or meet a database that is gone, and is whole again later. It is a help for searches and no
evidence: what is found is read from the log, and what has no block yet is searched as it is.

But it says where there is nothing to be found. So each row has a MAC, and together they have to
cover the log from its first record on. One that is not ours, or is missing, is an alert; all from
there on are dropped and made anew, and whoever searches meanwhile reads the log itself.
"""

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import takewhile
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from actors import World
from vault.audit.batch import Batch
from vault.audit.checkpoint import origin_node
from vault.audit.index_block import BlockBuilder, IndexBlock, Search
from vault.audit.keys import Mac
from vault.audit.layout import LogLayout
from vault.audit.log_reader import (
    RecordLocation,
    RecordRange,
    first_location,
    parse_chain_link,
    read_range,
    resume_location,
)
from vault.audit.query import AuditPage, AuditQuery
from vault.audit.shared_tail import SharedTail
from vault.errors import UnavailableError, VaultError
from vault.model.audit_row import AuditRow
from vault.model.records import BlockRow
from vault.store.table import StoreQuery, Table
from vault.store.transaction import StoreTx

T = TypeVar("T")
Alarm: TypeAlias = Callable[[str], Awaitable[None]]

log: Final = logging.getLogger("freehold.audit")
BLOCK_RECORDS: Final = 1024  # records; a search reads a block in some 5 ms
BLOCK_BYTES: Final = 4 * 2**20  # from here on a block is whole, with however few records
READ_RECORDS: Final = (
    256  # records that are looked at in one go: a requests' batch waits for 1 ms of it
)
READ_PAUSE: Final = (
    0.0125  # seconds between pieces: the machine is the requests', the index may lag
)
MAX_LAG: Final = 25_000  # records; the further behind, the shorter the rest, and from here on none
FILTERS: Final = 256  # blocks whose filters, of at most 16 KiB, a search has in memory at once
READ: Final = 64  # blocks that one search reads, some 0.3 s; what it has not found by then is said
ATTEMPTS: Final = 3  # at a search whose rows are found changed; each has made them anew
_MAC: Final = 32
_LABEL: Final = b"freehold-audit-block-v1\n"
RETRY_INTERVAL: Final = 1.0  # seconds until a database that failed is tried again


class BlockRows(Protocol):
    """What the index needs of `vault.store.Store`."""

    async def select(self, table: Table[BlockRow], query: StoreQuery) -> list[BlockRow]:
        """The rows of the query."""
        ...

    async def commit(self, change: Callable[[StoreTx], T]) -> T:
        """Run a transaction."""
        ...


class _ForeignError(Exception):
    """The rows from this record on are not ours, or one is missing."""

    def __init__(self, first: int) -> None:
        super().__init__(first)
        self.first = first


def sealed(row: BlockRow, mac: Mac) -> BlockRow:
    """The row as it is stored: with a MAC over all of it, its place in the log, hash and times."""
    return replace(row, terms=row.terms + mac(_LABEL + msgspec.msgpack.encode(row)))


def opened(row: BlockRow, mac: Mac) -> BlockRow | None:
    """The row that was sealed; None for one that was not, or was changed."""
    bare = replace(row, terms=row.terms[:-_MAC])
    return bare if hmac.compare_digest(sealed(bare, mac).terms, row.terms) else None


class AuditIndex:
    """A follower of one log, and the place to search it. Made by `open_audit_index`."""

    def __init__(
        self,
        rows: BlockRows,
        table: Table[BlockRow],
        layout: LogLayout,
        log_id: str,
        world: World,
        *,
        mac: Mac,
        tail: SharedTail | None = None,
    ) -> None:
        self._mac = mac
        self._alarm: Alarm | None = None
        self._untold = ""  # what there was nobody to tell yet
        self._changing = trio.Lock()
        self._rows = rows
        self._table = table
        self._layout = layout
        self._log = log_id
        self._world = world
        self._tail = tail
        self._size = 0  # acknowledged records, as far as they were published to us
        self._location: RecordLocation | None = None  # behind the last block; None: to be found
        self._builder: BlockBuilder | None = None  # of what comes there
        self._moved = trio.Event()
        self._reading = trio.CapacityLimiter(1)  # searches take turns: the machine is the requests'
        self.error = ""
        """Why the last attempt failed; empty when it did not."""

    @property
    def indexed(self) -> int:
        """Records that have their block; up to `BLOCK` less than there are need none yet."""
        return self._location.seq if self._location else 0

    def on_open(self, size: int) -> None:
        """The log has so many records."""
        self._size = size
        if self._is_due():
            self._moved.set()

    def on_batch(self, batch: Batch) -> None:
        """The log has grown."""
        self.on_open(batch.size)

    def wants_lines(self) -> bool:
        """From the log itself, when their block is due."""
        return False

    async def search(self, query: AuditQuery) -> AuditPage:
        """One page of events, newest first: of all that was on record when the query began.

        A page may be short, or empty, and have a cursor all the same: then there is more to look
        through. Times are those of the records, which follow the agent's clock: what it dated later
        than it should is found for sure with a `since` in the future only. Raises
        `ValidationError`, `UnavailableError` (`audit_log_unreadable`) when the log cannot be read,
        and what the store raises.
        """
        for _ in range(ATTEMPTS):
            search = _SearchRun(query, origin_node(self._log))
            try:
                await self._search(search)
            except _ForeignError as found:
                await self._make_anew(found.first)
            except (OSError, ValueError) as error:
                raise UnavailableError(
                    "audit_log_unreadable", f"the audit log cannot be searched: {error}"
                ) from error
            else:
                return search.page()
        raise UnavailableError(
            "audit_index_tampered",
            "somebody else changes the index of the audit log again and again; "
            "find out who can write the database",
        )

    async def warn(self, alarm: Alarm) -> None:
        """Tell it from now on when rows were changed by somebody else, and of what was before."""
        self._alarm = alarm
        if self._untold:
            await alarm(self._untold)
            self._untold = ""

    async def _make_anew(self, first: int) -> None:
        """Drop all rows from this record on, and tell; they are made of the log again."""
        async with self._changing:
            self._location = self._builder = None
            await self._drop_foreign(first)
        self._moved.set()
        await self._tell(first)

    async def _drop_foreign(self, first: int) -> None:
        """All from this record on, and those below that are not ours either."""
        while newest := await self._newest_blocks(None, FILTERS):
            gone = list(
                takewhile(lambda row: row.first >= first or opened(row, self._mac) is None, newest)
            )
            if not gone:
                return
            await _delete_blocks(self._rows, self._table, gone)

    async def _tell(self, first: int) -> None:
        what = (
            f"the index of the audit log was changed in the database, from record {first} on; it "
            "is made anew from the log. Find out who can write the database"
        )
        log.error("%s", what)
        if self._alarm is None:
            self._untold = what
            return
        try:
            await self._alarm(what)
        except VaultError as error:
            log.error("that is not on record: %s", error)  # noqa: TRY400  # one line tells all

    def _prove(self, blocks: Sequence[BlockRow], below: int) -> list[BlockRow]:
        """The blocks, which reach from `below` down without a gap. Raises `_ForeignError`."""
        proven = list[BlockRow]()
        for row in blocks:
            block = opened(row, self._mac)
            if block is None:
                raise _ForeignError(row.first)
            if row.last + 1 < below:
                if below <= first_location(self._layout).seq:  # retention has let the others go
                    return proven
                raise _ForeignError(row.first + 1)
            proven.append(block)
            below = row.first
        if len(blocks) < FILTERS and below > first_location(self._layout).seq:
            raise _ForeignError(0)
        return proven

    async def _search(self, search: "_SearchRun") -> None:
        size = self._size if self._tail is None else max(self._size, self._tail.size)
        if not size:
            return
        place = self._location or await self._last_location()
        if search.below is None or search.below > place.seq:
            await self._search_range(search, place, size)
            search.below = place.seq
        while search.wanted:
            found = await self._newest_blocks(search.below, FILTERS)
            blocks = await self._world.run_sync(self._prove, found, search.below)
            for block in filter(search.search.may_match_block, blocks):
                if search.left == 0:
                    return
                search.left -= 1
                await self._search_range(search, _location_of(block), block.last + 1, block.prev)
                search.below = block.first
                if not search.wanted:
                    return
            is_over = self._world.now() >= search.since and all(
                map(search.search.is_before_range, blocks)
            )
            if len(found) < FILTERS or is_over:
                search.below = None
                return
            search.below = found[-1].first

    async def _search_range(
        self, search: "_SearchRun", place: RecordLocation, until: int, prev: str = ""
    ) -> None:
        """Add what the log holds from the place on, a stretch at a time."""
        found: list[AuditRow] = []
        while place.seq < until:
            rows, place = await self._world.run_sync(
                self._read_matches, search, place, until, prev, limiter=self._reading
            )
            found = [*rows, *found][: search.wanted]
        search.found += found

    def _read_matches(
        self, search: "_SearchRun", place: RecordLocation, until: int, prev: str
    ) -> tuple[list[AuditRow], RecordLocation]:
        stretch = self._read(place, until, BLOCK_RECORDS, prev)
        return search.search.newest_matches(stretch, search.wanted), stretch.end

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            await self._moved.wait()
            self._moved = trio.Event()
            try:
                await self._follow()
            except (VaultError, OSError, ValueError) as error:
                self._location = self._builder = None
                failure = f"{type(error).__name__}: {error}"
                if failure != self.error:
                    log.warning("the index of the audit log does not follow: %s", failure)
                self.error = failure
                await self._world.sleep(RETRY_INTERVAL)
                self._moved.set()

    def _is_due(self) -> bool:
        if self._location is None:
            return True
        end = self._builder.end if self._builder else self._location
        return self._size - end.seq >= READ_RECORDS

    async def _newest_blocks(self, below: int | None, limit: int) -> list[BlockRow]:
        after = None if below is None else (self._log, below)
        query = StoreQuery(equals={"log": self._log}, after=after, descending=True, limit=limit)
        return await self._rows.select(self._table, query)

    async def _last_location(self) -> RecordLocation:
        """Behind the newest block that is of this log.

        Others are dropped. They are left where the database is older than the log, or where an
        operator has accepted that this was begun anew. A block that is of it shows that all before
        are: each record holds the hash of all that came before.
        """
        while newest := await self._newest_blocks(None, 1):
            if opened(newest[0], self._mac) is None:
                await self._drop_foreign(newest[0].first)
                await self._tell(newest[0].first)
                continue
            try:
                return await self._world.run_sync(self._location_after, newest[0])
            except ValueError:
                await _delete_blocks(self._rows, self._table, newest)
        return await self._world.run_sync(first_location, self._layout)

    def _location_after(self, block: BlockRow) -> RecordLocation:
        place, until = _location_of(block), block.last + 1
        while place.seq < until:
            place = self._read(place, until, BLOCK_RECORDS, block.prev).end
        return place

    async def _follow(self) -> None:
        if not self._size:
            return  # the log's first record is still being written
        while self._is_due():
            async with self._changing:
                await self._step()
            self.error = ""
            await self._world.sleep(
                READ_PAUSE * max(0.0, 1 - (self._size - self.indexed) / MAX_LAG)
            )

    async def _step(self) -> None:
        self._location = self._location or await self._last_location()
        if not self._is_due():
            return
        self._builder = self._builder or BlockBuilder(self._log, self._location)
        block = await self._world.run_sync(self._advance, self._builder)
        if block is not None:
            await self._rows.commit(
                partial(_insert_block, self._table, sealed(block.row, self._mac))
            )
            if block.retained_from:
                await self._delete_expired(block.retained_from)
            self._location, self._builder = self._builder.end, None

    def _advance(self, digest: BlockBuilder) -> IndexBlock | None:
        """Look at what comes next, in a thread; the block if it is whole, as at a segment's end."""
        stretch = self._read(
            digest.end, self._size, min(READ_RECORDS, BLOCK_RECORDS - digest.count)
        )
        if digest.count and stretch.start != digest.end:
            return digest.build()
        digest.append(stretch)
        is_whole = digest.count == BLOCK_RECORDS or digest.bytes >= BLOCK_BYTES
        return digest.build() if is_whole else None

    def _read(self, place: RecordLocation, until: int, limit: int, prev: str = "") -> RecordRange:
        """The log from the place on, or from the first record that retention has left.

        `prev`: for a block, what its last record says of the one before. Raises `OSError`, and
        `ValueError` if it does not, or something is not where it should be.
        """
        try:
            return _checked(read_range(self._layout, place, until, limit), until, prev)
        except (FileNotFoundError, ValueError):
            left = resume_location(self._layout, place)
            if left == place or (prev and left.seq < until):
                raise
            return read_range(self._layout, left, until, limit)

    async def _delete_expired(self, first: int) -> None:
        """Remove the blocks of records that retention has removed from the log."""
        while True:
            query = StoreQuery(equals={"log": self._log}, limit=FILTERS)
            oldest = await self._rows.select(self._table, query)
            gone = [block for block in oldest if block.last < first]
            if not gone:
                return
            await _delete_blocks(self._rows, self._table, gone)


class _SearchRun:
    """One search on its way."""

    def __init__(self, query: AuditQuery, node: str) -> None:
        self.search = Search(query, node)
        self.since = query.since
        self.below = query.validated_cursor()
        """The record that was reached: what lies below is still to be looked through."""
        self.found: list[AuditRow] = []
        self.left = READ
        """Blocks that may still be read."""
        self._limit = query.limit

    @property
    def wanted(self) -> int:
        """How many more: one beyond the page, which says that there is another."""
        return self._limit + 1 - len(self.found)

    def page(self) -> AuditPage:
        """What was found, and where to go on."""
        rows = self.found[: self._limit]
        if not self.wanted:
            return AuditPage(rows, str(rows[-1].seq))
        return AuditPage(rows, "" if self.below is None else str(self.below))


def _checked(stretch: RecordRange, until: int, prev: str) -> RecordRange:
    if prev and stretch.end.seq == until and parse_chain_link(stretch.lines[-1]).prev != prev:
        raise ValueError(f"record {until - 1} is of another log")
    return stretch


def _location_of(block: BlockRow) -> RecordLocation:
    return RecordLocation(block.first, block.segment, block.start)


def _insert_block(table: Table[BlockRow], row: BlockRow, tx: StoreTx) -> None:
    tx.insert_new(table, [row])


async def _delete_blocks(rows: BlockRows, table: Table[BlockRow], blocks: list[BlockRow]) -> None:
    def change(tx: StoreTx) -> None:
        for block in blocks:
            tx.delete(table, block.log, block.first)

    await rows.commit(change)


@asynccontextmanager
async def open_audit_index(
    rows: BlockRows,
    table: Table[BlockRow],
    layout: LogLayout,
    log_id: str,
    world: World,
    *,
    mac: Mac,
    tail: SharedTail | None = None,
) -> AsyncIterator[AuditIndex]:
    """An index that follows the log for the length of the block.

    `mac` is of its rows. `tail`: the end of a log that other processes write, too.
    """
    index = AuditIndex(rows, table, layout, log_id, world, mac=mac, tail=tail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.run)
        yield index
        nursery.cancel_scope.cancel()
