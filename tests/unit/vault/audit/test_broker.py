"""The broker: durable on return, or refused; several sinks; the last disk space."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from actors.slewed_clock import SlewedClock
from actors.testing import FakeWorld
from vault.audit import record
from vault.audit.batch import Batch
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.hashing import ValueHasher
from vault.audit.layout import LogLayout
from vault.audit.record import AuditEvent
from vault.audit.replica import RETRY_INTERVAL
from vault.audit.retention import RetentionNotice, RetentionSchedule
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, FaultyDisk, make_event, make_keys, verify_log
from vault.audit.writer import AuditConfig
from vault.errors import TamperedError, UnavailableError

KEYS = make_keys()
DEADLINE = 5.0


class Disks:
    """Sinks whose disks can be broken."""

    def __init__(self, folder: Path, count: int = 1, reserve: int = 0) -> None:
        self.codes: list[int] = [0] * count
        self.once = False  # the next fault is the last
        self.logs = [folder / str(i) / "audit.log" for i in range(count)]
        self.sinks = [
            FileSink(log, reserve_bytes=reserve, disk=FaultyDisk(self._fault(i)))
            for i, log in enumerate(self.logs)
        ]

    def _fault(self, index: int) -> Callable[[str, int], OSError | None]:
        def fault(operation: str, _number: int) -> OSError | None:
            code = self.codes[index]
            if code == errno.ENOSPC and not LogLayout(self.logs[index]).reserve_file.exists():
                return None
            strikes = code and operation in {"write", "allocate"}
            if strikes and self.once:
                self.codes[index] = 0
            return OSError(code, "faulty") if strikes else None

        return fault


class Follower:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.lines: list[bytes] = []

    def on_open(self, size: int) -> None:
        """The start."""
        self.sizes.append(size)

    def on_batch(self, batch: Batch) -> None:
        """A batch."""
        self.sizes.append(batch.size)
        self.lines += batch.lines()


@asynccontextmanager
async def _audit(
    disks: Disks,
    *,
    follower: Follower | None = None,
    config: AuditConfig | None = None,
    world: FakeWorld | None = None,
    retention: RetentionSchedule | None = None,
) -> AsyncIterator[AuditBroker]:
    config = config or AuditConfig(deadline=DEADLINE)
    followers = [follower] if follower else []
    async with open_audit(
        config, KEYS, LOG_ID, disks.sinks, world or FakeWorld(),
        followers=followers, retention=retention,
    ) as broker:  # fmt: skip
        yield broker


def _events(log: Path) -> list[AuditEvent]:
    lines = [
        line
        for path in LogLayout(log).segment_files()
        for line in path.read_bytes().split(b"\n")[:-1]
    ]
    entries = [record.decode_record(line) for line in lines]
    return [AuditEvent(**entry.body) for entry in entries if entry.kind == "event"]


async def test_a_record_is_on_disk_when_record_returns(tmp_path: Path) -> None:
    """Each event is in the file, its values hashed, before its reporter goes on."""
    disks = Disks(tmp_path)
    async with _audit(disks) as broker:
        for number in range(5):
            await broker.record(make_event(number))
            logged = _events(disks.logs[0])[-1]
            assert logged.request_id == f"request-{number}"
            assert logged.request == {"version": broker.hash_value(number)}
        assert broker.hash_value("x") == ValueHasher(KEYS.mac).hash_value("x")
    assert verify_log(disks.logs[0], KEYS).size == broker.state().size


async def test_all_who_wait_are_served_by_one_write(tmp_path: Path) -> None:
    """Group commit: 64 askers at once cost one batch, in the order of asking."""
    disks, follower = Disks(tmp_path), Follower()
    async with _audit(disks, follower=follower) as broker:
        async with trio.open_nursery() as nursery:
            for number in range(64):
                nursery.start_soon(broker.record, make_event(number))
        writes = len(follower.sizes)
    assert writes <= 3
    assert len(_events(disks.logs[0])) == 64


async def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Numbers and chain continue; a start and a stop without events add nothing."""
    disks = Disks(tmp_path)
    for number in range(3):
        async with _audit(disks) as broker:
            await broker.record(make_event(number))
        size = verify_log(disks.logs[0], KEYS).size
        async with _audit(disks):
            pass
        assert verify_log(disks.logs[0], KEYS).size == size
    assert [e.request_id for e in _events(disks.logs[0])] == ["request-0", "request-1", "request-2"]


