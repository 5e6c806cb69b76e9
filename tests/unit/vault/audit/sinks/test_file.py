"""The file sink: whatever the disk does, what was acknowledged stays and the log stays whole."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.instant import SECOND
from vault.audit import record
from vault.audit.batch import BatchComposer, LogPosition
from vault.audit.layout import LogLayout
from vault.audit.pending_record import PendingRecord
from vault.audit.recovery import RecoveredLog
from vault.audit.sinks.file import FileSink
from vault.audit.testing import (
    LOG_ID,
    NOW,
    Fault,
    FaultyDisk,
    fail_at,
    make_keys,
    make_pending_record,
    verify_log,
)
from vault.errors import TamperedError

KEYS = make_keys()
BATCHES = 9  # with ROTATION: several segments
ROTATION = 6_000


class Run:
    """One agent's life with a log: composes, writes, remembers what was acknowledged."""

    def __init__(self, log: Path, disk: FaultyDisk | None = None, reserve: int = 0) -> None:
        self.sink = FileSink(log, disk=disk, reserve_bytes=reserve)
        self.acknowledged = 0
        self.ledger: BatchComposer

    def start(self) -> RecoveredLog:
        """Open the log; records what was found, as the writer does."""
        found = self.sink.load(KEYS, LOG_ID)
        self.ledger = BatchComposer(KEYS, LOG_ID, found.position, rotation_bytes=ROTATION)
        self.acknowledged = found.position.chain.size
        if found.adopted or found.dropped:
            body = record.encode_body(record.RepairBody(found.adopted, found.dropped))
            self.write([PendingRecord(NOW, "repair", body)], attempts=1)
        return found

    def write(self, drafts: list[PendingRecord], *, attempts: int, settle: bool = False) -> None:
        """Write one batch; raises the last attempt's error."""
        batch = self.ledger.compose(drafts, NOW + self.ledger.size * SECOND // 8, checkpoint=settle)
        for attempt in range(attempts):
            try:
                self.sink.write((batch,))
            except OSError:
                if attempt + 1 == attempts:
                    raise
            else:
                self.acknowledged = batch.size
                return

    def work(self, *, attempts: int) -> None:
        """Some batches."""
        for number in range(BATCHES):
            self.write([make_pending_record(number * 3 + i) for i in range(3)], attempts=attempts)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log will be."""
    return tmp_path / "folder" / "audit.log"


def _calls(tmp_path: Path) -> list[str]:
    """Every disk operation of a whole run, in order."""
    disk = FaultyDisk()
    run = Run(tmp_path / "dry" / "audit.log", disk)
    run.start()
    run.work(attempts=1)
    run.sink.close()
    return disk.calls


def _faults(calls: list[str]) -> list[tuple[str, Fault]]:
    faults = []
    for call, operation in enumerate(calls):
        for code in (errno.EIO, errno.ENOSPC):
            name = f"{operation} {call} {errno.errorcode[code]}"
            faults.append((name, fail_at(call, code)))
        if operation == "write":
            for taken in (0, 1, 100):
                name = f"short write {call} of {taken}"
                faults.append((name, fail_at(call, errno.ENOSPC, taken=taken)))
    return faults


def test_each_single_fault_is_survived_by_trying_again(tmp_path: Path) -> None:
    """One error at any operation, or a write cut short, and a second attempt: a whole log."""
    calls = _calls(tmp_path)
    assert {"write", "sync", "rename", "sync_folder", "open", "size"} <= set(calls)
    for number, (name, fault) in enumerate(_faults(calls)):
        log = tmp_path / str(number) / "audit.log"
        run = Run(log, FaultyDisk(fault))
        try:
            run.start()
        except OSError:
            run.start()
        run.work(attempts=2)
        run.sink.close()
        assert verify_log(log, KEYS).size == run.acknowledged == run.ledger.size, name


def test_each_single_fault_is_survived_by_a_restart(tmp_path: Path) -> None:
    """An error at any operation, then the process dies: all acknowledged records are there."""
    for number, (name, fault) in enumerate(_faults(_calls(tmp_path))):
        log = tmp_path / str(number) / "audit.log"
        before = Run(log, FaultyDisk(fault))
        try:
            before.start()
            before.work(attempts=1)
        except OSError:
            before.sink.close()
        else:
            pytest.fail(f"{name} did not strike")
        after = Run(log)
        after.start()
        assert after.acknowledged >= before.acknowledged, name
        after.write([make_pending_record(99)], attempts=1)
        after.sink.close()
        assert verify_log(log, KEYS).size == after.acknowledged, name


def test_a_lasting_fault_refuses_everything_and_loses_nothing(tmp_path: Path) -> None:
    """While the disk fails each attempt fails; afterwards the same batch is written, once."""
    log = tmp_path / "audit.log"
    broken = False

    def fault(operation: str, _number: int) -> OSError | None:
        return OSError(errno.EIO, "faulty") if broken and operation == "sync" else None

    run = Run(log, FaultyDisk(fault))
    run.start()
    run.work(attempts=1)
    batch = run.ledger.compose([make_pending_record(1)], NOW)
    broken = True
    for _ in range(5):
        with pytest.raises(OSError, match="faulty"):
            run.sink.write((batch,))
    broken = False
    run.sink.write((batch,))
    run.sink.write((batch,))
    run.sink.close()
    assert verify_log(log, KEYS).size == batch.size


def test_a_failed_sync_is_not_tried_again_on_the_same_descriptor(log: Path) -> None:
    """After a failed fsync the file is opened anew before anything else is written."""
    disk = FaultyDisk()
    run = Run(log, disk)
    run.start()
    run.write([make_pending_record()], attempts=1)
    disk.calls.clear()
    disk.fault = fail_at(2)  # size, write, sync
    with pytest.raises(OSError, match="faulty"):
        run.write([make_pending_record()], attempts=1)
    assert disk.calls[:3] == ["size", "write", "sync"]
    disk.fault = FaultyDisk().fault
    run.write([make_pending_record()], attempts=1)
    assert disk.calls[3:5] == ["open", "lock"]
    run.sink.close()


def test_a_batch_is_durable_before_the_head_moves(log: Path) -> None:
    """The order on disk is: records, sync, head; so the head never promises what is not there."""
    disk = FaultyDisk()
    run = Run(log, disk)
    run.start()
    run.write([make_pending_record()], attempts=1)
    disk.calls.clear()
    run.write([make_pending_record()], attempts=1)
    assert disk.calls == ["size", "write", "sync", "write"]
    disk.calls.clear()
    run.write([make_pending_record()], attempts=1, settle=True)
    assert disk.calls == ["size", "write", "sync", "write", "sync"]
    run.sink.close()


def _position(run: Run) -> LogPosition:
    """Where the log ends, by a second look."""
    run.sink.close()
    return run.sink.load(KEYS, LOG_ID).position


def test_the_head_covers_a_segment_before_it_is_closed(log: Path) -> None:
    """At a rotation the head is made durable first, and the new name last."""
    disk = FaultyDisk()
    run = Run(log, disk)
    run.start()
    batch = BatchComposer(KEYS, LOG_ID, _position(run), rotation_bytes=1).compose(
        [make_pending_record()], NOW
    )
    run.sink.write((batch,))
    batch = BatchComposer(KEYS, LOG_ID, _position(run), rotation_bytes=1).compose(
        [make_pending_record()], NOW
    )
    disk.calls.clear()
    run.sink.write((batch,))
    assert disk.calls[:4] == ["sync", "rename", "open", "sync_folder"]
    run.sink.close()


def test_durability_write_does_not_sync(log: Path) -> None:
    """`durability: write` leaves the disk's time to the kernel."""
    disk = FaultyDisk()
    sink = FileSink(log, durability="write", reserve_bytes=0, disk=disk)
    ledger = BatchComposer(KEYS, LOG_ID, sink.load(KEYS, LOG_ID).position, rotation_bytes=ROTATION)
    sink.write((ledger.compose([make_pending_record()], NOW),))
    disk.calls.clear()
    sink.write((ledger.compose([make_pending_record()], NOW),))
    assert disk.calls == ["size", "write", "write"]
    sink.close()


def _appended(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b"x\n")


def _cut(log: Path) -> None:
    os.truncate(log, log.stat().st_size - 1)


@pytest.mark.parametrize("change", [_appended, _cut, Path.unlink])
def test_a_log_changed_under_our_feet_is_noticed(log: Path, change: Callable[[Path], None]) -> None:
    """Nothing is written into a file that somebody else appended to, cut or removed."""
    run = Run(log)
    run.start()
    run.write([make_pending_record()], attempts=1)
    change(log)
    with pytest.raises(OSError, match=r"changed|as it was left|No such file"):
        run.write([make_pending_record()], attempts=1)
    run.sink.close()


def test_an_altered_end_is_noticed_when_the_file_is_opened_again(log: Path) -> None:
    """After an error the acknowledged end must be as it was left, byte for byte."""
    disk = FaultyDisk()
    run = Run(log, disk)
    run.start()
    run.write([make_pending_record()], attempts=1)
    disk.fault = fail_at(len(disk.calls) + 1)
    with pytest.raises(OSError, match="faulty"):
        run.write([make_pending_record()], attempts=1)
    data = bytearray(log.read_bytes())
    data[data.rfind(b"\n", 0, -1) + 30] ^= 1
    log.write_bytes(data)
    with pytest.raises(OSError, match=r"as it was left|changed"):
        run.write([make_pending_record()], attempts=1)


def test_two_agents_cannot_write_one_log(log: Path) -> None:
    """The log is locked by who writes it."""
    first = Run(log)
    first.start()
    with pytest.raises(BlockingIOError):
        Run(log).start()
    first.sink.close()
    Run(log).start()


def test_files_are_private(log: Path) -> None:
    """Whatever the umask, files are 0600 and the folder 0700."""
    old = os.umask(0)
    try:
        run = Run(log, reserve=4096)
        run.start()
        run.work(attempts=1)
        run.sink.close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    files = list(log.parent.iterdir())
    assert len(files) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """A link put in the place of the log does not get our records."""
    target = tmp_path / "target"
    target.write_bytes(b"")
    log = tmp_path / "audit.log"
    run = Run(log)
    run.start()
    log.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        run.write([make_pending_record()], attempts=1)


class FullDisk:
    """A disk that is full for everybody, but for what the reserve gives back."""

    def __init__(self, log: Path) -> None:
        self.reserve = LogLayout(log).reserve_file
        self.full = False

    def __call__(self, operation: str, _number: int) -> OSError | None:
        """The fault."""
        if self.full and operation in {"write", "allocate"} and self.reserve.exists():
            return OSError(errno.ENOSPC, "full")
        return None


def test_the_reserve_is_given_up_on_a_full_disk(log: Path) -> None:
    """A full disk costs the reserve first, and that is known; `regain` restores it."""
    full = FullDisk(log)
    run = Run(log, FaultyDisk(full), reserve=8192)
    run.start()
    assert full.reserve.stat().st_size == 8192
    states = [run.sink.on_reserve]
    full.full = True
    run.write([make_pending_record()], attempts=1)
    states.append(run.sink.on_reserve)
    assert not full.reserve.exists()
    full.full = False
    batch = run.ledger.compose([], NOW, checkpoint=True)
    run.sink.write((batch,))
    run.sink.reclaim_reserve()
    assert [*states, run.sink.on_reserve] == [False, True, False]
    assert full.reserve.stat().st_size == 8192
    run.sink.close()
    assert verify_log(log, KEYS).size == batch.size


def test_a_disk_without_room_for_the_reserve_is_on_reserve(log: Path) -> None:
    """A start on a full disk knows that it is full."""
    full = OSError(errno.ENOSPC, "full")
    disk = FaultyDisk(lambda operation, _: full if operation == "allocate" else None)
    run = Run(log, disk, reserve=8192)
    run.start()
    assert run.sink.on_reserve
    run.sink.close()


def test_old_segments_expire(log: Path) -> None:
    """`expired` names the closed segments that ended before an instant; `tend` removes them."""
    run = Run(log)
    run.start()
    run.work(attempts=1)
    numbers = run.sink.layout.closed_segment_numbers()
    assert len(numbers) > 1
    assert run.sink.expired_segments(NOW) is None
    found = run.sink.expired_segments(NOW + 1000 * SECOND)
    assert found is not None
    first = run.sink.layout.log.read_bytes().split(b"\n")[0]
    assert (found.through, found.first) == (numbers[-1], record.decode_record(first).seq)
    run.ledger = BatchComposer(KEYS, LOG_ID, _position(run), rotation_bytes=2**20)
    draft = PendingRecord(NOW, "retention", record.encode_body(found))
    batch = run.ledger.compose([draft], NOW, checkpoint=True, expire=found.through)
    run.sink.write((batch,))
    assert run.sink.layout.closed_segment_numbers() == numbers
    run.sink.maintain(batch)
    assert run.sink.layout.closed_segment_numbers() == []
    run.sink.close()
    verdict = verify_log(log, KEYS)
    assert (verdict.size, verdict.first, verdict.segments) == (batch.size, found.first, 1)
    again = Run(log)
    assert again.start().position.segment == numbers[-1] + 1
    again.sink.close()


def test_a_spoilt_header_does_not_expire(log: Path) -> None:
    """Retention removes nothing by a header that it cannot read."""
    run = Run(log)
    run.start()
    run.work(attempts=1)
    path = run.sink.layout.closed_segment(2)
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(TamperedError):
        run.sink.expired_segments(NOW + 1000 * SECOND)
    run.sink.close()
