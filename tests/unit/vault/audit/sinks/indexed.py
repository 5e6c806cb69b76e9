"""For tests of the index: a store in memory, and an index that follows a log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from msgspec.structs import replace

from actors.slewed_clock import SlewedClock
from actors.testing import FakeWorld
from tests.unit.vault.audit.ends import Ends
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.hashing import ValueHasher
from vault.audit.layout import LogLayout
from vault.audit.pending_record import prepare_event
from vault.audit.retention import RetentionSchedule
from vault.audit.sinks.database import (
    BLOCK_RECORDS,
    READ_PAUSE,
    AuditIndex,
    open_audit_index,
    opened,
    sealed,
)
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_event, make_keys
from vault.audit.writer import AuditConfig
from vault.errors import UnavailableError
from vault.model.records import BlockRow
from vault.store.query import apply_query
from vault.store.store import Store
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import AUDIT

T = TypeVar("T")
LOG = LOG_ID
"""What the index calls the log in the keys of its rows."""
KEYS = make_keys()


class Rows:
    """A store of one table in memory; what it admits is what every database could hold."""

    def __init__(self) -> None:
        self.rows: dict[Key, BlockRow] = {}
        self.commits = 0
        self.asked = 0
        self.gone = False
        self.read_only = False
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """Happens once, before a query is answered."""

    async def select(self, table: Table[BlockRow], query: StoreQuery) -> list[BlockRow]:
        """As the store's."""
        await trio.lowlevel.checkpoint()
        self._check()
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        self.asked += 1
        return apply_query(table, query, list(self.rows.values()))

    async def commit(self, change: Callable[[Any], T]) -> T:
        """As the store's."""
        await trio.lowlevel.checkpoint()
        self._check()
        if self.read_only:
            raise UnavailableError("store_full", "full")
        self.commits += 1
        return change(self)

    def insert_new(self, table: Table[BlockRow], rows: Iterable[BlockRow]) -> None:
        """As a transaction's."""
        new = {table.key_of(row): table.normalize_row(row) for row in rows}
        assert not new.keys() & self.rows.keys()
        self.rows |= new

    def delete(self, _table: Table[BlockRow], *key: str | int) -> None:
        """As a transaction's."""
        self.rows.pop(key, None)

    def change(self, key: Key, **changes: Any) -> None:
        """Have a row be another one that the index would have made."""
        row = opened(self.rows[key], KEYS.mac)
        assert row is not None
        self.rows[key] = sealed(replace(row, **changes), KEYS.mac)

    def forge(self, key: Key, **changes: Any) -> None:
        """Have a row be what somebody makes of it who has the database, and no key."""
        self.rows[key] = replace(self.rows[key], **changes)

    def _check(self) -> None:
        if self.gone:
            raise UnavailableError("store_gone", "gone")


class Turns(FakeWorld):
    """Counts how many of those that share a limiter are in a thread at once."""

    most = inside = 0

    async def run_sync(
        self, fn: Callable[..., T], *args: object, limiter: trio.CapacityLimiter | None = None
    ) -> T:
        """As the world's, with a wait."""
        if limiter is None:
            return await super().run_sync(fn, *args)
        async with limiter:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await trio.lowlevel.checkpoint()
            self.inside -= 1
            return fn(*args)


@asynccontextmanager
async def running(
    log: Path,
    rows: Rows | Store,
    world: FakeWorld,
    config: AuditConfig | None = None,
    *,
    ends: Ends | None = None,
    days: int = 365,
) -> AsyncIterator[tuple[AuditBroker, AuditIndex]]:
    """A log with an index; `ends`: others write there, too. Kept for so many `days`."""
    clock = SlewedClock(world.wall(), world.wall, world.uptime)
    end = ends.view() if ends else None
    with trio.fail_after(30):
        async with (
            open_audit_index(
                rows, AUDIT, LogLayout(log), LOG_ID, world, mac=KEYS.mac, tail=end
            ) as index,
            open_audit(
                config or AuditConfig(),
                KEYS,
                LOG_ID,
                [FileSink(log, reserve_bytes=0)],
                world,
                followers=[index],
                retention=RetentionSchedule(clock, days),
                tail=end,
            ) as broker,
        ):
            yield broker, index


async def caught_up(broker: AuditBroker, index: AuditIndex, world: FakeWorld) -> None:
    """Return once every block that is due has its row."""
    while broker.state().size - index.indexed >= BLOCK_RECORDS:
        if world.sleepers:
            world.advance(READ_PAUSE)
        await trio.lowlevel.checkpoint()


async def fill(broker: AuditBroker, count: int, first: int = 0, **changes: Any) -> None:
    """So many events, together."""
    hasher = ValueHasher(KEYS.mac)
    events = (make_event(number, **changes) for number in range(first, first + count))
    await broker.record_batch([prepare_event(event, NOW, hasher) for event in events])