async def test_nothing_is_acknowledged_when_no_sink_accepts(tmp_path: Path) -> None:
    """While the disk fails every event is refused; afterwards the log is whole and goes on."""
    disks, follower = Disks(tmp_path), Follower()
    async with _audit(disks, follower=follower) as broker:
        await broker.record(make_event(0))
        size = broker.state().size
        disks.codes[0] = errno.EIO
        for number in range(1, 4):
            with pytest.raises(UnavailableError) as caught:
                await broker.record(make_event(number))
            assert caught.value.code == "audit_unavailable"
            assert broker.state().size == size
            assert broker.state().sinks[0].error == "OSError: faulty"
        assert max(follower.sizes) == size
        disks.codes[0] = 0
        await broker.record(make_event(9))
        assert broker.state().sinks[0].error == ""
    names = [event.request_id for event in _events(disks.logs[0])]
    assert names == ["request-0", "request-1", "request-9"]  # the refused batch is there, once
    assert verify_log(disks.logs[0], KEYS).size == broker.state().size


async def test_a_crash_with_a_refused_batch_leaves_a_whole_log(tmp_path: Path) -> None:
    """An agent that dies while its disk fails: the next one finds no gap."""
    disks = Disks(tmp_path)
    async with _audit(disks) as broker:
        await broker.record(make_event(0))
        disks.codes[0] = errno.EIO
        with pytest.raises(UnavailableError):
            await broker.record(make_event(1))
    disks.codes[0] = 0
    async with _audit(disks) as broker:
        await broker.record(make_event(2))
    assert [e.request_id for e in _events(disks.logs[0])] == ["request-0", "request-2"]
    verify_log(disks.logs[0], KEYS)


async def test_one_sink_of_two_is_enough(tmp_path: Path) -> None:
    """A broken sink is shown, and caught up with the very same batches when it works again."""
    disks = Disks(tmp_path, 2)
    async with _audit(disks) as broker:
        disks.codes[1] = errno.EIO
        for number in range(3):
            await broker.record(make_event(number))
        good, bad = broker.state().sinks
        assert (good.error, bad.error) == ("", "OSError: faulty")
        assert good.size == broker.state().size > bad.size
        disks.codes[1] = 0
        await broker.record(make_event(3))
    assert disks.logs[0].read_bytes() == disks.logs[1].read_bytes()
    assert verify_log(disks.logs[0], KEYS) == verify_log(disks.logs[1], KEYS)


async def test_a_sink_that_was_left_behind_is_brought_up_at_the_next_start(tmp_path: Path) -> None:
    """More batches than the backlog holds: behind, until a start copies what is missing."""
    disks = Disks(tmp_path, 2)
    config = AuditConfig(deadline=DEADLINE, rotation_bytes=20_000)
    async with _audit(disks, config=config) as broker:
        await broker.record(make_event(0))
        disks.codes[1] = errno.EIO
        for number in range(80):
            await broker.record(make_event(number))
        assert [sink.behind for sink in broker.state().sinks] == [False, True]
        disks.codes[1] = 0
        await broker.record(make_event(99))
        assert broker.state().sinks[1].behind
    async with _audit(disks, config=config) as broker:
        assert len({sink.size for sink in broker.state().sinks}) == 1
        await broker.record(make_event(100))
    assert verify_log(disks.logs[0], KEYS) == verify_log(disks.logs[1], KEYS)


async def test_two_logs_that_contradict_each_other_stop_the_start(tmp_path: Path) -> None:
    """Two sinks with different records of one number are never written to."""
    disks = Disks(tmp_path, 2)
    for sink in disks.sinks:
        async with open_audit(AuditConfig(), KEYS, LOG_ID, [sink], FakeWorld()) as broker:
            await broker.record(make_event(hash(sink.name) % 1000))
    with pytest.raises(TamperedError, match="audit_log_damaged"):
        async with _audit(disks):
            pass


async def test_a_sink_that_cannot_be_opened_is_shown(tmp_path: Path) -> None:
    """Without its folder a sink is out, the other serves; with none the start fails clearly."""
    disks = Disks(tmp_path, 2)
    disks.logs[1].parent.touch()
    async with _audit(disks) as broker:
        await broker.record(make_event())
        state = broker.state().sinks[1]
        assert (state.name, state.behind) == (str(disks.logs[1]), True)
        assert state.error.startswith(("FileExistsError", "NotADirectoryError"))
    for log in disks.logs[:1]:
        for path in log.parent.iterdir():
            path.unlink()
        log.parent.rmdir()
        log.parent.touch()
    with pytest.raises(UnavailableError, match="no audit log can be opened"):
        async with _audit(disks):
            pass


async def test_a_damaged_log_stops_the_start(tmp_path: Path) -> None:
    """An agent does not write behind a log that was tampered with."""
    disks = Disks(tmp_path)
    async with _audit(disks) as broker:
        await broker.record(make_event())
    LogLayout(disks.logs[0]).head_file.unlink()
    with pytest.raises(TamperedError):
        async with _audit(disks):
            pass


