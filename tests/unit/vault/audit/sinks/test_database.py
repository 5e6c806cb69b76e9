"""The index: behind the log, resumable, and never in the way."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import trio
import trio.testing

from actors.testing import FakeWorld
from tests.support.no_guard import NoGuard
from tests.unit.vault.audit.sinks.indexed import KEYS, LOG, Rows, caught_up, fill, running
from vault.audit.layout import LogLayout
from vault.audit.log_reader import RecordLocation, RecordRange, first_location, read_range
from vault.audit.query import AuditQuery
from vault.audit.sinks.database import (
    BLOCK_RECORDS,
    READ_PAUSE,
    READ_RECORDS,
    RETRY_INTERVAL,
)
from vault.audit.testing import make_event, verify_log, write_log
from vault.audit.writer import AuditConfig
from vault.errors import UnavailableError
from vault.store.sqlite import SqliteBackend
from vault.store.store import open_store
from vault.store.table import StoreQuery
from vault.store.tables import AUDIT

T = TypeVar("T")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "audit.log"


async def test_the_index_of_another_log_is_forgotten(log: Path) -> None:
    """A database from before the log was begun anew, accepted: nothing of it is found or missed."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 3 * BLOCK_RECORDS, actor_id="bob")
        await caught_up(broker, index, world)
    old = dict(rows.rows)
    for file in [*LogLayout(log).segment_files(), LogLayout(log).head_file]:
        file.unlink()
    for longer in (1, 4):  # than what the index knows of, or not
        rows.rows = dict(old)
        async with running(log, rows, world) as (broker, index):
            await fill(broker, longer * BLOCK_RECORDS, 10_000 * longer, actor_id="eve")
            await caught_up(broker, index, world)
            for name, some in (("bob", False), ("eve", True)):
                page = await index.search(AuditQuery(actor_id=name))
                assert bool(page.events) is some
            for number in (0, BLOCK_RECORDS // 2, longer * BLOCK_RECORDS - 1):
                query = AuditQuery(request_id=f"request-{10_000 * longer + number}")
                assert len((await index.search(query)).events) == 1
            assert not set(old.values()) & set(rows.rows.values())
            assert index.error == ""


async def test_the_index_of_a_log_that_was_set_back_is_kept_as_far_as_it_holds(log: Path) -> None:
    """Blocks of what both have stay; those that others have replaced go."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS)
        await caught_up(broker, index, world)
    files = {file: file.read_bytes() for file in (log, LogLayout(log).head_file)}
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 2 * BLOCK_RECORDS, BLOCK_RECORDS, actor_id="bob")
        await caught_up(broker, index, world)
    kept = rows.rows[min(rows.rows)]
    for file, content in files.items():
        file.write_bytes(content)
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 2 * BLOCK_RECORDS, 9_000, actor_id="eve")
        await caught_up(broker, index, world)
        assert kept in rows.rows.values()
        assert (await index.search(AuditQuery(actor_id="bob"))).events == []
        assert len((await index.search(AuditQuery(actor_id="eve", limit=500))).events) == 500


async def test_two_logs_in_one_database(log: Path, tmp_path: Path) -> None:
    """Each index has its own rows, and touches no other's."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 2 * BLOCK_RECORDS)
        await caught_up(broker, index, world)
    for other in ("another", "zzz"):  # before and behind it, in the order of keys
        for number, row in enumerate(list(rows.rows.values()), 100_000):
            mine = msgspec.structs.replace(row, log=other, first=number, last=number + 9)
            rows.rows[other, number] = mine
    there = {key: row for key, row in rows.rows.items() if key[0] != LOG}
    config = AuditConfig(rotation_bytes=100_000)
    async with running(log, rows, world, config, days=1) as (broker, index):
        await fill(broker, BLOCK_RECORDS, 2 * BLOCK_RECORDS)
        world.advance(3 * 86_400)
        await fill(broker, 1, 2 * BLOCK_RECORDS + BLOCK_RECORDS // 2)  # which announces it
        world.advance(86_400)
        for part in (3, 4):
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS)
        await caught_up(broker, index, world)
        for number in (4500, 1500):
            found = (await index.search(AuditQuery(request_id=f"request-{number}"))).events
            assert len(found) == (number == 4500)
    assert {key: row for key, row in rows.rows.items() if key[0] != LOG} == there


async def test_an_index_resumes_where_it_was(log: Path) -> None:
    """After a restart nothing is read twice and nothing is missed, also what a kill left behind."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS + 10)
        await caught_up(broker, index, world)
    write_log(log, 300)  # by an agent whose index did not run
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 100)
        await caught_up(broker, index, world)
        ends = sorted((row.first, row.last) for row in rows.rows.values())
        assert [first for first, _ in ends] == [0, *(last + 1 for _, last in ends[:-1])]
        found = (await index.search(AuditQuery(limit=500))).events
    assert len(ends) == 2
    assert len({row.seq for row in found}) == 500


async def test_an_index_catches_up_before_anything_new_happens(log: Path) -> None:
    """An index that was thrown away is rebuilt from the log by a start alone."""
    size = write_log(log, 300, batch=20, rotation=2_000_000).size
    segments = len(LogLayout(log).segment_files())
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await caught_up(broker, index, world)
        assert size - index.indexed < BLOCK_RECORDS
        assert {row.segment for row in rows.rows.values()} == set(range(1, segments + 1))
    assert rows.commits >= size // BLOCK_RECORDS


async def test_an_index_works_in_pieces(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for no more of it than a piece at a time, and each record is read once."""
    pieces: list[int] = []

    def watched(*asked: Any) -> RecordRange:
        stretch = read_range(*asked)
        pieces.append(len(stretch.lines))
        return stretch

    monkeypatch.setattr("vault.audit.sinks.database.read_range", watched)
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, 3 * BLOCK_RECORDS)
        await caught_up(broker, index, world)
    assert max(pieces) == READ_RECORDS
    assert 3 * BLOCK_RECORDS <= sum(pieces) < 3 * BLOCK_RECORDS + READ_RECORDS


