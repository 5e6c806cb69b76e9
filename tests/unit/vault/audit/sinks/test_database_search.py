"""Searching: whatever is on record is found, and nothing is read without need."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from actors.testing import FakeWorld
from tests.unit.vault.audit.ends import Ends
from tests.unit.vault.audit.sinks.indexed import KEYS, Rows, Turns, caught_up, fill, running
from vault.audit.appender import Appender
from vault.audit.layout import LogLayout
from vault.audit.query import AuditQuery
from vault.audit.sinks import database as index_module
from vault.audit.sinks.database import BLOCK_RECORDS, open_audit_index
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, NOW, make_pending_record
from vault.errors import UnavailableError, ValidationError
from vault.store.tables import AUDIT


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


async def test_an_event_is_found_once_it_is_on_record(log: Path) -> None:
    """In its block or before it has one, the newest first, and not twice."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        found = 0
        for size in (1, BLOCK_RECORDS - 2, 1, 1, 2 * BLOCK_RECORDS, 5):
            await fill(broker, size, found)
            found += size
            for _ in range(2):
                page = await index.search(AuditQuery(limit=3))
                expected = range(found - 1, max(found - 4, -1), -1)
                assert [row.request_id for row in page.events] == [f"request-{n}" for n in expected]
                await caught_up(broker, index, world)
        assert len(rows.rows) == 3
        oldest = await index.search(AuditQuery(request_id="request-0"))
        assert len(oldest.events) == 1


async def test_an_actor_is_found_by_id_and_by_name(log: Path) -> None:
    """Of users that are deleted too: the records have both. In blocks and behind them."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS, 0, actor_id="id-1", actor_name="ann")
        await fill(broker, 2, BLOCK_RECORDS, actor_id="id-2", actor_name="ann")
        await caught_up(broker, index, world)
        for actor, newest in (
            ("id-1", BLOCK_RECORDS - 1),
            ("id-2", BLOCK_RECORDS + 1),
            ("ann", BLOCK_RECORDS + 1),
        ):
            page = await index.search(AuditQuery(actor=actor, limit=500))
            assert page.events[0].request_id == f"request-{newest}"
            assert len(page.events) == (2 if actor == "id-2" else 500)
        assert (await index.search(AuditQuery(actor="an"))).events == []


async def test_a_search_asks_for_all_that_it_names(log: Path) -> None:
    """In blocks and behind them; a query that is faulty is refused."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        for part in range(3):
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS, actor_id=f"actor-{part}")
        await caught_up(broker, index, world)
        for part in range(3):
            query = AuditQuery(actor_id=f"actor-{part}", limit=500)
            page = await index.search(query)
            last = (part + 1) * BLOCK_RECORDS
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
    count = 2 * BLOCK_RECORDS + 50 if limit > 1 else 9
    async with running(log, rows, world) as (broker, index):
        await fill(broker, count)
        await caught_up(broker, index, world)
        found, cursor = [], ""
        while True:
            page = await index.search(AuditQuery(limit=limit, cursor=cursor))
            found += [row.request_id for row in page.events]
            cursor = page.cursor
            if not cursor:
                break
            await fill(broker, 1, count)
    assert found == [f"request-{number}" for number in range(count - 1, -1, -1)]


async def test_a_search_looks_at_all_filters(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages of them there are, and reads none of the blocks that hold nothing."""
    monkeypatch.setattr("vault.audit.sinks.database.FILTERS", 2)
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 1, actor_id="bob")
        for part in range(7):
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS + 1)
        await caught_up(broker, index, world)
        assert len(rows.rows) == 7
        for key, row in rows.rows.items():
            if row.first:  # a block that were read would be none
                rows.change(key, start=row.start + 1)
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
    async with running(log, rows, world) as (broker, index):
        for part in range(8):
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS)
        await caught_up(broker, index, world)
        asked = rows.asked
        assert (await index.search(AuditQuery(since=NOW + 1))).events == []
        assert rows.asked - asked == 1
        for key in sorted(rows.rows)[4:8:2]:
            rows.change(key, ended=NOW + 1)
        asked = rows.asked
        assert (await index.search(AuditQuery(since=NOW + 1))).events == []
        assert rows.asked - asked == 3
        asked = rows.asked
        assert (await index.search(AuditQuery(since=world.now() + 1))).events == []
        assert rows.asked - asked == 5  # of a clock that was ahead: it may be anywhere


async def test_a_search_reads_so_many_blocks_and_says_where_to_go_on(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be empty; whoever follows the cursors finds everything once."""
    monkeypatch.setattr("vault.audit.sinks.database.READ", 2)
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 1, actor_id="bob", result="denied")
        for part in range(7):
            await fill(broker, 1, 10_000 + part, actor_id="bob")
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS + 1, result="denied")
        await caught_up(broker, index, world)
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
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 2 * BLOCK_RECORDS)
        await caught_up(broker, index, world)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(index.search, AuditQuery(actor_id="user-1"))
    assert world.most == 1


