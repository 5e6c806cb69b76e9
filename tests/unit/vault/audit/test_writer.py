"""The writer as an actor: a crash restarts it from what is on disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from actors import Child, Ref, supervise
from actors.testing import EAGER, CrashError, FakeWorld, crash_on_nth, inject, quiet
from tests.unit.vault.audit.ends import Ends
from vault.audit import record
from vault.audit.appender import Appender
from vault.audit.feed import LogFeed
from vault.audit.layout import LogLayout
from vault.audit.pending_record import PendingRecord
from vault.audit.shared_tail import LastLine, SharedTail, Tail
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, make_keys, make_pending_record, verify_log
from vault.audit.writer import AuditConfig, Writer, WriterState, audit_unavailable

KEYS = make_keys()


@asynccontextmanager
async def _writer(
    log: Path, crash_at: int, config: AuditConfig, end: SharedTail | None = None
) -> AsyncIterator[Ref[PendingRecord]]:
    """A writer that crashes at its n-th draft."""
    async with trio.open_nursery() as nursery:
        feed = LogFeed([], LogLayout(log), end, KEYS.public, FakeWorld())
        shared = WriterState([FileSink(log, reserve_bytes=0)], feed, nursery, None, tail=end)
        make = partial(Writer, shared, KEYS, LOG_ID, FakeWorld(), config)
        child = Child("writer", inject(make, crash_on_nth(crash_at, CrashError())))
        world = FakeWorld()
        async with supervise("audit", [child], world=world, policy=EAGER, report=quiet) as tree:
            yield tree.ref("writer")


@pytest.mark.parametrize("crash_at", [1, 2, 5])
async def test_a_crash_costs_its_own_batch_and_no_more(tmp_path: Path, crash_at: int) -> None:
    """The next incarnation opens the log again and goes on without a gap."""
    log, done = tmp_path / "audit.log", []
    async with _writer(log, crash_at, AuditConfig()) as ref:
        for number in range(6):
            try:
                await ref.call(make_pending_record(number), 5)
            except CrashError:
                continue
            done.append(f"request-{number}")
    assert len(done) == 5
    lines = log.read_bytes().split(b"\n")[:-1]
    events = [e for line in lines if (e := record.decode_record(line)).kind == "event"]
    assert [event.body["request_id"] for event in events] == done
    verify_log(log, KEYS)


@pytest.mark.parametrize("crash_at", [1, 2, 5])
async def test_a_crash_beside_others_who_write(tmp_path: Path, crash_at: int) -> None:
    """The next incarnation goes on where they are, and nothing of theirs is lost.

    Before it has written, and once the last one has ended, they write nothing.
    """
    log, done = tmp_path / "audit.log", []
    ends, world = Ends(log), FakeWorld()
    first, sink = FileSink(log, reserve_bytes=0), FileSink(log, reserve_bytes=0)
    first.load(KEYS, LOG_ID)
    first.close()
    async with _writer(log, crash_at, AuditConfig(), ends.view()) as ref:
        other = Appender(ends.view(), sink, KEYS, LOG_ID, world, rotation_bytes=10**9)
        for number in range(0, 12, 2):
            try:
                await ref.call(make_pending_record(number), 5)
            except CrashError:
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert not await other.append([make_pending_record(number)])
                continue
            done.append(f"request-{number}")
            assert await other.append([make_pending_record(number + 1)])
            done.append(f"request-{number + 1}")
    assert not await other.append([make_pending_record()])
    await other.aclose()
    lines = log.read_bytes().split(b"\n")[:-1]
    events = [e for line in lines if (e := record.decode_record(line)).kind == "event"]
    assert [event.body["request_id"] for event in events] == done
    assert len(done) == 10
    verify_log(log, KEYS)


async def test_a_turn_that_fails(tmp_path: Path) -> None:
    """Leaves the log to nobody: something of it may still be under way. The turn is free again."""
    ends = Ends(tmp_path / "audit.log")
    ends.layout.head_file.touch()
    end = ends.view()
    async with trio.open_nursery() as nursery:
        feed = LogFeed([], ends.layout, end, KEYS.public, FakeWorld())
        writer = Writer(
            WriterState([], feed, nursery, None, tail=end), KEYS, LOG_ID, FakeWorld(), AuditConfig()
        )
        end.publish(Tail(1, b"", [], 1, 0, 0, 0, 0, LastLine(), 0, "", 0))
        writer._seen = end.version
        with pytest.raises(CrashError):
            async with writer._write_lock():
                raise CrashError
    other = ends.view()
    assert not other.is_open
    assert other.acquire_nowait()
    other.close()
    end.close()


async def test_a_start_takes_the_log_from_others(tmp_path: Path) -> None:
    """They have it again once something was written behind what was found."""
    log, ends = tmp_path / "audit.log", Ends(tmp_path / "audit.log")
    first = FileSink(log, reserve_bytes=0)
    first.load(KEYS, LOG_ID)
    first.close()
    ends.view().publish(Tail(1, b"", [], 1, 0, 0, 0, 0, LastLine(), 0, "", 0))
    async with _writer(log, 10**9, AuditConfig(), ends.view()) as ref:
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not ends.view().is_open
        await ref.call(make_pending_record(1), 5)
        assert ends.view().is_open
    verify_log(log, KEYS)


async def test_what_a_crash_left_behind_is_on_record(tmp_path: Path) -> None:
    """A start that drops a torn batch says so in the log, and signs it."""
    log = tmp_path / "audit.log"
    never = 10**9
    async with _writer(log, never, AuditConfig()) as ref:
        await ref.call(make_pending_record(1), 5)
    with log.open("ab") as file:
        file.write(b'{"v":1,"seq":')
    async with _writer(log, never, AuditConfig()) as ref:
        await ref.call(make_pending_record(2), 5)
    repairs = [
        entry.body
        for line in log.read_bytes().split(b"\n")[:-1]
        if (entry := record.decode_record(line)).kind == "repair"
    ]
    assert repairs == [{"adopted": 0, "dropped": 13}]
    verify_log(log, KEYS)


def test_the_error_tells_no_secret() -> None:
    """One code for all reasons."""
    assert audit_unavailable().code == "audit_unavailable"
    assert audit_unavailable("why").message == "why; nothing is served without a record"
