"""The index: behind the log, resumable, searchable, and never in the way."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import trio

from actors.testing import FakeWorld
from vault.audit.broker import Broker, open_audit
from vault.audit.draft import draft_event
from vault.audit.hashing import ValueHasher
from vault.audit.layout import Layout
from vault.audit.query import AuditQuery
from vault.audit.sinks.database import BLOCK, LAG, PIECE, REST, RETRY, Index, open_index
from vault.audit.sinks.file import FileSink
from vault.audit.tail import Stretch, read
from vault.audit.testing import NOW, VAULT, make_event, make_keys, write_log
from vault.audit.verify import verify
from vault.audit.writer import AuditConfig
from vault.errors import UnavailableError, ValidationError
from vault.model.records import BlockRow
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
        self.rows: dict[Key, BlockRow] = {}
        self.commits = 0
        self.asked = 0
        self.gone = False

    async def select(self, table: Table[BlockRow], query: Query) -> list[BlockRow]:
        """As the store's."""
        await trio.lowlevel.checkpoint()
        self._check()
        self.asked += 1
        return arrange(table, query, list(self.rows.values()))

    async def commit(self, change: Callable[[Any], T]) -> T:
        """As the store's."""
        await trio.lowlevel.checkpoint()
        self._check()
        self.commits += 1
        return change(self)

    def add(self, table: Table[BlockRow], rows: Iterable[BlockRow]) -> None:
        """As a transaction's."""
        new = {table.key_of(row): table.admit(row) for row in rows}
        assert not new.keys() & self.rows.keys()
        self.rows |= new

    def delete(self, _table: Table[BlockRow], *key: str | int) -> None:
        """As a transaction's."""
        self.rows.pop(key, None)

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
    while broker.state().size - index.indexed >= BLOCK:
        if world.sleepers:
            world.advance(REST)
        await trio.lowlevel.checkpoint()


async def _fill(broker: Broker, count: int, first: int = 0, **changes: Any) -> None:
    """So many events, together."""
    hasher = ValueHasher(KEYS.mac)
    events = (make_event(number, **changes) for number in range(first, first + count))
    await broker.record_together([draft_event(event, NOW, hasher) for event in events])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


async def test_an_event_is_found_once_it_is_on_record(log: Path) -> None:
    """In its block or before it has one, the newest first, and not twice."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        found = 0
        for size in (1, BLOCK - 2, 1, 1, 2 * BLOCK, 5):
            await _fill(broker, size, found)
            found += size
            for _ in range(2):
                page = await index.search(AuditQuery(limit=3))
                expected = range(found - 1, max(found - 4, -1), -1)
                assert [row.request_id for row in page.events] == [f"request-{n}" for n in expected]
                await _caught_up(broker, index, world)
        assert len(rows.rows) == 3
        oldest = await index.search(AuditQuery(request_id="request-0"))
        assert len(oldest.events) == 1


async def test_a_search_asks_for_all_that_it_names(log: Path) -> None:
    """In blocks and behind them; a query that is faulty is refused."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        for part in range(3):
            await _fill(broker, BLOCK, part * BLOCK, actor_id=f"actor-{part}")
        await _caught_up(broker, index, world)
        for part in range(3):
            query = AuditQuery(actor_id=f"actor-{part}", limit=500)
            page = await index.search(query)
            last = (part + 1) * BLOCK
            assert [row.request_id for row in page.events] == [
                f"request-{number}" for number in range(last - 1, last - 501, -1)
            ]
        nothing = await index.search(AuditQuery(actor_id="actor-1", request_id="request-0"))
        assert nothing.events == []
        with pytest.raises(ValidationError):
            await index.search(AuditQuery(limit=0))


@pytest.mark.parametrize("limit", [1, 97, 500])
async def test_pages_follow_each_other(log: Path, limit: int) -> None:
    """A cursor leads through all events once, newest first, while more are recorded."""
    rows, world = Rows(), FakeWorld()
    count = 2 * BLOCK + 50 if limit > 1 else 9
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, count)
        await _caught_up(broker, index, world)
        found, cursor = [], ""
        while True:
            page = await index.search(AuditQuery(limit=limit, cursor=cursor))
            found += [row.request_id for row in page.events]
            cursor = page.cursor
            if not cursor:
                break
            await _fill(broker, 1, count)
    assert found == [f"request-{number}" for number in range(count - 1, -1, -1)]


