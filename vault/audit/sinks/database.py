"""The index of the log in the database: behind the log, never beside it.

It reads the log's own file from the last record that it has, so it can be thrown away, lag, or meet
a database that is gone, and is whole again later. It is a help for queries and no evidence: what
counts is the log.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec
import trio

from actors import World
from vault.audit.layout import Layout
from vault.audit.ledger import Batch
from vault.audit.query import AuditQuery, Page
from vault.audit.record import Retention
from vault.audit.tail import Outline, Tail
from vault.errors import VaultError
from vault.model.instant import parse_rfc3339
from vault.model.records import AuditRow
from vault.store.table import MAX_LIMIT, NAME_BYTES, Query, Table
from vault.store.tx import Tx

T = TypeVar("T")

CHUNK: Final = 256  # rows a transaction
REST: Final = 0.1  # seconds between transactions: the machine is the requests', the index may lag
LAG: Final = 25_000  # records; the further behind, the shorter the rest, and from here on none
CATCH_UP: Final = 1.0  # seconds that a search waits for what was in the log when it was asked
RETRY: Final = 1.0  # seconds until a database that failed is tried again
_NAMES: Final = AuditRow.__struct_fields__[3:]  # behind log, seq and time, which a row begins with
_decode_event: Final = msgspec.json.Decoder(
    msgspec.defstruct("_Event", [(name, str, "") for name in _NAMES])
).decode


class Rows(Protocol):
    """What the index needs of `vault.store.Store`."""

    async def select(self, table: Table[AuditRow], query: Query) -> list[AuditRow]:
        """The rows of the query."""
        ...

    async def commit(self, change: Callable[[Tx], T]) -> T:
        """Run a transaction."""
        ...


class Index:
    """A follower of one log, and the place to search it. Made by `open_index`."""

    def __init__(
        self, rows: Rows, table: Table[AuditRow], layout: Layout, vault_id: str, world: World
    ) -> None:
        self._rows = rows
        self._table = table
        self._layout = layout
        self._log = vault_id
        self._world = world
        self._size = 0  # acknowledged records
        self._moved = trio.Event()
        self._grown = trio.Event()
        self.indexed = 0
        """Records that are in the index; the log's size less this is how far it lags."""
        self.error = ""
        """Why the last attempt failed; empty when it did not."""

    def begin(self, size: int) -> None:
        """The log has so many records."""
        self._size = size
        self._moved.set()

    def offer(self, batch: Batch) -> None:
        """The log has grown."""
        self.begin(batch.size)

    async def search(self, query: AuditQuery) -> Page:
        """One page of events, newest first.

        What was on record when it is asked is found, unless the index lags by more than a second.
        Times are those of the records, which follow the agent's clock: it never runs backwards
        within a run. Raises `ValidationError`, and what the store raises.
        """
        await self._catch_up(self._size)
        below = query.check()
        found = await self._rows.select(
            self._table,
            Query(
                equals={"log": self._log, **query.equals()},
                prefix=("path", query.path) if query.path else None,
                at_most=("time", query.until) if query.until else None,
                after=None if below is None else (self._log, below),
                descending=True,
                limit=query.limit + 1,
            ),
        )
        rows = [row for row in found if row.time >= query.since]
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        return Page(rows, str(rows[-1].seq) if more else "")

    async def run(self) -> None:
        """Follow the log until cancelled."""
        tail: Tail | None = None
        while True:
            await self._moved.wait()
            self._moved = trio.Event()
            if not self._size:
                continue  # the log's first record is still being written
            try:
                tail = tail or Tail(self._layout, await self._next())
                await self._follow(tail)
            except (VaultError, OSError, ValueError) as error:
                tail = None
                self.error = f"{type(error).__name__}: {error}"
                await self._world.sleep(RETRY)
                self._moved.set()

    async def _catch_up(self, size: int) -> None:
        with trio.move_on_after(CATCH_UP):
            while self.indexed < size:
                await self._grown.wait()

    async def _next(self) -> int:
        last = await self._rows.select(
            self._table, Query(equals={"log": self._log}, descending=True, limit=1)
        )
        self.indexed = last[0].seq + 1 if last else 0
        return self.indexed

    async def _follow(self, tail: Tail) -> None:
        while (chunk := await self._world.run_sync(self._read, tail)) is not None:
            if chunk.rows:
                await self._rows.commit(_Put(self._table, chunk.rows))
            if chunk.gone_before:
                await self._forget(chunk.gone_before)
            self.indexed, self.error = chunk.end, ""
            self._grown.set()
            self._grown = trio.Event()
            await self._world.sleep(REST * max(0.0, 1 - (self._size - self.indexed) / LAG))

    def _read(self, tail: Tail) -> "_Chunk | None":
        """What comes next, as rows; in a thread, so that no request waits for it."""
        records = tail.read(self._size, CHUNK)
        if not records:
            return None
        kept = [entry.body_as(Retention) for entry in records if entry.kind == "retention"]
        return _Chunk(
            rows=[row for entry in records if (row := self._row(entry)) is not None],
            gone_before=kept[-1].first if kept else 0,
            end=records[-1].seq + 1,
        )

    async def _forget(self, first: int) -> None:
        """Remove the rows of records that retention has removed from the log."""
        while True:
            oldest = await self._rows.select(
                self._table, Query(equals={"log": self._log}, limit=MAX_LIMIT)
            )
            gone = [row for row in oldest if row.seq < first]
            if not gone:
                return
            await self._rows.commit(_Delete(self._table, gone))

    def _row(self, entry: Outline) -> AuditRow | None:
        if entry.kind != "event":
            return None
        texts: tuple[str, ...] = msgspec.structs.astuple(_decode_event(entry.body))
        # One look at all of them: hardly any is long, and next to none holds NUL.
        if max(map(len, texts)) * 4 > NAME_BYTES or "\0" in "".join(texts):
            texts = tuple(map(_fit, texts))
        return AuditRow(self._log, entry.seq, _instant(entry.time), *texts)


class _Chunk(NamedTuple):
    """Some of the log: its events, the first record that retention kept, the number behind it."""

    rows: list[AuditRow]
    gone_before: int
    end: int


class _Put:
    def __init__(self, table: Table[AuditRow], rows: Sequence[AuditRow]) -> None:
        self._table = table
        self._rows = rows

    def __call__(self, tx: Tx) -> None:
        tx.add(self._table, self._rows)


class _Delete(_Put):
    def __call__(self, tx: Tx) -> None:
        for row in self._rows:
            tx.delete(self._table, row.log, row.seq)


def _instant(time: str) -> int:
    """The Unix nanoseconds of a record's time, whose seconds hundreds of records share."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return _seconds(whole) + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=16)
def _seconds(whole: str) -> int:
    return parse_rfc3339(f"{whole}Z", "time")


def _fit(text: str) -> str:
    """What every database can hold in a key column; the log has it whole."""
    if len(text) * 4 > NAME_BYTES:
        text = text.encode("utf-8", "replace")[:NAME_BYTES].decode("utf-8", "ignore")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


@asynccontextmanager
async def open_index(
    rows: Rows, table: Table[AuditRow], layout: Layout, vault_id: str, world: World
) -> AsyncIterator[Index]:
    """An index that follows the log for the length of the block."""
    index = Index(rows, table, layout, vault_id, world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.run)
        yield index
        nursery.cancel_scope.cancel()
