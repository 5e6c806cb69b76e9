"""Several processes write one log: one order, and what goes wrong is mended by who owns it."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from actors import SystemWorld, World
from actors.testing import FakeWorld
from protocols.instant import SECOND
from tests.unit.vault.audit.ends import Ends
from vault.audit import record
from vault.audit.appender import Appender
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.checkpoint import parse_unverified_head
from vault.audit.layout import LogLayout
from vault.audit.record import AuditRecord
from vault.audit.shared_tail import wait_exclusive
from vault.audit.sinks.file import FileSink
from vault.audit.testing import (
    LOG_ID,
    Fault,
    FaultyDisk,
    make_event,
    make_keys,
    make_pending_record,
    verify_log,
)
from vault.audit.writer import SWEEP_INTERVAL, AuditConfig
from vault.errors import UnavailableError

KEYS = make_keys()


class Recorder(FaultyDisk):
    """A disk that remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        """As the disk's."""
        self.written.append(bytes(data))
        return super().write(fd, data, offset)


class Log:
    """A log, its owner's disk, and what it takes to write there too."""

    def __init__(self, folder: Path, *, rotation: int = 2**30, reserve: int = 0) -> None:
        self.path = folder / "audit.log"
        self.disk = Recorder()
        self.world: World = FakeWorld()
        self.ends = Ends(self.path)
        self._rotation = rotation
        self._reserve = reserve

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[AuditBroker]:
        """Who opens the log and keeps it."""
        config = AuditConfig(deadline=5.0, rotation_bytes=self._rotation)
        sink = FileSink(self.path, reserve_bytes=self._reserve, disk=self.disk)
        end = self.ends.view()
        async with open_audit(config, KEYS, LOG_ID, [sink], self.world, tail=end) as broker:
            yield broker

    @asynccontextmanager
    async def other(
        self, fault: Fault = lambda _operation, _number: None
    ) -> AsyncIterator[Appender]:
        """One more process that writes there."""
        sink = FileSink(self.path, reserve_bytes=0, disk=FaultyDisk(fault))
        appender = Appender(
            self.ends.view(), sink, KEYS, LOG_ID, self.world, rotation_bytes=self._rotation
        )
        try:
            yield appender
        finally:
            await appender.aclose()

    def die_writing(self, what: bytes) -> None:
        """As a process that had the turn and was killed after so much."""
        self.ends.view().begin_write()
        with self.path.open("ab") as file:
            file.write(what)

    def records(self) -> list[AuditRecord]:
        """All of them, from all segments."""
        files = LogLayout(self.path).segment_files()
        lines = [line for path in files for line in path.read_bytes().split(b"\n")[:-1]]
        return [record.decode_record(line) for line in lines]

    def requests(self) -> list[str]:
        """The request of each event, in order."""
        return [each.body["request_id"] for each in self.records() if each.kind == "event"]

    def kinds(self) -> list[str]:
        """The other records'."""
        return [each.kind for each in self.records() if each.kind != "event"]


def named(*numbers: int) -> list[str]:
    """The requests of `make_draft` and `make_event` with these numbers."""
    return [f"request-{number}" for number in numbers]


async def test_one_order(tmp_path: Path) -> None:
    """Whoever writes goes on where the last one stopped: one chain, one tree, one signed head."""
    log = Log(tmp_path)
    async with log.owner() as owner:
        await owner.record(make_event(0))
        async with log.other() as first, log.other() as second:
            assert await first.append([make_pending_record(1), make_pending_record(2)])
            assert await second.append([make_pending_record(3)])
            await owner.record(make_event(4))
            assert await first.append([make_pending_record(5)])
            assert await first.append([make_pending_record(6)])
        assert owner.state().size == verify_log(log.path, KEYS).size == owner.state().sinks[0].size
    assert log.requests() == named(*range(7))
    assert verify_log(log.path, KEYS).size == len(log.records())


async def test_before_the_owner_has_written(tmp_path: Path) -> None:
    """He begins the log and each of its segments; until then the others leave it to him."""
    log = Log(tmp_path, rotation=4000)
    async with log.owner() as owner, log.other() as other:
        written = 0
        for number in range(20):
            if await other.append([make_pending_record(number)]):
                written += 1
            else:
                await owner.record(make_event(number))
    assert 10 < written < 20
    assert log.requests() == named(*range(20))
    assert len(LogLayout(log.path).closed_segment_numbers()) > 1
    verify_log(log.path, KEYS)


