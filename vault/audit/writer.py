"""The writer: the actor that owns the log and turns all that is queued into one batch."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Final

import trio
from msgspec import Struct

from actors import BatchActor, Failure, World
from protocols.instant import SECOND
from vault.audit import record
from vault.audit.batch import Batch, BatchComposer
from vault.audit.feed import LogFeed
from vault.audit.keys import AuditKeys
from vault.audit.pending_record import PendingRecord
from vault.audit.replica import DurableSink, OpenSinks, Replica, open_sinks
from vault.audit.retention import DAY as DAY
from vault.audit.retention import RetentionSchedule, RetentionStep
from vault.audit.shared_tail import SharedTail, Tail
from vault.errors import TamperedError, UnavailableError

log: Final = logging.getLogger("freehold.audit")
SWEEP_INTERVAL: Final = 3_600 * SECOND  # how often retention is looked at; it counts in days


class AuditConfig(Struct, frozen=True, kw_only=True):
    """Settings of the log. The default of rotation is the design's."""

    rotation_bytes: int = 100 * 10**6
    deadline: float = 10.0  # seconds until a request gives up on its record
    queue: int = 4096  # records that may wait for their batch; more senders wait in turn
    essential: frozenset[str] = frozenset({"sys.seal"})  # operations a full disk does not stop


@dataclass(slots=True)
class WriterState:
    """What outlives one incarnation of the writer, and what the broker looks at."""

    sinks: Sequence[DurableSink]
    feed: LogFeed
    nursery: trio.Nursery
    opened: OpenSinks | None  # by whoever made this, for the first incarnation
    replicas: list[Replica] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # sinks that could not be opened
    size: int = 0  # acknowledged records, as far as the writer knows
    retention: RetentionSchedule | None = None  # None: every segment stays
    retention_error: str = ""  # why the last look at retention failed, or did nothing
    commits: Callable[[], int] = int  # the store's count of durable commits
    tail: SharedTail | None = None  # where other processes write, too

    @property
    def acknowledged(self) -> int:
        """Records of all processes."""
        return self.size if self.tail is None else max(self.size, self.tail.size)


def audit_unavailable(why: str = "no audit sink accepts records") -> UnavailableError:
    """The error for everybody whose record is not known to be durable."""
    return UnavailableError("audit_unavailable", f"{why}; nothing is served without a record")


BATCH_WINDOW: Final = 0.002  # seconds; a batch costs a signature, two threads' turns and a sync


