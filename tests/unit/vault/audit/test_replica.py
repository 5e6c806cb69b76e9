"""A copy on its way: what is offered is written in order, once the sink takes it."""

from pathlib import Path

import trio
import trio.testing

from actors.testing import FakeWorld
from vault.audit.batch import Batch, BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.record import RetentionBody
from vault.audit.recovery import RecoveredLog
from vault.audit.replica import MAX_BACKLOG, RETRY_INTERVAL, Replica
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record
from vault.crypto.digest import sha256

KEYS = make_keys()


class Sink:
    """A sink that keeps sizes, while `error` is None."""

    name = "sink"
    layout = LogLayout(Path("audit.log"))

    def __init__(self) -> None:
        self.on_reserve = False
        self.error: OSError | None = None
        self.written: list[int] = []
        self.tended: list[int] = []
        self.closed = False

    def load(self, _keys: AuditKeys, _vault_id: str) -> RecoveredLog:
        """Not asked for here."""
        raise AssertionError

    def catch_up_from(self, _ahead: LogLayout) -> None:
        """Not asked for here."""
        raise AssertionError

    def write(self, batches: tuple[Batch, ...]) -> None:
        """Take all, or raise."""
        if self.error:
            raise self.error
        self.written += [batch.size for batch in batches]

    def maintain(self, batch: Batch) -> None:
        """Remember it."""
        self.tended.append(batch.size)

    def reclaim_reserve(self) -> None:
        """There is room."""
        self.on_reserve = False

    def expired_segments(self, _before: int) -> RetentionBody | None:
        """Nothing."""
        return None

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def _ledger() -> BatchComposer:
    position = LogPosition(Chain(sha256), 0, 0, 0, is_closed=True, checkpoint=0)
    return BatchComposer(KEYS, LOG_ID, position, rotation_bytes=2**30)


async def test_batches_are_written_in_order_and_the_sink_is_closed_at_the_end() -> None:
    """Offered, written, known to be durable; `end` lets what is offered be written first."""
    sink, ledger, changes = Sink(), _ledger(), [0]
    replica = Replica(sink, FakeWorld(), 0, lambda: changes.append(replica.durable))
    batches = [ledger.compose([make_pending_record()], NOW) for _ in range(5)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replica.run)
        for batch in batches:
            replica.submit(batch)
        replica.finish()
        await replica.ended.wait()
    assert sink.written == [batch.size for batch in batches]
    assert replica.durable == ledger.size == changes[-1]
    assert replica.idle
    assert sink.closed


async def test_a_failing_sink_is_tried_again_from_where_it_was() -> None:
    """Errors are shown; what was offered meanwhile is kept and written in order."""
    sink, ledger = Sink(), _ledger()
    replica = Replica(sink, FakeWorld(), 0, lambda: None)
    sink.error = OSError(5, "broken")
    batches = [ledger.compose([make_pending_record()], NOW) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replica.run)
        for batch in batches:
            replica.submit(batch)
            await trio.testing.wait_all_tasks_blocked()
            assert (replica.durable, replica.error) == (0, "OSError: broken")
            assert replica.idle
        sink.error = None
        replica.retry()
        await trio.testing.wait_all_tasks_blocked()
        assert sink.written == [batch.size for batch in batches]
        assert replica.error == ""
        replica.finish()


async def test_a_backlog_is_bounded() -> None:
    """A sink that is too far behind is given up, and takes nothing that would leave a gap."""
    sink, ledger = Sink(), _ledger()
    replica = Replica(sink, FakeWorld(), 0, lambda: None)
    sink.error = OSError(5, "broken")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replica.run)
        for _ in range(MAX_BACKLOG + 1):
            assert not replica.behind
            replica.submit(ledger.compose([make_pending_record()], NOW))
        sink.error = None
        replica.submit(ledger.compose([make_pending_record()], NOW))
        replica.retry()
        await trio.testing.wait_all_tasks_blocked()
        assert replica.behind
        assert (sink.written, replica.durable) == ([], 0)
        replica.finish()


async def test_tending_comes_after_the_acknowledgement() -> None:
    """Old segments are seen to once a batch is durable, not before."""
    sink, ledger, seen = Sink(), _ledger(), list[int]()
    replica = Replica(sink, FakeWorld(), 0, lambda: seen.append(len(sink.tended)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replica.run)
        plain = ledger.compose([make_pending_record()], NOW)
        replica.submit(plain)
        await trio.testing.wait_all_tasks_blocked()
        assert sink.tended == []
        expiring = ledger.compose([make_pending_record()], NOW, expire=1)
        replica.submit(expiring)
        await trio.testing.wait_all_tasks_blocked()
        assert sink.tended == [expiring.size]
        assert 0 in seen[2:]
        replica.finish()


async def test_a_sink_in_trouble_is_tried_again_by_itself() -> None:
    """What nobody may ask for any more, or nobody happens to ask for, does not stay broken."""
    sink, ledger, world = Sink(), _ledger(), FakeWorld()
    replica = Replica(sink, world, 0, lambda: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replica.run)
        sink.error = OSError(28, "full")
        sink.on_reserve = True
        batch = ledger.compose([make_pending_record()], NOW)
        replica.submit(batch)
        await trio.testing.wait_all_tasks_blocked()
        assert (sink.on_reserve, replica.durable) == (True, 0)
        sink.error = None
        world.advance(RETRY_INTERVAL)
        await trio.testing.wait_all_tasks_blocked()
        assert (sink.on_reserve, replica.durable, replica.error) == (False, batch.size, "")
        sink.on_reserve = True
        world.advance(RETRY_INTERVAL)
        await trio.testing.wait_all_tasks_blocked()
        assert not sink.on_reserve
        replica.finish()