async def test_a_search_looks_at_all_filters(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages of them there are, and reads none of the blocks that hold nothing."""
    monkeypatch.setattr("vault.audit.sinks.database.FILTERS", 2)
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 1, actor_id="bob")
        for part in range(7):
            await _fill(broker, BLOCK, part * BLOCK + 1)
        await _caught_up(broker, index, world)
        assert len(rows.rows) == 7
        for key, row in rows.rows.items():
            if row.first:  # a block that were read would be none
                rows.rows[key] = msgspec.structs.replace(row, start=row.start + 1)
        page = await index.search(AuditQuery(actor_id="bob"))
        assert [row.request_id for row in page.events] == ["request-0"]
        with pytest.raises(UnavailableError, match="cannot be searched"):
            await index.search(AuditQuery(request_id="request-2000"))


async def test_a_search_ends_where_the_time_does(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks behind a page of them that are all older than what is sought are not gone through.

    One among them that is not is enough to go on: a clock may have been set back between two runs.
    """
    monkeypatch.setattr("vault.audit.sinks.database.FILTERS", 2)
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        for part in range(8):
            await _fill(broker, BLOCK, part * BLOCK)
        await _caught_up(broker, index, world)
        asked = rows.asked
        assert (await index.search(AuditQuery(since=NOW + 1))).events == []
        assert rows.asked - asked == 1
        for key in sorted(rows.rows)[4:8:2]:
            rows.rows[key] = msgspec.structs.replace(rows.rows[key], ended=NOW + 1)
        asked = rows.asked
        assert (await index.search(AuditQuery(since=NOW + 1))).events == []
        assert rows.asked - asked == 3


async def test_a_search_reads_so_many_blocks_and_says_where_to_go_on(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be empty; whoever follows the cursors finds everything once."""
    monkeypatch.setattr("vault.audit.sinks.database.READ", 2)
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 1, actor_id="bob", result="denied")
        for part in range(7):
            await _fill(broker, 1, 10_000 + part, actor_id="bob")
            await _fill(broker, BLOCK, part * BLOCK + 1, result="denied")
        await _caught_up(broker, index, world)
        found, cursors = [], [""]
        while len(cursors) == 1 or cursors[-1]:
            page = await index.search(
                AuditQuery(actor_id="bob", result="denied", cursor=cursors[-1])
            )
            found += [row.request_id for row in page.events]
            cursors.append(page.cursor)
    assert found == ["request-0"]
    assert len(cursors) > 3
    assert len(set(cursors)) == len(cursors) - 1


async def test_searches_take_turns(log: Path) -> None:
    """However many there are, one piece of one of them is in a thread at a time."""
    rows = Rows()
    world = Turns()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 2 * BLOCK)
        await _caught_up(broker, index, world)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(index.search, AuditQuery(actor_id="user-1"))
    assert world.most == 1


async def test_large_records_make_shorter_blocks(log: Path) -> None:
    """So a search, and the index itself, has a bounded part of the log in memory."""
    rows, world = Rows(), FakeWorld()
    wide = {f"key-{number}": "x" for number in range(900)}
    async with _running(log, rows, world) as (broker, index):
        for _ in range(8):
            await _fill(broker, 20, request=wide)
        await _fill(broker, 2 * BLOCK, 1000)
        await _caught_up(broker, index, world)
        first = rows.rows[min(rows.rows)]
        assert first.last < 100
        page = await index.search(AuditQuery(request_id="request-3", limit=500))
        assert len(page.events) == 8


async def test_the_index_of_another_log_is_forgotten(log: Path) -> None:
    """A database from before the log was begun anew, accepted: nothing of it is found or missed."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 3 * BLOCK, actor_id="bob")
        await _caught_up(broker, index, world)
    old = dict(rows.rows)
    for file in [*Layout(log).files(), Layout(log).head]:
        file.unlink()
    for longer in (1, 4):  # than what the index knows of, or not
        rows.rows = dict(old)
        async with _running(log, rows, world) as (broker, index):
            await _fill(broker, longer * BLOCK, 10_000 * longer, actor_id="eve")
            await _caught_up(broker, index, world)
            for name, some in (("bob", False), ("eve", True)):
                page = await index.search(AuditQuery(actor_id=name))
                assert bool(page.events) is some
            for number in (0, BLOCK // 2, longer * BLOCK - 1):
                query = AuditQuery(request_id=f"request-{10_000 * longer + number}")
                assert len((await index.search(query)).events) == 1
            assert not set(old.values()) & set(rows.rows.values())
            assert index.error == ""


async def test_the_index_of_a_log_that_was_set_back_is_kept_as_far_as_it_holds(log: Path) -> None:
    """Blocks of what both have stay; those that others have replaced go."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, BLOCK)
        await _caught_up(broker, index, world)
    files = {file: file.read_bytes() for file in (log, Layout(log).head)}
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 2 * BLOCK, BLOCK, actor_id="bob")
        await _caught_up(broker, index, world)
    kept = rows.rows[min(rows.rows)]
    for file, content in files.items():
        file.write_bytes(content)
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 2 * BLOCK, 9_000, actor_id="eve")
        await _caught_up(broker, index, world)
        assert kept in rows.rows.values()
        assert (await index.search(AuditQuery(actor_id="bob"))).events == []
        assert len((await index.search(AuditQuery(actor_id="eve", limit=500))).events) == 500


async def test_two_logs_in_one_database(log: Path, tmp_path: Path) -> None:
    """Each index has its own rows, and touches no other's."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 2 * BLOCK)
        await _caught_up(broker, index, world)
    others = [msgspec.structs.replace(row, log="another") for row in rows.rows.values()]
    for first, row in enumerate(others, 100_000):
        rows.rows["another", first] = msgspec.structs.replace(row, first=first, last=first + 9)
    there = {key: row for key, row in rows.rows.items() if key[0] == "another"}
    config = AuditConfig(rotation_bytes=100_000, retention_days=1)
    async with _running(log, rows, world, config) as (broker, index):
        world.advance(3 * 86_400)
        await _fill(broker, 2 * BLOCK, 2 * BLOCK)
        await _caught_up(broker, index, world)
        found = (await index.search(AuditQuery(request_id="request-3000"))).events
        assert len(found) == 1
    assert {key: row for key, row in rows.rows.items() if key[0] == "another"} == there


async def test_an_index_resumes_where_it_was(log: Path) -> None:
    """After a restart nothing is read twice and nothing is missed, also what a kill left behind."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, BLOCK + 10)
        await _caught_up(broker, index, world)
    write_log(log, 300)  # by an agent whose index did not run
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 100)
        await _caught_up(broker, index, world)
        ends = sorted((row.first, row.last) for row in rows.rows.values())
        assert [first for first, _ in ends] == [0, *(last + 1 for _, last in ends[:-1])]
        found = (await index.search(AuditQuery(limit=500))).events
    assert len(ends) == 2
    assert len({row.seq for row in found}) == 500


async def test_an_index_catches_up_before_anything_new_happens(log: Path) -> None:
    """An index that was thrown away is rebuilt from the log by a start alone."""
    size = write_log(log, 300, batch=20, rotation=2_000_000).size
    segments = len(Layout(log).files())
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _caught_up(broker, index, world)
        assert size - index.indexed < BLOCK
        assert {row.segment for row in rows.rows.values()} == set(range(1, segments + 1))
    assert rows.commits >= size // BLOCK


async def test_an_index_works_in_pieces(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for no more of it than a piece at a time, and each record is read once."""
    pieces: list[int] = []

    def watched(*asked: Any) -> Stretch:
        stretch = read(*asked)
        pieces.append(len(stretch.lines))
        return stretch

    monkeypatch.setattr("vault.audit.sinks.database.read", watched)
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, 3 * BLOCK)
        await _caught_up(broker, index, world)
    assert max(pieces) == PIECE
    assert 3 * BLOCK <= sum(pieces) < 3 * BLOCK + PIECE


async def test_a_log_that_cannot_be_read_is_tried_again(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in `RETRY`, told once; a search hears of it, typed."""
    rows, world = Rows(), FakeWorld()
    tries = 0

    def broken(*_: object) -> Stretch:
        nonlocal tries
        tries += 1
        raise OSError(5, "Input/output error")

    async with _running(log, rows, world) as (broker, index):
        with monkeypatch.context() as patched:
            patched.setattr("vault.audit.sinks.database.read", broken)
            await _fill(broker, BLOCK)
            for _ in range(3):
                while not world.sleepers:
                    await trio.lowlevel.checkpoint()
                for _ in range(20):
                    await trio.lowlevel.checkpoint()
                world.advance(RETRY)
            assert tries <= 4
            assert index.error == "OSError: [Errno 5] Input/output error"
            with pytest.raises(UnavailableError) as told:
                await index.search(AuditQuery())
            assert told.value.code == "audit_log_unreadable"
        world.advance(RETRY)
        await _caught_up(broker, index, world)
        assert index.error == ""
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_database_that_is_gone_is_told_as_such(log: Path) -> None:
    """To whoever searches."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, BLOCK)
        await _caught_up(broker, index, world)
        rows.gone = True
        with pytest.raises(UnavailableError) as told:
            await index.search(AuditQuery())
    assert told.value.code == "store_gone"


async def test_an_index_rests_between_pieces(log: Path) -> None:
    """The machine is the requests'; the further it is behind, the less."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, BLOCK)
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert rows.commits == 0
        assert index.indexed == 0
        await _fill(broker, LAG + BLOCK, BLOCK)
        world.advance(REST)
        while index.indexed < BLOCK:
            await trio.lowlevel.checkpoint()


async def test_a_database_that_is_gone_is_met_again(log: Path) -> None:
    """Recording goes on without it; it is tried again later, and then has everything."""
    rows, world = Rows(), FakeWorld()
    rows.gone = True
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, BLOCK)
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        assert index.error.startswith("UnavailableError")
        await broker.record(make_event(1))
        rows.gone = False
        world.advance(RETRY)
        await _caught_up(broker, index, world)
        assert index.error == ""
        assert (await index.search(AuditQuery(request_id="request-1000"))).events
    assert len(rows.rows) == 1


async def test_a_log_that_lost_its_end_is_told(log: Path) -> None:
    """Acknowledged records that are not there are no block, and no search passes over them."""
    rows, world = Rows(), FakeWorld()
    async with _running(log, rows, world) as (broker, index):
        await _fill(broker, BLOCK - 10)
        size = broker.state().size
        index.begin(size + BLOCK)
        while not index.error:
            if world.sleepers:
                world.advance(REST)
            await trio.lowlevel.checkpoint()
        assert index.error.startswith(f"ValueError: record {size} is not where")
        with pytest.raises(UnavailableError, match=f"record {size} is not where"):
            await index.search(AuditQuery())


async def test_blocks_go_with_their_segments(log: Path) -> None:
    """What retention removed from the log is not found any more, and has no row."""
    rows, world = Rows(), FakeWorld()
    config = AuditConfig(rotation_bytes=100_000, retention_days=1)
    async with _running(log, rows, world, config) as (broker, index):
        for part in range(20):
            await _fill(broker, 200, part * 200)
        await _caught_up(broker, index, world)
        kept = len(rows.rows)
        world.advance(2 * 86_400)
        await broker.record(make_event(30))
        first = verify(log, KEYS).first
        assert first > BLOCK
        # Its rows are still there: the index comes later.
        found = (await index.search(AuditQuery(request_id="request-3"))).events
        assert found == []
        await _fill(broker, BLOCK)
        await _caught_up(broker, index, world)
    assert min(row.first for row in rows.rows.values()) >= first
    assert len(rows.rows) < kept


async def test_an_index_that_lags_behind_retention_goes_on(log: Path) -> None:
    """With the first record that is left."""
    rows, world = Rows(), FakeWorld()
    size = write_log(log, 300, batch=20, rotation=2_000_000).size
    Layout(log).closed(1).unlink()
    async with _running(log, rows, world) as (broker, index):
        await _caught_up(broker, index, world)
        assert size - index.indexed < BLOCK
    assert {row.segment for row in rows.rows.values()} == {2}


class NoGuard:
    """Blocks are no authority rows."""

    def stamp(self, _name: str, row: T) -> T:
        """The row."""
        return row

    def check(self, _name: str, row: object) -> None:
        """Fine."""


async def test_a_real_database_takes_and_finds_them(log: Path, tmp_path: Path) -> None:
    """The rows fit the schema, are found, and go again."""
    world = FakeWorld()
    config = AuditConfig(rotation_bytes=400_000, retention_days=1)
    backend = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
    async with (
        open_store(backend, NoGuard(), world) as store,
        _running(log, store, world, config) as (broker, index),
    ):
        for part in range(4):
            await _fill(broker, BLOCK, part * BLOCK)
        await _caught_up(broker, index, world)
        query = AuditQuery(path="secret/app/", operation="secret.read", until=world.now(), limit=7)
        page = await index.search(query)
        last = 4 * BLOCK
        assert [row.request_id for row in page.events] == [
            f"request-{number}" for number in range(last - 1, last - 8, -1)
        ]
        old = await index.search(AuditQuery(request_id="request-1"))
        assert len(old.events) == 1
        world.advance(2 * 86_400)
        for part in range(4, 6):
            await _fill(broker, BLOCK, part * BLOCK)
        await _caught_up(broker, index, world)
        assert verify(log, KEYS).first > BLOCK
        left = await store.select(AUDIT, Query())
    assert left[0].first >= verify(log, KEYS).first