async def test_on_a_full_disk_only_what_runs_is_ended(tmp_path: Path) -> None:
    """The reserve takes refusals, failures, ends of mutations and the seal; nothing is begun."""
    disks = Disks(tmp_path, reserve=100_000)
    world = FakeWorld()
    async with _audit(disks, world=world) as broker:
        await broker.record(make_event(0, phase="intent"))
        disks.codes[0] = errno.ENOSPC
        await broker.record(make_event(1, capability="update"))
        assert broker.state().sinks[0].on_reserve
        world.advance(5)
        [sink] = broker.state().sinks
        assert (sink.failing, sink.failing_for, sink.label) == (True, 5, "file")
        assert broker.refusal_reason() == "the audit log's disk is full"
        for begun in (
            make_event(2),
            make_event(2, capability="list"),
            make_event(2, phase="intent", capability="update"),
        ):
            with pytest.raises(UnavailableError, match="disk is full"):
                await broker.record(begun)
        for ended in (
            make_event(3, result="denied"),
            make_event(4, result="failed"),
            make_event(5, capability="delete"),
            make_event(6, operation="sys.seal", phase="intent"),
        ):
            await broker.record(ended)
        disks.codes[0] = 0
        world.advance(RETRY_INTERVAL)  # nobody asks: the sink itself looks for room
        while broker.state().sinks[0].on_reserve:
            await trio.lowlevel.checkpoint()
        assert broker.refusal_reason() == ""
        assert not broker.state().sinks[0].failing
        await broker.record(make_event(7))
    assert len(_events(disks.logs[0])) == 7


async def test_a_log_that_cannot_be_written_is_seen_and_seen_again_when_it_can(
    tmp_path: Path,
) -> None:
    """Without a request that tries: whoever refuses everything is sent none."""
    disks, world = Disks(tmp_path), FakeWorld()
    async with _audit(disks, world=world) as broker:
        disks.codes[0] = errno.EIO
        with pytest.raises(UnavailableError):
            await broker.record(make_event(0))
        assert "no audit sink accepts records" in broker.refusal_reason()
        disks.codes[0] = 0
        with trio.fail_after(30):
            while broker.refusal_reason():
                world.advance(RETRY_INTERVAL)
                await trio.testing.wait_all_tasks_blocked()
        assert not broker.state().sinks[0].failing


async def test_a_moment_without_room_refuses_nobody(tmp_path: Path) -> None:
    """A disk that is full once gives the reserve back at once, and the next work is begun."""
    disks = Disks(tmp_path, reserve=100_000)
    async with _audit(disks) as broker:
        disks.codes[0] = errno.ENOSPC
        disks.once = True
        await broker.record(make_event(0))
        while broker.state().sinks[0].on_reserve:
            await trio.lowlevel.checkpoint()
        await broker.record(make_event(1))
    assert len(_events(disks.logs[0])) == 2


async def test_a_fault_in_one_event_is_its_own(tmp_path: Path) -> None:
    """What cannot be encoded fails its reporter and nobody else."""
    disks = Disks(tmp_path)
    async with _audit(disks) as broker:
        with pytest.raises(TypeError):
            await broker.record(make_event(request=object()))
        await broker.record(make_event(1))


SMALL: Final = AuditConfig(rotation_bytes=5_000, deadline=DEADLINE)
DAY: Final = 86_400
DAYS: Final = 30  # that a log is kept


def _retention(world: FakeWorld, notice: RetentionNotice | None = None) -> RetentionSchedule:
    return RetentionSchedule(SlewedClock(world.wall(), world.wall, world.uptime), DAYS, notice)


def _told(log: Path) -> list[AuditEvent]:
    """What retention has to say."""
    return [event for event in _events(log) if event.operation.startswith("audit.retention_")]


async def _gone(layout: LogLayout, segments: list[int]) -> None:
    """Return once none of them is there."""
    with trio.fail_after(30):
        while set(layout.closed_segment_numbers()) & set(segments):
            await trio.lowlevel.checkpoint()


async def _fill(broker: AuditBroker) -> None:
    """Records of some segments."""
    for number in range(30):
        await broker.record(make_event(number))