async def test_checkpoints_are_due_for_all_together(tmp_path: Path) -> None:
    """Each second one is signed, whoever writes then."""
    log = Log(tmp_path)
    log.world = world = FakeWorld()
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        before = log.kinds().count("checkpoint")
        for number in range(1, 9):
            world.advance(0.5)
            assert await other.append([make_pending_record(number)])
        assert log.kinds().count("checkpoint") == before + 4
    verify_log(log.path, KEYS)


@pytest.mark.parametrize("taken", [b"", b'{"v":1,"seq":'])
async def test_who_dies_while_he_writes(tmp_path: Path, taken: bytes) -> None:
    """Nobody goes on behind it before the owner has opened the log anew, and put that on record."""
    log = Log(tmp_path)
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        assert await other.append([make_pending_record(1)])
        log.die_writing(taken)
        assert not await other.append([make_pending_record(2)])
        await owner.record(make_event(3))
        assert await other.append([make_pending_record(4)])
    assert log.requests() == named(0, 1, 3, 4)
    repairs = [each.body for each in log.records() if each.kind == "repair"]
    assert repairs == ([{"adopted": 0, "dropped": len(taken)}] if taken else [])
    verify_log(log.path, KEYS)


async def test_who_dies_between_log_and_head(tmp_path: Path) -> None:
    """His records are whole, so they stay, and are told to be adopted."""
    log = Log(tmp_path)
    async with log.owner() as owner:
        await owner.record(make_event(0))
        async with log.other(lambda operation, _number: _after_first(operation)) as other:
            with pytest.raises(OSError, match="faulty"):
                await other.append([make_pending_record(1)])
        await owner.record(make_event(2))
    assert log.requests() == named(0, 1, 2)
    repairs = [each.body for each in log.records() if each.kind == "repair"]
    assert repairs == [{"adopted": 1, "dropped": 0}]
    verify_log(log.path, KEYS)


def _after_first(operation: str) -> OSError | None:
    """The log is written and then its sync fails."""
    return OSError(errno.EIO, "faulty") if operation == "sync" else None


async def test_what_is_adopted_is_written_again(tmp_path: Path) -> None:
    """The kernel forgets what a failed sync could not write: so nobody trusts a second one."""
    log = Log(tmp_path)
    async with log.owner() as owner:
        await owner.record(make_event(0))
        async with log.other(lambda operation, _number: _after_first(operation)) as other:
            with pytest.raises(OSError, match="faulty"):
                await other.append([make_pending_record(1)])
        log.disk.written.clear()
        await owner.record(make_event(2))
    assert any(b"request-1" in data for data in log.disk.written)
    assert log.requests() == named(0, 1, 2)


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("open", 0),
        ("open", 1),
        *[(each, call) for each in ("size", "write", "sync") for call in (0, 1, 2)],
    ],
)
async def test_a_write_that_fails(tmp_path: Path, operation: str, call: int) -> None:
    """Is told; its records are there once or not at all, and the process writes again later."""
    log, failed = Log(tmp_path), []
    struck: list[str] = []

    def fault(asked: str, _number: int) -> OSError | None:
        struck.append(asked)
        strikes = asked == operation and struck.count(operation) == call + 1
        return OSError(errno.EIO, "faulty") if strikes else None

    async with log.owner() as owner, log.other(fault) as other:
        await owner.record(make_event(0))
        for number in range(1, 6):
            try:
                written = await other.append([make_pending_record(number)])
            except OSError:
                failed.append(number)
                assert not await other.append([make_pending_record(number)])
            else:
                if not written:
                    await owner.record(make_event(number))
        assert await other.append([make_pending_record(6)])
    assert len(failed) == 1
    found = log.requests()
    assert [each for each in found if each not in named(*failed)] == named(
        *(number for number in range(7) if number not in failed)
    )
    assert len(found) == len(set(found))
    verify_log(log.path, KEYS)


async def test_a_full_disk(tmp_path: Path) -> None:
    """Half of a write is cut off; the owner has the reserve, and knows what may still be begun."""
    log = Log(tmp_path, reserve=2**20)

    def fault(operation: str, _number: int) -> OSError | None:
        return OSError(errno.ENOSPC, "full") if operation == "write" else None

    async with log.owner() as owner, log.other(fault) as other:
        await owner.record(make_event(0))
        with pytest.raises(OSError, match="full"):
            await other.append([make_pending_record(1)])
        assert not await other.append([make_pending_record(1)])
        await owner.record(make_event(2))
    assert log.requests() == named(0, 2)
    verify_log(log.path, KEYS)


async def test_once_an_hour_the_owner_writes(tmp_path: Path) -> None:
    """He looks after retention then, however much the others write."""
    log = Log(tmp_path)
    log.world = world = FakeWorld()
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        world.advance(SWEEP_INTERVAL / SECOND - 1)
        assert await other.append([make_pending_record(1)])
        world.advance(1)
        assert not await other.append([make_pending_record(2)])
        await owner.record(make_event(2))
        assert await other.append([make_pending_record(3)])