async def test_a_log_that_cannot_be_read_is_tried_again(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in `RETRY`, told once; a search hears of it, typed."""
    rows, world = Rows(), FakeWorld()
    tries = 0

    def broken(*_: object) -> RecordRange:
        nonlocal tries
        tries += 1
        raise OSError(5, "Input/output error")

    async with running(log, rows, world) as (broker, index):
        with monkeypatch.context() as patched:
            patched.setattr("vault.audit.sinks.database.read_range", broken)
            await fill(broker, BLOCK_RECORDS)
            for _ in range(3):
                while not world.sleepers:
                    await trio.lowlevel.checkpoint()
                for _ in range(20):
                    await trio.lowlevel.checkpoint()
                world.advance(RETRY_INTERVAL)
            assert tries <= 4
            assert index.error == "OSError: [Errno 5] Input/output error"
            with pytest.raises(UnavailableError) as told:
                await index.search(AuditQuery())
            assert told.value.code == "audit_log_unreadable"
        world.advance(RETRY_INTERVAL)
        await caught_up(broker, index, world)
        assert index.error == ""
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_database_that_is_gone_is_told_as_such(log: Path) -> None:
    """To whoever searches."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS)
        await caught_up(broker, index, world)
        rows.gone = True
        with pytest.raises(UnavailableError) as told:
            await index.search(AuditQuery())
    assert told.value.code == "store_gone"


async def test_a_block_that_is_not_taken_is_made_anew(log: Path) -> None:
    """Whole, once the database takes it."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        rows.read_only = True
        await fill(broker, BLOCK_RECORDS)
        while not index.error:
            if world.sleepers:
                world.advance(READ_PAUSE)
            await trio.lowlevel.checkpoint()
        rows.read_only = False
        world.advance(RETRY_INTERVAL)
        await caught_up(broker, index, world)
        assert index.error == ""
    assert [(row.first, row.last) for row in rows.rows.values()] == [(0, BLOCK_RECORDS - 1)]


async def test_an_old_block_is_not_taken_for_one_that_retention_let_go(log: Path) -> None:
    """Of a log that was begun anew, and has let go of its beginning, but not of these numbers."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS, 50_000)
        await caught_up(broker, index, world)
    for file in [*LogLayout(log).segment_files(), LogLayout(log).head_file]:
        file.unlink()
    write_log(log, 300, batch=4, rotation=400_000)
    LogLayout(log).closed_segment(1).unlink()
    first = first_location(LogLayout(log)).seq
    assert 100 < first < BLOCK_RECORDS - 100
    async with running(log, rows, world) as (broker, index):
        await caught_up(broker, index, world)
        found = (await index.search(AuditQuery(request_id="request-700", limit=9))).events
    assert len(found) == 1


async def test_a_database_that_is_gone_is_met_again(log: Path) -> None:
    """Recording goes on without it; it is tried again later, and then has everything."""
    rows, world = Rows(), FakeWorld()
    rows.gone = True
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS)
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        assert index.error.startswith("UnavailableError")
        await broker.record(make_event(1))
        rows.gone = False
        world.advance(RETRY_INTERVAL)
        await caught_up(broker, index, world)
        assert index.error == ""
        assert (await index.search(AuditQuery(request_id="request-1000"))).events
    assert len(rows.rows) == 1