async def test_old_segments_go_a_week_after_it_was_told(tmp_path: Path) -> None:
    """There is an alert first; then closed segments are removed, the log says so and verifies."""
    disks, world = Disks(tmp_path), FakeWorld()
    layout, retention = LogLayout(disks.logs[0]), _retention(world)
    async with _audit(disks, config=SMALL, world=world, retention=retention) as broker:
        await _fill(broker)
        there = layout.closed_segment_numbers()
        assert len(there) >= 2
        world.advance((DAYS - 6) * DAY)
        await broker.record(make_event(31))
        assert _told(disks.logs[0])[0].alert
        notice = retention.notice
        assert notice is not None
        assert notice.through == there[-1]
    world.advance(7 * DAY - 1)
    async with _audit(
        disks, config=SMALL, world=world, retention=_retention(world, notice)
    ) as broker:
        await broker.record(make_event(32))
        assert layout.closed_segment_numbers()[: len(there)] == there
        world.advance(3_601)
        await broker.record(make_event(33))
        await _gone(layout, there)
    verdict = verify_log(disks.logs[0], KEYS)
    assert verdict.first == notice.first
    async with _audit(disks, config=SMALL, world=world) as broker:
        await broker.record(make_event(34))
    verify_log(disks.logs[0], KEYS)


async def test_a_clock_that_jumps_deletes_nothing(tmp_path: Path) -> None:
    """Not in a year of such clock readings; once it is confirmed, a week after that was told."""
    disks, world = Disks(tmp_path), FakeWorld()
    layout, retention = LogLayout(disks.logs[0]), _retention(world)
    async with _audit(disks, config=SMALL, world=world, retention=retention) as broker:
        await _fill(broker)
        there = layout.closed_segment_numbers()
        world.step_wall(400 * DAY)
        for hour in range(24):
            world.advance(3_600)
            await broker.record(make_event(hour))
        assert layout.closed_segment_numbers()[: len(there)] == there
        [told] = _told(disks.logs[0])
        assert told.operation == "audit.retention_suspended"
        assert told.alert
        assert "confirm-clock" in broker.state().trouble
        retention.clock.step()
        for _ in range(3):
            world.advance(6 * DAY)
            await broker.record(make_event(99))
        await _gone(layout, there)
        assert not broker.state().trouble
    verify_log(disks.logs[0], KEYS)


async def test_a_clock_that_is_put_right_again_deletes_nothing(tmp_path: Path) -> None:
    """What was announced while it was wrong is looked at anew before it goes."""
    disks, world = Disks(tmp_path), FakeWorld()
    layout, retention = LogLayout(disks.logs[0]), _retention(world)
    async with _audit(disks, config=SMALL, world=world, retention=retention) as broker:
        await _fill(broker)
        there = layout.closed_segment_numbers()
        world.step_wall(400 * DAY)
        retention.clock.step()  # somebody confirms what is wrong
        world.advance(3_601)
        await broker.record(make_event(31))
        assert retention.notice is not None
        world.step_wall(-400 * DAY)
        for day in range(14):
            world.advance(DAY)
            await broker.record(make_event(day))
        assert retention.notice is None  # else the next ones would wait for it for a year
        assert layout.closed_segment_numbers()[: len(there)] == there


async def test_followers_hear_of_what_is_acknowledged(tmp_path: Path) -> None:
    """They are told where the log begins, then of each batch, as it is in the file."""
    disks, follower = Disks(tmp_path), Follower()
    async with _audit(disks, follower=follower) as broker:
        for number in range(3):
            await broker.record(make_event(number))
    assert follower.sizes[0] == 0
    assert follower.sizes == sorted(follower.sizes)
    assert b"".join(line + b"\n" for line in follower.lines) == disks.logs[0].read_bytes()


async def test_a_log_id_that_breaks_a_note_is_refused(tmp_path: Path) -> None:
    """The log id is a line of the checkpoint: no spaces, no line ends, not too long."""
    for bad in ("", "a b", "a\nb", "a+b", "\N{LATIN SMALL LETTER E WITH ACUTE}", "x" * 82):
        with pytest.raises(ValueError, match="log id"):
            async with open_audit(AuditConfig(), KEYS, bad, Disks(tmp_path).sinks, FakeWorld()):
                pass


async def test_after_the_block_nothing_is_accepted(tmp_path: Path) -> None:
    """A request that comes too late is refused and not forgotten."""
    disks = Disks(tmp_path)
    async with _audit(disks) as broker:
        await broker.record(make_event())
        assert [node.name for node in broker.tree().walk()] == ["audit", "audit/writer"]
    with pytest.raises(UnavailableError, match="does not answer"):
        await broker.record(make_event())


async def test_a_cancelled_block_still_signs_the_end(tmp_path: Path) -> None:
    """Cancelled from outside, the log ends at once, whole and signed: nobody waits in vain."""
    disks = Disks(tmp_path)
    with trio.fail_after(DEADLINE), trio.CancelScope() as scope:
        async with _audit(disks) as audit:
            await audit.record(make_event())
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert verify_log(disks.logs[0], KEYS).size >= 3  # genesis, the event, the closing checkpoint
