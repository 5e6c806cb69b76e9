"""The worker's side of auditing: its records go to the one log, when it is this process's turn.

One frame of them is under way at a time, with all that was queued when it left: group commit. What
a frame costs (a turn of a thread, the lock, a signature, a sync) does not depend on what is in it.
So it does not leave with the first draft: every request that has arrived by now is first brought
to its own record, which costs nothing but a turn of the event loop; and where the last frame had
company, this one waits a moment for as many. A client alone never waits, and nobody for those whose
intent was in the last frame: they are with the leader now.

What only the log's owner may do (`vault.audit.appender`) goes to the leader, over the lane. So does
the end of what was begun, where this process could not write it: it may be on record twice then.
"""

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from actors import World
from actors.latch import Latch
from protocols.errors import locate
from vault.audit.appender import Appender
from vault.audit.broker import disk_full_error, needs_disk_space
from vault.audit.hashing import ValueHasher
from vault.audit.pending_record import PendingRecord, prepare_event
from vault.audit.record import AuditEvent
from vault.audit.writer import AuditConfig, audit_unavailable
from vault.errors import UnavailableError
from vault.workers.wire import Drafted, Lane, Recorded

MOST_AT_ONCE: Final = 256  # drafts of a frame, as of a batch of the writer's
MOST_TURNS: Final = 8  # of the event loop that a frame waits while each of them brings more drafts
log: Final = logging.getLogger("freehold.audit")
_UNWRITTEN: Final = "the audit log could not be written"
HOLD: Final = 0.003  # seconds at most that a frame waits for as many drafts as there were before
_LOOK_EVERY: Final = 1.0  # seconds, at who has waited too long: it costs a request no clock
_FEWEST_TURNS: Final = 2  # in the first others may have had theirs after us
_CONFIG: Final = AuditConfig()


class _Waiting:
    """One draft, whoever waits for it, and since when (looks of `AuditLane`)."""

    __slots__ = ("draft", "error", "intent", "known", "since")

    def __init__(self, draft: Drafted, since: int, *, intent: bool) -> None:
        self.draft = draft
        self.intent = intent
        self.since = since
        self.known = Latch()
        self.error: UnavailableError | None = None

    def fail(self, error: UnavailableError) -> None:
        """It is not known to be durable, for the first reason that there was."""
        self.error = self.error or error


class _Line:
    """A line before a queue that is full: who comes then waits in turn, and not for ever.

    The queue's owner admits as many as it has taken away.
    """

    def __init__(self, patience: float) -> None:
        """`patience`: seconds that somebody waits."""
        self._patience = patience
        self._waiting = trio.lowlevel.ParkingLot()

    async def has_waited(self) -> bool:
        """Wait to be admitted; False when that was not in time."""
        with trio.move_on_after(self._patience) as waiting:
            await self._waiting.park()
        return not waiting.cancelled_caught

    def admit(self, count: int) -> None:
        """There is room for so many more."""
        if self._waiting:
            self._waiting.unpark(count=count)