async def test_heads_count_the_commits_of_now(tmp_path: Path) -> None:
    """Whoever signs them: an older database is noticed by the log."""
    log = Log(tmp_path)
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        log.ends.view().commits = 500
        assert await other.append([make_pending_record(1)])
        left = log.ends.view().peek()
        assert left is not None
        assert parse_unverified_head(left.note).store == 500


async def test_a_second_opening(tmp_path: Path) -> None:
    """Finds nothing of the first in memory, and waits for all who could still write."""
    log = Log(tmp_path)
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        assert await other.append([make_pending_record(1)])
        size = owner.state().size
    assert wait_exclusive(LogLayout(log.path).head_file, 0.02)
    for path in (log.path, LogLayout(log.path).head_file):
        path.rename(tmp_path / f"aside-{path.name}")
    async with log.owner() as owner:
        assert owner.state().size < size
        async with log.other() as other:
            await owner.record(make_event(2))
            assert await other.append([make_pending_record(3)])
    assert log.requests() == named(2, 3)


async def test_a_log_that_cannot_be_opened_anew(tmp_path: Path) -> None:
    """Is nobody's to write, and everybody is refused, until it can."""
    log = Log(tmp_path)
    broken = False

    def fault(operation: str, _number: int) -> OSError | None:
        return OSError(errno.EIO, "faulty") if broken and operation == "sync" else None

    log.disk.fault = fault
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        log.die_writing(b"{")
        broken = True
        for number in (1, 2):
            with pytest.raises(UnavailableError, match="nothing is served without a record"):
                await owner.record(make_event(number))
            assert not await other.append([make_pending_record(number)])
        assert "can be opened" in owner.state().sinks[0].error
        broken = False
        await owner.record(make_event(3))
        assert owner.state().sinks[0].error == ""
        assert await other.append([make_pending_record(4)])
    assert log.requests() == named(0, 3, 4)
    verify_log(log.path, KEYS)


async def test_while_the_owner_is_in_trouble(tmp_path: Path) -> None:
    """A batch of his that no disk took is written before anything else is."""
    log = Log(tmp_path)
    failing = False

    def fault(operation: str, _number: int) -> OSError | None:
        return OSError(errno.EIO, "faulty") if failing and operation == "write" else None

    log.disk.fault = fault
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        failing = True
        with pytest.raises(UnavailableError):
            await owner.record(make_event(1))
        assert not await other.append([make_pending_record(2)])
        failing = False
        await owner.record(make_event(3))
        assert await other.append([make_pending_record(4)])
    assert log.requests() == named(0, 1, 3, 4)
    verify_log(log.path, KEYS)


async def test_on_the_reserve_only_the_owner_writes(tmp_path: Path) -> None:
    """He knows what may still be begun."""
    log = Log(tmp_path, reserve=2**20)
    full = False

    def fault(operation: str, _number: int) -> OSError | None:
        strikes = full and operation in {"write", "allocate"}
        there = LogLayout(log.path).reserve_file.exists()
        return OSError(errno.ENOSPC, "full") if strikes and there else None

    log.disk.fault = fault
    async with log.owner() as owner, log.other() as other:
        await owner.record(make_event(0))
        assert await other.append([make_pending_record(1)])
        full = True
        await owner.record(make_event(2, phase="outcome", result="denied"))
        assert owner.is_on_reserve()
        assert not await other.append([make_pending_record(3)])
    assert log.requests() == named(0, 1, 2)
    verify_log(log.path, KEYS)


async def test_many_at_once(tmp_path: Path) -> None:
    """Owner and others in threads of their own: each record once, each one's in its order."""
    log = Log(tmp_path)
    log.world = SystemWorld()
    rounds = 40

    async def write(first: int, put: Callable[[int], object]) -> None:
        for number in range(first, first + rounds):
            await put(number)  # type: ignore[misc]

    async with log.owner() as owner, log.other() as one, log.other() as two:

        async def by(appender: Appender, number: int) -> None:
            if not await appender.append([make_pending_record(number)]):
                await owner.record(make_event(number))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, 0, lambda n: owner.record(make_event(n)))
            nursery.start_soon(write, 1000, lambda n: by(one, n))
            nursery.start_soon(write, 2000, lambda n: by(two, n))
    found = log.requests()
    for first in (0, 1000, 2000):
        own = named(*range(first, first + rounds))
        assert [each for each in found if each in set(own)] == own
    assert len(found) == 3 * rounds
    verify_log(log.path, KEYS)
