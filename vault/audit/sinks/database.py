"""The index of the log in the database: behind the log, never beside it.

It reads the log's own file from the last record that it has, so it can be thrown away, lag, or meet
a database that is gone, and is whole again later. It is a help for queries and no evidence: what
counts is the log.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
import trio

from actors import World
from vault.audit.layout import Layout
from vault.audit.ledger import Batch
from vault.audit.query import AuditQuery, Page
from vault.audit.record import Record, Retention, body_as
from vault.audit.tail import Tail
from vault.errors import VaultError
from vault.model.instant import parse_rfc3339
from vault.model.records import AuditRow
from vault.store.table import MAX_LIMIT, NAME_BYTES, Query, Table
from vault.store.tx import Tx

T = TypeVar("T")

CHUNK: Final = 256  # rows a transaction
REST: Final = 0.1  # seconds between transactions: the disk is the log's, and the index may lag
CATCH_UP: Final = 1.0  # seconds that a search waits for what was in the log when it was asked
RETRY: Final = 1.0  # seconds until a database that failed is tried again
_NAMES: Final = tuple(
    name for name in AuditRow.__struct_fields__ if name not in {"log", "seq", "time"}
)


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
            await self._world.sleep(REST)

    def _read(self, tail: Tail) -> "_Chunk | None":
        """What comes next, as rows; in a thread, so that no request waits for it."""
        records = tail.read(self._size, CHUNK)
        if not records:
            return None
        kept: list[Retention] = [body_as(e, Retention) for e in records if e.kind == "retention"]
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

    def _row(self, entry: Record) -> AuditRow | None:
        if entry.kind != "event":
            return None
        body: dict[str, Any] = msgspec.convert(entry.body, dict[str, Any])
        texts = {name: _fit(str(body.get(name, ""))) for name in _NAMES}
        time = parse_rfc3339(entry.time, "time")
        return AuditRow(log=self._log, seq=entry.seq, time=time, **texts)


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
        for row in self._rows:
            tx.put(self._table, row)


class _Delete(_Put):
    def __call__(self, tx: Tx) -> None:
        for row in self._rows:
            tx.delete(self._table, row.log, row.seq)


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