class AuditLane:
    """Has drafts written and waits until they are durable. `run` must run meanwhile."""

    def __init__(self, lane: Lane[Recorded]) -> None:
        self._lane = lane
        self._queue: list[_Waiting] = []
        self._line = _Line(_CONFIG.deadline)
        self._sent: list[_Waiting] = []
        self._wake = trio.Event()
        self._expected = 0  # of drafts: who was answered by the last frame, and who came meanwhile
        self._enough = trio.Event()
        self._looks = 0  # at who has waited too long
        self._appender: Appender | None = None

    @asynccontextmanager
    async def appending(self, appender: Appender) -> AsyncIterator[None]:
        """For the length of the block this process writes what it can itself."""
        self._appender = appender
        try:
            yield
        finally:
            self._appender = None
            with trio.CancelScope(shield=True):
                await appender.aclose()

    async def write(self, draft: Drafted, *, intent: bool = False) -> None:
        """Return once it is durable. Raises `UnavailableError`; then it may be durable as well.

        Of too many at once what begins something waits in turn, and is refused at its deadline;
        what is done has its end on record.
        """
        since = self._looks
        if draft.begins and len(self._queue) >= _CONFIG.queue and not await self._line.has_waited():
            raise audit_unavailable("too many records wait for the audit writer")
        waiting = _Waiting(draft, since, intent=intent)
        self._queue.append(waiting)
        self._wake.set()
        if len(self._queue) >= self._expected:
            self._enough.set()
        await waiting.known.wait()
        if waiting.error is not None:
            raise waiting.error

    async def run(self) -> None:
        """Write frames, or send them, until the lane closes. Raises `LaneClosed`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_up)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._queue:
                    await self._gather()
                    await self._exchange()

    async def _gather(self) -> None:
        if self._expected <= 1:
            await self._take_turns()
        elif len(self._queue) < min(self._expected, MOST_AT_ONCE):
            self._enough = trio.Event()
            with trio.move_on_after(HOLD):
                await self._enough.wait()

    async def _take_turns(self) -> None:
        before = 0
        for turn in range(MOST_TURNS):
            if turn >= _FEWEST_TURNS and len(self._queue) == before:
                return
            before = len(self._queue)
            await trio.lowlevel.checkpoint()

    async def _exchange(self) -> None:
        self._sent, self._queue = self._queue[:MOST_AT_ONCE], self._queue[MOST_AT_ONCE:]
        self._line.admit(len(self._sent))
        if left := await self._append():
            await self._ask(left)
        for waiting in self._sent:
            waiting.known.open()
        self._expected = sum(not one.intent for one in self._sent) + len(self._queue)
        self._sent = []

    async def _append(self) -> list[_Waiting]:
        """Write them here; returns those that the leader has to."""
        if self._appender is None:
            return self._sent
        drafts = [PendingRecord(one.draft.time, "event", one.draft.body) for one in self._sent]
        try:
            return [] if await self._appender.append(drafts) else self._sent
        except OSError as error:
            log.error("audit: a worker could not write: %s", locate(error))  # noqa: TRY400  # one line tells all
            is_full = error.errno == errno.ENOSPC
        for waiting in self._sent:
            if waiting.draft.begins:
                waiting.fail(disk_full_error() if is_full else audit_unavailable(_UNWRITTEN))
        return [waiting for waiting in self._sent if not waiting.draft.begins]

    async def _ask(self, asked: list[_Waiting]) -> None:
        """Have the leader write them."""
        await self._lane.send([waiting.draft for waiting in asked])
        try:
            answer = await self._lane.receive()
        except ValueError:
            answer = Recorded("what became of the records is not readable")
        for place in answer.refused:
            asked[place].fail(disk_full_error())
        if answer.error:
            for waiting in asked:
                waiting.fail(audit_unavailable(answer.error))

    async def _give_up(self) -> None:
        """Tell those that have waited too long; their frame stays under way, in step."""
        while True:
            await trio.sleep(_LOOK_EVERY)
            self._looks += 1
            for waiting in (*self._sent, *self._queue):
                looks = self._looks - waiting.since
                if (looks - 1) * _LOOK_EVERY >= _CONFIG.deadline and not waiting.known.is_open:
                    waiting.fail(audit_unavailable("the audit writer does not answer"))
                    waiting.known.open()


class RemoteAudit:
    """`vault.pipeline.AuditRecorder` over the lane, while the vault is open."""

    def __init__(self, lane: AuditLane, hasher: ValueHasher, world: World) -> None:
        self._lane = lane
        self._hasher = hasher
        self._world = world

    async def record(self, event: AuditEvent) -> None:
        """As `vault.audit.broker.AuditBroker.record`."""
        draft = prepare_event(event, self._world.now(), self._hasher)
        drafted = Drafted(draft.time, draft.body, needs_disk_space(event, _CONFIG.essential))
        await self._lane.write(drafted, intent=event.phase == "intent")
