"""The index: behind the log, resumable, searchable, and never in the way."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from actors.testing import FakeWorld
from vault.audit.broker import Broker, open_audit
from vault.audit.layout import Layout
from vault.audit.query import AuditQuery
from vault.audit.sinks.database import CHUNK, REST, RETRY, Index, open_index
from vault.audit.sinks.file import FileSink
from vault.audit.testing import VAULT, make_event, make_keys, write_log
from vault.audit.verify import verify
from vault.audit.writer import AuditConfig
from vault.errors import UnavailableError, ValidationError
from vault.model.records import AuditRow
from vault.store.query import arrange
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store
from vault.store.table import Key, Query, Table
from vault.store.tables import AUDIT

T = TypeVar("T")
KEYS = make_keys()


class Rows:
    """A store of one table in memory; what it admits is what every database could hold."""

    def __init__(self) -> None:
        self.rows: dict[Key, AuditRow] = {}
        self.commits = 0
        self.gone = False

    async def select(self, table: Table[AuditRow], query: Query) -> list[AuditRow]:
        """As the store's."""
        await trio.lowlevel.checkpoint()
        self._check()
        return arrange(table, query, list(self.rows.values()))

    async def commit(self, change: Callable[[Any], T]) -> T:
        """As the store's."""
        await trio.lowlevel.checkpoint()
        self._check()
        self.commits += 1
        return change(self)

    def add(self, table: Table[AuditRow], rows: Iterable[AuditRow]) -> None:
        """As a transaction's."""
        new = {table.key_of(row): table.admit(row) for row in rows}
        assert not new.keys() & self.rows.keys()
        self.rows |= new

    def delete(self, _table: Table[AuditRow], *key: str | int) -> None:
        """As a transaction's."""
        self.rows.pop(key, None)

    def _check(self) -> None:
        if self.gone:
            raise UnavailableError("store_gone", "gone")


@asynccontextmanager
async def _running(
    log: Path, rows: Rows | Store, world: FakeWorld, config: AuditConfig | None = None
) -> AsyncIterator[tuple[Broker, Index]]:
    with trio.fail_after(10):
        async with (
            open_index(rows, AUDIT, Layout(log), VAULT, world) as index,
            open_audit(
                config or AuditConfig(),
                KEYS,
                VAULT,
                [FileSink(log, reserve_bytes=0)],
                world,
                followers=[index],
            ) as broker,
        ):
            yield broker, index


async def _caught_up(broker: Broker, index: Index, world: FakeWorld) -> None:
    while index.indexed < broker.state().size:
        if world.sleepers:
            world.advance(REST)
        await trio.lowlevel.checkpoint()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


async def test_every_event_is_found_again(log: Path) -> None:
    """Each event has one row, with what the log says of it."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        for number in range(5):
            await broker.record(make_event(number, code="c", rule="r"))
            world.advance(1)
        await _caught_up(broker, index, world)
        page = await index.search(AuditQuery())
    assert [row.request_id for row in page.events] == [f"request-{n}" for n in (4, 3, 2, 1, 0)]
    assert page.cursor == ""
    newest = page.events[0]
    assert newest.time == FakeWorld().now() + 4 * 10**9
    for name in ("operation", "path", "actor_name", "ip", "result", "credential", "method"):
        assert getattr(newest, name) == getattr(make_event(), name)
    assert (newest.log, newest.code, newest.rule) == (VAULT, "c", "r")


async def test_searching_by_each_field(log: Path) -> None:
    """Time, actor, operation, path prefix, result and request id; all given ones must hold."""
    rows, world = Rows(), FakeWorld()
    start = world.now()
    async with _running(log, rows, world) as (broker, index):
        await broker.record(make_event(1, actor_id="bob"))
        world.advance(10)
        await broker.record(make_event(2, operation="secret.write", path="secret/web/x"))
        world.advance(10)
        await broker.record(make_event(3, result="denied"))
        await _caught_up(broker, index, world)
        for query, expected in (
            (AuditQuery(actor_id="bob"), [1]),
            (AuditQuery(operation="secret.write"), [2]),
            (AuditQuery(path="secret/app/"), [3, 1]),
            (AuditQuery(result="denied"), [3]),
            (AuditQuery(request_id="request-2"), [2]),
            (AuditQuery(since=start + 10 * 10**9), [3, 2]),
            (AuditQuery(until=start + 10 * 10**9), [2, 1]),
            (AuditQuery(since=start + 1, until=start + 15 * 10**9), [2]),
            (AuditQuery(actor_id="bob", result="denied"), []),
        ):
            found = (await index.search(query)).events
            assert [row.request_id for row in found] == [f"request-{n}" for n in expected], query
        with pytest.raises(ValidationError):
            await index.search(AuditQuery(limit=0))


async def test_pages_follow_each_other(log: Path) -> None:
    """A cursor leads through all events once, newest first."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        for number in range(10):
            await broker.record(make_event(number))
        await _caught_up(broker, index, world)
        found, cursor = [], ""
        while True:
            page = await index.search(AuditQuery(limit=3, cursor=cursor))
            found += [row.request_id for row in page.events]
            cursor = page.cursor
            if not cursor:
                break
    assert found == [f"request-{number}" for number in range(9, -1, -1)]