async def test_what_gets_its_block_meanwhile_is_found_once(log: Path) -> None:
    """Between the look at the log's end and the look at the blocks."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS)
        await caught_up(broker, index, world)
        await fill(broker, BLOCK_RECORDS - 10, BLOCK_RECORDS)

        async def grow() -> None:
            await fill(broker, 20, 2 * BLOCK_RECORDS)
            await caught_up(broker, index, world)

        rows.meanwhile = grow
        found = (await index.search(AuditQuery(request_id="request-2000"))).events
        assert len(rows.rows) == 2
    assert len(found) == 1


async def test_a_log_without_a_record_has_no_events(log: Path) -> None:
    """Before its first is written there is not even a file."""
    async with open_audit_index(
        Rows(), AUDIT, LogLayout(log), LOG_ID, FakeWorld(), mac=KEYS.mac
    ) as index:
        assert (await index.search(AuditQuery())).events == []


async def test_large_records_make_shorter_blocks(log: Path) -> None:
    """So a search, and the index itself, has a bounded part of the log in memory."""
    rows, world = Rows(), FakeWorld()
    wide = {f"key-{number}": "x" for number in range(900)}
    async with running(log, rows, world) as (broker, index):
        for _ in range(8):
            await fill(broker, 20, request=wide)
        await fill(broker, 2 * BLOCK_RECORDS, 1000)
        await caught_up(broker, index, world)
        first = rows.rows[min(rows.rows)]
        assert first.last < 100
        page = await index.search(AuditQuery(request_id="request-3", limit=500))
        assert len(page.events) == 8
        page = await index.search(AuditQuery(request_id="request-3", limit=3))
        assert len(page.events) == 3
        page = await index.search(AuditQuery(request_id="request-3", limit=500, cursor=page.cursor))
        assert len(page.events) == 5


async def test_what_another_process_wrote(log: Path) -> None:
    """Is found once it is on record, though we are told of it later."""
    rows, world, ends = Rows(), FakeWorld(), Ends(log)
    async with running(log, rows, world, ends=ends) as (broker, index):
        await fill(broker, 1)
        sink = FileSink(log, reserve_bytes=0)
        other = Appender(ends.view(), sink, KEYS, LOG_ID, world, rotation_bytes=10**8)
        assert await other.append([make_pending_record(1)])
        page = await index.search(AuditQuery())
        assert [row.request_id for row in page.events] == ["request-1", "request-0"]
        await other.aclose()


def zeroed(rows: Rows) -> None:
    """The filters hold nothing."""
    for key, row in rows.rows.items():
        rows.forge(key, terms=bytes(len(row.terms)))


def earlier(rows: Rows) -> None:
    """The times are of long ago."""
    for key in rows.rows:
        rows.forge(key, began=1, ended=2)


def without_first(rows: Rows) -> None:
    """The oldest is gone."""
    del rows.rows[min(rows.rows)]


def without_one(rows: Rows) -> None:
    """One among them is gone."""
    del rows.rows[sorted(rows.rows)[1]]


def without_newest(rows: Rows) -> None:
    """The newest is gone."""
    del rows.rows[max(rows.rows)]


def without_any(rows: Rows) -> None:
    """There are none."""
    rows.rows.clear()


def moved(rows: Rows) -> None:
    """One says that it is where another is."""
    first, second = sorted(rows.rows)[:2]
    rows.forge(second, terms=rows.rows[first].terms)


@pytest.mark.parametrize(
    "change",
    [zeroed, earlier, without_first, without_one, without_newest, without_any, moved],
)
async def test_rows_that_somebody_changed_hide_nothing(
    log: Path, change: Callable[[Rows], None]
) -> None:
    """It is told, what was done is found all the same, and the rows are made of the log again."""
    rows, world, told = Rows(), FakeWorld(), list[str]()

    async def alarm(what: str) -> None:
        told.append(what)

    async with running(log, rows, world) as (broker, index):
        await index.warn(alarm)
        for part in range(4):
            await fill(broker, 1, part * BLOCK_RECORDS, actor_id="bob")
            await fill(broker, BLOCK_RECORDS - 1, part * BLOCK_RECORDS + 1)
        await caught_up(broker, index, world)
        before = dict(rows.rows)
        change(rows)
        query = AuditQuery(actor_id="bob", since=NOW - 1)
        page = await index.search(query)
        assert [row.request_id for row in page.events] == [
            f"request-{part * BLOCK_RECORDS}" for part in (3, 2, 1, 0)
        ]
        assert len(told) == 1
        await caught_up(broker, index, world)
        assert rows.rows == before
        assert len((await index.search(query)).events) == 4
        assert len(told) == 1


async def test_who_changes_them_again_and_again_is_told(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search ends, and an alarm that fails is none of its business."""
    rows, world = Rows(), FakeWorld()

    async def alarm(_what: str) -> None:
        raise UnavailableError("audit_unavailable", "full")

    async with running(log, rows, world) as (broker, index):
        await index.warn(alarm)
        await fill(broker, 2 * BLOCK_RECORDS)
        await caught_up(broker, index, world)

        def prove(blocks: object, below: int) -> list[object]:
            raise index_module._ForeignError(0)

        monkeypatch.setattr(index, "_prove", prove)
        with pytest.raises(UnavailableError, match="again and again"):
            await index.search(AuditQuery(actor_id="bob"))


async def test_what_is_found_before_anybody_can_be_told(log: Path) -> None:
    """The audit log opens behind its index: it is told then, once."""
    rows, world, told = Rows(), FakeWorld(), list[str]()

    async def alarm(what: str) -> None:
        told.append(what)

    async with running(log, rows, world) as (broker, index):
        await fill(broker, 2 * BLOCK_RECORDS)
        await caught_up(broker, index, world)
    zeroed(rows)
    async with running(log, rows, world) as (broker, index):
        await caught_up(broker, index, world)
        assert told == []
        await index.warn(alarm)
        await index.warn(alarm)
    assert len(told) == 1