async def test_a_log_that_lost_its_end_is_told(log: Path) -> None:
    """Acknowledged records that are not there are no block, and no search passes over them."""
    rows, world = Rows(), FakeWorld()
    async with running(log, rows, world) as (broker, index):
        await fill(broker, BLOCK_RECORDS - 10)
        size = broker.state().size
        index.on_open(size + BLOCK_RECORDS)
        while not index.error:
            if world.sleepers:
                world.advance(READ_PAUSE)
            await trio.lowlevel.checkpoint()
        assert index.error.startswith(f"ValueError: record {size} is not where")
        with pytest.raises(UnavailableError, match=f"record {size} is not where"):
            await index.search(AuditQuery())


async def test_blocks_go_with_their_segments(log: Path) -> None:
    """What retention removed from the log is not found any more, and has no row."""
    rows, world = Rows(), FakeWorld()
    config = AuditConfig(rotation_bytes=100_000)
    async with running(log, rows, world, config, days=1) as (broker, index):
        for part in range(20):
            await fill(broker, 200, part * 200)
        await caught_up(broker, index, world)
        kept = len(rows.rows)
        world.advance(2 * 86_400)
        await broker.record(make_event(29))  # which announces it
        assert verify_log(log, KEYS).first == 0
        world.advance(86_400)
        await broker.record(make_event(30))
        first = verify_log(log, KEYS).first
        assert first > BLOCK_RECORDS
        # Its rows are still there: the index comes later.
        found = (await index.search(AuditQuery(request_id="request-3"))).events
        assert found == []
        await fill(broker, BLOCK_RECORDS)
        await caught_up(broker, index, world)
    assert min(row.first for row in rows.rows.values()) >= first
    assert len(rows.rows) < kept


async def test_a_segment_that_goes_while_it_is_opened_is_passed_over(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for it and opening it."""
    rows, world = Rows(), FakeWorld()
    write_log(log, 300, batch=20, rotation=2_000_000)

    def late(layout: LogLayout, place: RecordLocation, until: int, limit: int) -> RecordRange:
        if place.segment == 1:
            layout.closed_segment(1).unlink(missing_ok=True)
            raise FileNotFoundError(2, "No such file or directory")
        return read_range(layout, place, until, limit)

    async with running(log, rows, world) as (broker, index):
        await caught_up(broker, index, world)
        monkeypatch.setattr("vault.audit.sinks.database.read_range", late)
        found = (await index.search(AuditQuery(request_id="request-3"))).events
    assert found == []


async def test_an_index_that_lags_behind_retention_goes_on(log: Path) -> None:
    """With the first record that is left."""
    rows, world = Rows(), FakeWorld()
    size = write_log(log, 300, batch=20, rotation=2_000_000).size
    LogLayout(log).closed_segment(1).unlink()
    async with running(log, rows, world) as (broker, index):
        await caught_up(broker, index, world)
        assert size - index.indexed < BLOCK_RECORDS
    assert {row.segment for row in rows.rows.values()} == {2}


async def test_a_real_database_takes_and_finds_them(log: Path, tmp_path: Path) -> None:
    """The rows fit the schema, are found, and go again."""
    world = FakeWorld()
    config = AuditConfig(rotation_bytes=400_000)
    backend = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
    async with (
        open_store(backend, NoGuard(), world) as store,
        running(log, store, world, config, days=1) as (broker, index),
    ):
        for part in range(4):
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS)
        await caught_up(broker, index, world)
        query = AuditQuery(path="secret/app/", operation="secret.read", until=world.now(), limit=7)
        page = await index.search(query)
        last = 4 * BLOCK_RECORDS
        assert [row.request_id for row in page.events] == [
            f"request-{number}" for number in range(last - 1, last - 8, -1)
        ]
        old = await index.search(AuditQuery(request_id="request-1"))
        assert len(old.events) == 1
        world.advance(2 * 86_400)
        await fill(broker, BLOCK_RECORDS, 4 * BLOCK_RECORDS)  # which announces it
        world.advance(86_400)
        for part in (5, 6):
            await fill(broker, BLOCK_RECORDS, part * BLOCK_RECORDS)
        await caught_up(broker, index, world)
        assert verify_log(log, KEYS).first > BLOCK_RECORDS
        left = await store.select(AUDIT, StoreQuery())
    assert left[0].first >= verify_log(log, KEYS).first
