"""The feed: followers hear of every record once, in the log's order, whoever wrote it."""

from pathlib import Path

import pytest
import trio

from actors.testing import FakeWorld
from tests.unit.vault.audit.ends import Ends
from vault.audit.appender import Appender
from vault.audit.batch import Batch
from vault.audit.broker import open_audit
from vault.audit.checkpoint import parse_unverified_head
from vault.audit.feed import POLL_INTERVAL
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, make_event, make_keys, make_pending_record
from vault.audit.writer import AuditConfig

KEYS = make_keys()


class Reader:
    """A follower that looks at lines, or does not."""

    def __init__(self, *, reads: bool) -> None:
        self.batches: list[Batch] = []
        self.begun = 0
        self._reads = reads

    def on_open(self, _size: int) -> None:
        """The start."""
        self.begun += 1

    def on_batch(self, batch: Batch) -> None:
        """A batch."""
        self.batches.append(batch)

    def wants_lines(self) -> bool:
        """As it was made."""
        return self._reads

    def lines(self) -> list[bytes]:
        """All that it was told."""
        return [line for batch in self.batches for line in batch.lines()]


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("rotation", [2**30, 4000])
async def test_all_in_one_order(tmp_path: Path, rotation: int, *, reads: bool) -> None:
    """What this process and others wrote by turns; each note is the head of just that size.

    Who reads lines has each once; who does not only knows how far the log goes, at once.
    """
    log, world, reader = tmp_path / "audit.log", FakeWorld(), Reader(reads=reads)
    ends = Ends(log)
    sink = FileSink(log, reserve_bytes=0)
    config = AuditConfig(rotation_bytes=rotation)
    async with open_audit(
        config, KEYS, LOG_ID, [sink], world, followers=[reader], tail=ends.view()
    ) as owner:
        other = Appender(
            ends.view(),
            FileSink(log, reserve_bytes=0),
            KEYS,
            LOG_ID,
            world,
            rotation_bytes=rotation,
        )
        await owner.record(make_event(0))
        for number in range(1, 40):
            if number % 5 == 0 or not await other.append([make_pending_record(number)]):
                await owner.record(make_event(number))
                assert reads or reader.batches[-1].size == owner.state().size
            if number % 7 == 0:
                world.advance(POLL_INTERVAL)
                await trio.testing.wait_all_tasks_blocked()
                assert reader.batches[-1].size == owner.state().size
        await other.aclose()
    at = 0
    for batch in reader.batches:
        assert batch.first == at if reads else batch.size > at
        assert batch.signer == KEYS.public
        assert not batch.note or parse_unverified_head(batch.note).size == batch.size
        assert len(batch.lines()) in {0, batch.size - batch.first}
        at = batch.size
    written = [
        line for path in ends.layout.segment_files() for line in path.read_bytes().split(b"\n")[:-1]
    ]
    assert at == len(written)
    assert reader.batches[-1].note
    if reads:
        assert reader.lines() == written


async def test_a_log_that_cannot_be_read_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Followers lag, which is told once and shown; and they catch up."""
    log, world, reader = tmp_path / "audit.log", FakeWorld(), Reader(reads=True)
    ends = Ends(log)
    sink = FileSink(log, reserve_bytes=0)
    async with open_audit(
        AuditConfig(), KEYS, LOG_ID, [sink], world, followers=[reader], tail=ends.view()
    ) as owner:
        other = Appender(
            ends.view(), FileSink(log, reserve_bytes=0), KEYS, LOG_ID, world, rotation_bytes=2**30
        )
        await owner.record(make_event(0))
        assert await other.append([make_pending_record(1)])
        log.rename(tmp_path / "aside")
        for _ in range(2):
            world.advance(POLL_INTERVAL)
            await trio.testing.wait_all_tasks_blocked()
        assert "followers lag" in owner.state().trouble
        assert caplog.text.count("cannot be read back") == 1
        assert reader.batches[-1].size < owner.state().size
        (tmp_path / "aside").rename(log)
        world.advance(POLL_INTERVAL)
        await trio.testing.wait_all_tasks_blocked()
        assert owner.state().trouble == ""
        assert reader.batches[-1].size == owner.state().size
        await other.aclose()


async def test_a_log_that_was_opened_anew(tmp_path: Path) -> None:
    """Because somebody died there: what was on record before, and what he left, is told as well."""
    log, world, reader = tmp_path / "audit.log", FakeWorld(), Reader(reads=True)
    ends = Ends(log)
    sink = FileSink(log, reserve_bytes=0)
    async with open_audit(
        AuditConfig(), KEYS, LOG_ID, [sink], world, followers=[reader], tail=ends.view()
    ) as owner:
        other = Appender(
            ends.view(), FileSink(log, reserve_bytes=0), KEYS, LOG_ID, world, rotation_bytes=2**30
        )
        await owner.record(make_event(0))
        assert await other.append([make_pending_record(1)])
        ends.view().begin_write()
        await owner.record(make_event(2))
        await other.aclose()
    assert reader.begun == 1
    assert reader.lines() == log.read_bytes().split(b"\n")[:-1]


async def test_what_retention_took(tmp_path: Path) -> None:
    """Is a gap for who had not read it yet, and he goes on behind it."""
    log, world, reader = tmp_path / "audit.log", FakeWorld(), Reader(reads=True)
    ends = Ends(log)
    sink = FileSink(log, reserve_bytes=0)
    config = AuditConfig(rotation_bytes=2000)
    async with open_audit(
        config, KEYS, LOG_ID, [sink], world, followers=[reader], tail=ends.view()
    ) as owner:
        other = Appender(
            ends.view(), FileSink(log, reserve_bytes=0), KEYS, LOG_ID, world, rotation_bytes=2000
        )
        await owner.record(make_event(0))
        for number in range(1, 20):
            if not await other.append([make_pending_record(number)]):
                await owner.record(make_event(number))
        for closed in ends.layout.closed_segment_numbers():
            ends.layout.closed_segment(closed).unlink()
        world.advance(POLL_INTERVAL)
        await trio.testing.wait_all_tasks_blocked()
        assert owner.state().trouble == ""
        assert reader.batches[-1].size == owner.state().size
        await other.aclose()
    kept = log.read_bytes().split(b"\n")[:-1]
    assert reader.lines()[-len(kept) :] == kept