async def test_an_index_resumes_where_it_was(log: Path) -> None:
    """After a restart nothing is read twice and nothing is missed, also what a kill left behind."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await broker.record(make_event(0))
        await _caught_up(broker, index, world)
    write_log(log, 3)  # by an agent whose index did not run
    async with _running(log, rows, world) as (broker, index):
        await broker.record(make_event(1))
        await _caught_up(broker, index, world)
    assert len(rows.rows) == 1 + 12 + 1


async def test_an_index_catches_up_before_anything_new_happens(log: Path) -> None:
    """An index that was thrown away is rebuilt from the log by a start alone, in bounded chunks."""
    write_log(log, 30, batch=20, rotation=100_000)
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _caught_up(broker, index, world)
    assert len(rows.rows) == 600
    assert rows.commits >= 600 // CHUNK


async def test_a_database_that_is_gone_is_met_again(log: Path) -> None:
    """Recording goes on without it; it is tried again later, and then has everything."""
    rows, world = Rows(), FakeWorld()
    rows.gone = True
    async with _running(log, rows, world) as (broker, index):
        await broker.record(make_event(0))
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        assert index.error.startswith("UnavailableError")
        await broker.record(make_event(1))
        rows.gone = False
        world.advance(RETRY)
        await _caught_up(broker, index, world)
        assert index.error == ""
    assert len(rows.rows) == 2


async def test_rows_go_with_their_segments(log: Path) -> None:
    """What retention removed from the log is not found any more."""
    rows, world = Rows(), FakeWorld()
    config = AuditConfig(rotation_bytes=5_000, retention_days=1)
    async with _running(log, rows, world, config) as (broker, index):
        for number in range(30):
            await broker.record(make_event(number))
        await _caught_up(broker, index, world)
        world.advance(2 * 86_400)
        await broker.record(make_event(30))
        await _caught_up(broker, index, world)
    first = verify(log, KEYS).first
    assert first > 0
    assert min(row.seq for row in rows.rows.values()) >= first


async def test_what_a_database_cannot_hold_is_cut(log: Path) -> None:
    """Long or odd texts do not stop the index; the log has them whole."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        wide = "\N{SNOWMAN}" * 400
        await broker.record(make_event(0, user_agent=wide, actor_name="a\0b", rule="r" * 2_000))
        await _caught_up(broker, index, world)
    row = next(iter(rows.rows.values()))
    assert wide.startswith(row.user_agent)
    assert row.actor_name == "a\N{REPLACEMENT CHARACTER}b"
    assert len(row.rule) == 512


class NoGuard:
    """Audit rows are no authority rows."""

    def stamp(self, _name: str, row: T) -> T:
        """The row."""
        return row

    def check(self, _name: str, row: object) -> None:
        """Fine."""


async def test_a_real_database_takes_and_finds_them(log: Path, tmp_path: Path) -> None:
    """The rows fit the schema, are found by every field, and go again."""
    world = FakeWorld()
    config = AuditConfig(rotation_bytes=5_000, retention_days=1)
    backend = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
    async with (
        open_store(backend, NoGuard(), world) as store,
        _running(log, store, world, config) as (broker, index),
    ):
        for number in range(30):
            await broker.record(make_event(number))
        await _caught_up(broker, index, world)
        query = AuditQuery(path="secret/app/", operation="secret.read", until=world.now(), limit=7)
        page = await index.search(query)
        assert [row.request_id for row in page.events][:2] == ["request-29", "request-28"]
        assert len(page.events) == 7
        world.advance(2 * 86_400)
        await broker.record(make_event(30))
        await _caught_up(broker, index, world)
        left = (await index.search(AuditQuery(limit=500))).events
    assert len(left) < 30
    assert left[-1].seq >= verify(log, KEYS).first


async def test_a_search_finds_what_was_just_recorded(log: Path) -> None:
    """Whoever asks after his own record is answered finds it: the search waits for the index."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await broker.record(make_event(7))
        assert index.indexed < broker.state().size
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_caught_up, broker, index, world)
            page = await index.search(AuditQuery(request_id="request-7"))
    assert [row.request_id for row in page.events] == ["request-7"]
