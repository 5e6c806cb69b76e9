"""Checkpoints of a log that is being written, for a witness that knows what it cosigned alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors import SystemWorld
from protocols.link.codec import encode_payload
from protocols.link.signing import sha256
from protocols.merkle import verify_consistency
from tests.unit.vault.audit.ends import Ends
from vault.audit.appender import Appender
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.checkpoint import verify_checkpoint
from vault.audit.feed import POLL_INTERVAL
from vault.audit.layout import LogLayout
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, make_event, make_keys, make_pending_record
from vault.audit.writer import AuditConfig
from vault.control_link.audit_follower import AuditLogFollower

KEYS = make_keys()
EMPTY = bytes(32)


class Witness:
    """It cosigns what has grown from what it cosigned before."""

    def __init__(self) -> None:
        self.size, self.root = 0, EMPTY

    async def see(self, view: AuditLogFollower) -> bool:
        """Whether there was something new; fails when it does not follow."""
        told = await view.checkpoint(self.size, self.root)
        if told is None:
            return False
        assert encode_payload(told)
        head = verify_checkpoint(told.note, KEYS, KEYS.public)
        assert (head.size, head.root) == (told.size, told.root)
        assert told.old_size == self.size
        if self.size:
            assert verify_consistency(
                sha256,
                old=self.size,
                old_root=self.root,
                new=told.size,
                new_root=told.root,
                path=told.proof,
            )
        self.size, self.root = told.size, told.root
        return True


@asynccontextmanager
async def logging(
    log: Path, view: AuditLogFollower, rotation: int = 10**8
) -> AsyncIterator[AuditBroker]:
    """A log that the view follows."""
    config = AuditConfig(rotation_bytes=rotation)
    async with open_audit(
        config, KEYS, LOG_ID, [FileSink(log)], SystemWorld(), followers=[view]
    ) as broker:
        yield broker


async def write(broker: AuditBroker, count: int) -> None:
    """So many records."""
    for number in range(count):
        await broker.record(make_event(number))


async def test_each_checkpoint_proves_its_growth(tmp_path: Path) -> None:
    """From one cosigned state to the next; when nothing is new, nothing is said."""
    log = tmp_path / "audit.log"
    view, witness = AuditLogFollower(LogLayout(log), SystemWorld()), Witness()
    async with logging(log, view) as broker:
        for count in (1, 2, 5, 1, 9):
            await write(broker, count)
            assert await witness.see(view)
            assert not await witness.see(view)
        assert witness.size == view.size == broker.state().size


async def test_a_start_goes_on_from_what_was_cosigned(tmp_path: Path) -> None:
    """Another process: the lines in between are read from the files, over rotations too."""
    log = tmp_path / "audit.log"
    witness = Witness()
    for start in range(3):
        view = AuditLogFollower(LogLayout(log), SystemWorld())
        async with logging(log, view, rotation=2_000) as broker:
            await write(broker, 3)
            if start != 1:
                assert await witness.see(view)
            await write(broker, 7)
    assert len(LogLayout(log).closed_segment_numbers()) > 2
    assert witness.size > 10


async def test_a_state_that_is_not_cosigned_does_no_harm(tmp_path: Path) -> None:
    """Told several times while the control plane is away, proven from the old one each time."""
    log = tmp_path / "audit.log"
    view, witness = AuditLogFollower(LogLayout(log), SystemWorld()), Witness()
    async with logging(log, view) as broker:
        await write(broker, 3)
        assert await witness.see(view)
        for _ in range(5):
            await write(broker, 2)
            assert await view.checkpoint(witness.size, witness.root) is not None
        assert await witness.see(view)


@pytest.mark.parametrize("beyond", [0, 100])
async def test_a_log_that_is_another_is_told_without_a_proof(tmp_path: Path, beyond: int) -> None:
    """A fork or an older log: the witness sees it, because there is no way to prove it."""
    log = tmp_path / "audit.log"
    view = AuditLogFollower(LogLayout(log), SystemWorld())
    async with logging(log, view) as broker:
        await write(broker, 8)
        told = await view.checkpoint(3 + beyond, b"x" * 32)
        assert told is not None
        assert (told.old_size, told.proof) == (3 + beyond, ())


async def test_records_that_come_while_the_log_is_read_are_not_missed(tmp_path: Path) -> None:
    """They are fed once the reading is done."""
    log = tmp_path / "audit.log"
    view, witness = AuditLogFollower(LogLayout(log), SystemWorld()), Witness()
    async with logging(log, view) as broker:
        await write(broker, 5)
        assert await witness.see(view)
        await write(broker, 5)
    view = AuditLogFollower(LogLayout(log), SystemWorld())
    async with logging(log, view) as broker:
        await write(broker, 1)
        slices = view._slices

        async def slow(reading):  # type: ignore[no-untyped-def]  # as it is
            found = await slices(reading)
            await write(broker, 4)
            return found

        view._slices = slow  # type: ignore[method-assign]  # it takes its time
        assert await witness.see(view)
        assert witness.size == view.size


async def test_a_log_that_cannot_be_read_proves_nothing(tmp_path: Path) -> None:
    """It is told as it is, and the agent goes on."""
    log = tmp_path / "audit.log"
    view = AuditLogFollower(LogLayout(tmp_path / "elsewhere" / "audit.log"), SystemWorld())
    async with logging(log, view) as broker:
        await write(broker, 4)
        told = await view.checkpoint(2, EMPTY)
        assert told is not None
        assert told.proof == ()


async def test_what_other_processes_write(tmp_path: Path) -> None:
    """Is in the proofs as well; its lines are read once somebody cosigns, and not before."""
    log = tmp_path / "audit.log"
    world, ends = SystemWorld(), Ends(log)
    view, witness = AuditLogFollower(LogLayout(log), world), Witness()
    async with open_audit(
        AuditConfig(), KEYS, LOG_ID, [FileSink(log)], world, followers=[view], tail=ends.view()
    ) as broker:
        sink = FileSink(log, reserve_bytes=0)
        other = Appender(ends.view(), sink, KEYS, LOG_ID, world, rotation_bytes=10**8)
        assert not view.wants_lines()
        for count in (1, 2, 5):
            await write(broker, count)
            for number in range(3):
                assert await other.append([make_pending_record(number)])
            while view.size < broker.state().size:
                await world.sleep(POLL_INTERVAL)
            assert await witness.see(view)
            assert not await witness.see(view)
            assert view.wants_lines()
        assert witness.size == broker.state().size
        await other.aclose()