class Writer(BatchActor[PendingRecord | list[PendingRecord]]):
    """Composes a batch, waits until one sink has it, answers. A list is answered as one.

    A batch that no sink accepted stays pending: everybody in it was refused, and it is written
    first, unchanged, once a sink works again. Until then nothing new gets a number.

    Where other processes write as well (`SharedTail`) it takes its turn as they do. It owns the
    log: while it is in trouble nobody else writes, and what another one left broken it opens anew.
    """

    hold: ClassVar[float] = BATCH_WINDOW

    def __init__(
        self, state: WriterState, keys: AuditKeys, log_id: str, world: World, config: AuditConfig
    ) -> None:
        self._state = state
        self._keys = keys
        self._log_id = log_id
        self._world = world
        self._config = config
        self._pending: Batch | None = None
        self._changed = trio.lowlevel.ParkingLot()
        self._replicas: list[Replica] = []
        self._next_sweep = 0.0  # by `World.uptime`
        self._composer: BatchComposer
        self._note = ""  # of the last batch that was written
        self._seen = 0  # the version of the shared end that we know
        self._lost = False  # somebody left the log broken, and it could not be opened anew so far

    async def on_start(self) -> None:
        """Open the sinks; put on record what was found, and sign it.

        Raises what `open_sinks` raises. If nothing can be written, that record is left pending.
        """
        shared = self._state
        if shared.tail is not None:
            await self._acquire(shared.tail)
            shared.tail.close_to_others()
            shared.tail.release()
        opened, shared.opened = shared.opened, None
        await self._open(opened or await self._open_sinks())

    async def receive_batch(
        self, batch: Sequence[PendingRecord | list[PendingRecord]]
    ) -> Sequence[object]:
        """None for each message once it is durable, or `UnavailableError` for all."""
        async with self._write_lock() as is_ours:
            return await self._receive(batch) if is_ours else _failures(batch)

    async def _receive(
        self, batch: Sequence[PendingRecord | list[PendingRecord]]
    ) -> Sequence[object]:
        if not await self._write_pending():
            return _failures(batch)
        drafts = _pending_records(batch)
        if not drafts:
            return [None] * len(batch)
        now = self._world.now()
        is_due = self._world.uptime() >= self._next_sweep
        step = await self._plan_retention() if is_due else None
        if step is not None and step.event is not None:
            drafts.append(PendingRecord(now, "event", record.encode_body(step.event)))
        if step is not None and step.released is not None:
            drafts.append(PendingRecord(now, "retention", record.encode_body(step.released)))
            composed = self._composer.compose(drafts, now, expire=step.released.through)
        else:
            composed = self._composer.compose(drafts, now)
        if not await self._write(composed):
            return _failures(batch)
        if step is not None and self._state.retention is not None:
            self._state.retention.notice = step.notice
        return [None] * len(batch)

    async def on_stop(self) -> None:
        """Sign the end of the log, give every sink its last batch, close them.

        Nobody else writes from then on.
        """
        try:
            async with self._write_lock(leaves=False) as is_ours:
                if (
                    is_ours
                    and await self._write_pending()
                    and not self._composer.ends_with_checkpoint
                ):
                    await self._write(
                        self._composer.compose([], self._world.now(), checkpoint=True)
                    )
        finally:
            await self._finish_replicas()

    # The end, where others write there, too.

    @asynccontextmanager
    async def _write_lock(self, *, leaves: bool = True) -> AsyncIterator[bool]:
        """For the length of the block nobody else writes; False: nobody can.

        `leaves`: to others, behind it.
        """
        tail = self._state.tail
        if tail is None:
            yield True
            return
        await self._acquire(tail)
        try:
            if is_ours := await self._is_caught_up(tail):
                yield True
                self._publish_tail(tail, leaves=leaves)
        except BaseException:
            tail.close_to_others()
            raise
        finally:
            tail.release()
        if not is_ours:
            yield False

    async def _acquire(self, tail: SharedTail) -> None:
        if not tail.acquire_nowait():
            await self._world.run_sync(tail.acquire)

    async def _is_caught_up(self, tail: SharedTail) -> bool:
        """Learn what others have written; False when that cannot be found out yet."""
        if tail.is_broken or self._lost:
            return await self._reopen_broken(tail)
        if tail.is_open and tail.version != self._seen:
            self._resume(tail.load())
            self._seen = tail.version
        return True

    async def _reopen_broken(self, tail: SharedTail) -> bool:
        """Open an end that was left broken as at a start: its writer may have died there."""
        self._lost, self._pending = True, None
        tail.close_to_others()
        await self._finish_replicas()
        try:
            opened = await self._open_sinks()
        except UnavailableError as error:
            log.error("%s", error)  # noqa: TRY400  # one line tells all
            self._replicas[0].fail(error.message)
            return False
        await self._open(opened)
        self._lost = False
        return True

    def _resume(self, tail: Tail) -> None:
        self._composer.resume(tail.to_position(self._keys.digest))
        for replica in self._replicas:
            replica.resume(tail)
        self._state.size, self._note = tail.size, tail.note

    def _publish_tail(self, tail: SharedTail, *, leaves: bool) -> None:
        """Let others go on; on the reserve, and while a batch is pending, nobody does."""
        position, sink = self._composer.position, self._replicas[0].sink
        if not self._note or self._pending is not None or sink.on_reserve:
            tail.close_to_others()
            return
        tail.publish(Tail.from_position(position, sink, self._note, self._world.now()))
        self._seen = tail.version
        if not leaves:
            tail.close_to_others()

    # The log's files.

    async def _open_sinks(self) -> OpenSinks:
        return await open_sinks(self._state.sinks, self._keys, self._log_id, self._world)

    async def _open(self, opened: OpenSinks) -> None:
        shared, position = self._state, opened.recovered.position
        shared.failed = opened.failed
        self._composer = BatchComposer(
            self._keys,
            self._log_id,
            position,
            rotation_bytes=self._config.rotation_bytes,
            commits=shared.commits,
        )
        shared.size = position.chain.size
        self._replicas = shared.replicas = [
            Replica(sink, self._world, shared.size, self._changed.unpark_all)
            for sink in opened.sinks
        ]
        for replica in self._replicas:
            shared.nursery.start_soon(replica.run)
        shared.feed.start(position)
        await self._write_first_records(opened)

    async def _write_first_records(self, opened: OpenSinks) -> None:
        found, now = opened.recovered, self._world.now()
        drafts = []
        if found.adopted or found.dropped:
            body = record.encode_body(record.RepairBody(found.adopted, found.dropped))
            drafts = [PendingRecord(now, "repair", body)]
        if drafts or not self._composer.size:
            await self._write(self._composer.compose(drafts, now, checkpoint=True))

    async def _write(self, batch: Batch) -> bool:
        self._pending = batch
        for replica in self._replicas:
            replica.submit(batch)
        return await self._confirm(batch)

    async def _write_pending(self) -> bool:
        if self._pending is None:
            return True
        for replica in self._replicas:
            replica.retry()
        return await self._confirm(self._pending)

    async def _confirm(self, batch: Batch) -> bool:
        """Wait for the first sink to have the batch; False once all have given up."""
        while not any(replica.durable >= batch.size for replica in self._replicas):
            if all(replica.idle for replica in self._replicas):
                return False
            await self._changed.park()
        self._pending = None
        self._state.size, self._note = batch.size, batch.note
        self._state.feed.publish(batch, self._composer.position.length)
        return True

    async def _plan_retention(self) -> RetentionStep | None:
        """What retention wants. A log that cannot be looked at is kept, and that is shown."""
        shared, sink = self._state, self._replicas[0].sink
        self._next_sweep = self._world.uptime() + SWEEP_INTERVAL / SECOND
        if shared.retention is None:
            return None
        try:
            step = await self._world.run_sync(
                shared.retention.plan, sink.expired_segments, self._world.new_id
            )
        except (OSError, TamperedError) as error:
            shared.retention_error = f"retention: {error}"
            return None
        shared.retention_error = step.trouble
        return step

    async def _finish_replicas(self) -> None:
        for replica in self._replicas:
            replica.finish()
        for replica in self._replicas:
            await replica.ended.wait()


def _failures(batch: Sequence[object]) -> list[Failure]:
    return [Failure(audit_unavailable()) for _ in batch]


def _pending_records(batch: Sequence[PendingRecord | list[PendingRecord]]) -> list[PendingRecord]:
    drafts: list[PendingRecord] = []
    for message in batch:
        if isinstance(message, list):
            drafts += message
        else:
            drafts.append(message)
    return drafts
