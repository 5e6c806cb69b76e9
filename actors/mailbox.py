"""The bounded queue in front of one actor.

One consumer, any number of senders, all in one Trio run. A memory channel and a task per call would
cost more than the work of most messages; here a sender adds to a queue and wakes one parked task.

The queue outlives the actor's incarnations: what is in it at a crash is served by the next one.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final, NoReturn

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from actors.errors import ActorStopped, CallTimeout, MailboxFull
from actors.reply import NEVER, Envelope, copy_error

QUIET: Final = 4
"""Turns of the event loop in which nothing comes, after which no message is on its way: what has
arrived at a socket is a record after three or four (decision 4)."""
SLOW: Final = 10
"""Holds that a batch took, after which the next one waits for those whom it has answered, too: a
hold is a tenth of it, and without them all senders form two halves that take turns."""


class Overflow(Enum):
    """What happens to a message for which there is no room."""

    WAIT = "wait"
    """The sender waits for room, in order of arrival; `…_nowait` raises `MailboxFull`."""
    REFUSE = "refuse"
    """The sender gets `MailboxFull`."""
    DROP_OLDEST = "drop_oldest"
    """The oldest queued message makes room; its caller gets `MailboxFull`."""


class _Serving(Enum):
    RUN = "run"
    DRAIN = "drain"
    PAUSE = "pause"


class Mailbox:
    """Bounded, in order, counted. `bound` is of queued messages; those in hand are extra."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_begun",
        "_consumer",
        "_in_hand",
        "_open",
        "_queue",
        "_serving",
        "_waiting",
        "bound",
        "dropped",
        "expired",
        "lost",
        "overflow",
        "owner",
        "refused",
    )

    def __init__(self, owner: str, bound: int, overflow: Overflow) -> None:
        if bound < 1:
            raise ValueError(f"{owner}: a mailbox holds at least one message, not {bound}")
        self.owner = owner
        self.bound = bound
        self.overflow = overflow
        self.dropped = self.refused = self.expired = self.lost = 0
        # Ordered and keyed by identity: a thousand calls cancelled at once leave in O(1) each.
        self._queue: OrderedDict[Envelope, None] = OrderedDict()
        self._waiting: OrderedDict[Envelope, None] = OrderedDict()
        self._in_hand: list[Envelope] = []
        self._begun = NEVER  # when what is in hand was taken
        self._consumer: Task | None = None
        self._serving = _Serving.RUN
        self._open = True
        self._alarm: trio.CancelScope | None = None
        self._alarm_at = NEVER

    @property
    def depth(self) -> int:
        """Messages queued, without those in hand."""
        return len(self._queue)

    @property
    def waiting(self) -> int:
        """Senders that wait for room."""
        return len(self._waiting)

    # Senders.

    def post(self, letter: Envelope, *, may_wait: bool) -> bool:
        """Queue the letter; False if it has to wait for room first.

        Raises `ActorStopped` when the mailbox is closed and `MailboxFull` when it is refused.
        """
        if not self._open:
            raise ActorStopped(f"{self.owner} is stopped")
        if len(self._queue) >= self.bound:
            if self.overflow is Overflow.DROP_OLDEST:
                self._drop_oldest()
            elif self.overflow is Overflow.WAIT and may_wait:
                self._waiting[letter] = None
                return False
            else:
                self.refused += 1
                raise MailboxFull(f"{self.owner}: {self.bound} messages are queued already")
        self._queue[letter] = None
        self._wake_consumer()
        return True

    async def wait_admitted(self, letter: Envelope) -> None:
        """Wait until a letter that `post` could not queue is queued; cancellation withdraws it."""
        letter.task = current_task()

        def abort(_: RaiseCancelT) -> Abort:
            letter.task = None
            self.withdraw(letter)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)
        if letter.error is not None:
            raise letter.error

    def withdraw(self, letter: Envelope) -> bool:
        """Take a letter back that is not yet begun; False if it is in hand or done."""
        if letter in self._queue:
            del self._queue[letter]
            self._admit()
            return True
        if letter in self._waiting:
            del self._waiting[letter]
            return True
        return False

    # Deadlines: one timer a mailbox instead of one cancel scope a call.

    def watch_deadline(self, expires: float) -> None:
        """Have `run_deadlines` look for expired letters at this Trio time."""
        if expires < self._alarm_at:
            self._alarm_at = expires
            if self._alarm is not None:
                self._alarm.deadline = expires

    async def run_deadlines(self) -> NoReturn:
        """Fail every call whose deadline passes; runs as long as the mailbox is in use.

        Sleeps until the nearest deadline that it knew of when it last looked. Calls that are
        answered in time cost it nothing, so under load it wakes about once a deadline's length.
        """
        while True:
            with trio.CancelScope(deadline=self._alarm_at) as self._alarm:
                await trio.sleep_forever()
            self._alarm = None
            self._alarm_at = NEVER
            self._expire(trio.current_time())

    def _expire(self, now: float) -> None:
        nearest = NEVER
        for letter in self._pending():
            if letter.expires > now:
                nearest = min(nearest, letter.expires)
                continue
            letter.expires = NEVER
            self.expired += 1
            self.withdraw(letter)
            letter.fail(CallTimeout(f"{self.owner}: no reply within the deadline"))
        self.watch_deadline(nearest)

    def _pending(self) -> list[Envelope]:
        return [*self._in_hand, *self._queue, *self._waiting]

    # The consumer.

    async def receive(self, limit: int, hold: float = 0.0) -> list[Envelope]:
        """Everything queued, oldest first, at most `limit`; empty when it is time to stop.

        Those that are on their way are let come, for up to `hold` seconds: they are `QUIET` turns
        of the event loop behind another at most. The letters are in hand until the next `receive`.
        If that took long, those whom it has answered are on their way, too. Always a checkpoint.
        """
        ended = trio.current_time() if hold else NEVER
        slow = ended - self._begun > SLOW * hold
        expected = len(self._in_hand) + len(self._queue) if slow else 0
        self._in_hand = []
        if self._queue:
            # Senders and siblings get their turn even if this mailbox never runs dry.
            await trio.lowlevel.checkpoint()
        await self._wait_queued()
        if hold and self._serving is _Serving.RUN:
            most, until = min(limit, self.bound), trio.current_time() + hold
            if len(self._queue) < min(expected, most):
                await self._wait_for_count(min(expected, most), min(until, ended + hold))
            await self._gather(most, until)
            await self._wait_queued()  # what had come may have been withdrawn
        if self._serving is _Serving.PAUSE:
            return []
        queue = self._queue
        if len(queue) <= limit:
            self._in_hand = list(queue)
            queue.clear()
        else:
            self._in_hand = [queue.popitem(last=False)[0] for _ in range(limit)]
        if self._waiting:
            self._admit()
        if hold:
            self._begun = trio.current_time()
        return self._in_hand

    async def _wait_for_count(self, expected: int, until: float) -> None:
        with trio.move_on_at(until):
            await self._wait_queued(expected)

    async def _gather(self, most: int, until: float) -> None:
        quiet = 0
        while quiet < QUIET and len(self._queue) < most and trio.current_time() < until:
            before = len(self._queue)
            await trio.lowlevel.checkpoint()
            quiet = 0 if len(self._queue) > before else quiet + 1

    async def _wait_queued(self, count: int = 1) -> None:
        while len(self._queue) < count and self._serving is _Serving.RUN:
            self._consumer = current_task()
            await wait_task_rescheduled(self._abort_take)

    def fail_current(self, error: Exception) -> None:
        """Fail each letter in hand with its own copy of `error`; they are not tried again."""
        failed, self._in_hand = self._in_hand, []
        for letter in failed:
            letter.fail(copy_error(error))

    # The owner's life.

    def run(self) -> None:
        """A new incarnation is about to serve."""
        self._open = True
        self._serving = _Serving.RUN

    def pause(self) -> None:
        """Have `receive` return empty at once; what is queued stays for the next incarnation."""
        self._serving = _Serving.PAUSE
        self._wake_consumer()

    def drain(self) -> None:
        """Accept nothing more; have `receive` return what is queued, then empty."""
        self._serving = _Serving.DRAIN
        self._shut()
        self._wake_consumer()

    def close(self) -> None:
        """Accept nothing more and fail everything that is not in hand with `ActorStopped`."""
        self._shut()
        while self._queue:
            letter, _ = self._queue.popitem(last=False)
            self.lost += 1
            letter.fail(self._stopped())

    def _shut(self) -> None:
        self._open = False
        while self._waiting:
            letter, _ = self._waiting.popitem(last=False)
            letter.fail(self._stopped())

    def _stopped(self) -> ActorStopped:
        return ActorStopped(f"{self.owner} stopped before it served the message")

    def _drop_oldest(self) -> None:
        letter, _ = self._queue.popitem(last=False)
        self.dropped += 1
        letter.fail(MailboxFull(f"{self.owner}: dropped for a newer message"))

    def _admit(self) -> None:
        while self._waiting and len(self._queue) < self.bound:
            letter, _ = self._waiting.popitem(last=False)
            self._queue[letter] = None
            letter.on_admitted()

    def _wake_consumer(self) -> None:
        if self._consumer is not None:
            task, self._consumer = self._consumer, None
            reschedule(task)

    def _abort_take(self, _: RaiseCancelT) -> Abort:
        self._consumer = None
        return Abort.SUCCEEDED
