"""Events inside one process: locks, revocations, wanted policies, alerts, presence.

A subscriber that is too slow loses the oldest events and learns that it lost some: it then reads
the store. Publishing never waits. Where several processes share the work, each event is delivered
in the others, too (`control.cluster`), or their subscribers learn that they lost some.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import trio
from msgspec import Struct

MAX_QUEUED_EVENTS: Final = (
    20_000  # events of one subscriber: one policy for each of 10,000 agents, twice
)


class Topic(StrEnum):
    """The topic of an event."""

    LIFE = "life"
    POLICY = "policy"
    ALERT = "alert"
    PRESENCE = "presence"
    HEALTH = "health"
    OUTBOX = "outbox"
    TRAIL = "trail"
    OWNER = "owner"
    REPLAY = "replay"
    BACKUP = "backup"
    ROTATION = "rotation"


class Event(Struct, frozen=True):
    """`subject`: the new life, presence or health, a bundle's version, an alert's or message's id.

    Of a life also `replaced` (`control.ca.revocation`): a connection is to end, but one by a
    certificate of `generation` or a later one. 0, as of a process that is older: every one.
    Of the audit log: the operation; `vault` is then its target, whatever that names.
    Of a replay: its id; the agent is to be asked.
    Of a backup: the state that the agent reports.
    Of an owner: the epoch of the connection that counts from now on.
    """

    topic: Topic
    org: str
    vault: str
    subject: str | int
    generation: int = 0


class EventSubscription:
    """A bounded queue of events."""

    def __init__(self, topics: frozenset[Topic], bound: int) -> None:
        self._topics = topics
        self._queue: deque[Event] = deque(maxlen=bound)
        self._arrived = trio.Event()
        self._lost = 0

    def enqueue(self, event: Event) -> None:
        """Add the event if its topic is subscribed."""
        if event.topic not in self._topics:
            return
        if len(self._queue) == self._queue.maxlen:
            self._lost += 1
        self._queue.append(event)
        self._arrived.set()

    def mark_lost(self) -> None:
        """Report that events may have been lost."""
        self._lost += 1
        self._arrived.set()

    async def receive(self) -> tuple[list[Event], int]:
        """All events since the last call, and how many were lost before them; waits for either."""
        while not (self._queue or self._lost):
            self._arrived = trio.Event()
            await self._arrived.wait()
        events, lost = list(self._queue), self._lost
        self._queue.clear()
        self._lost = 0
        return events, lost


class EventBus:
    """The events of one process."""

    def __init__(self) -> None:
        self._subscriptions: list[EventSubscription] = []
        self.forward: Callable[[tuple[Event, ...]], None] = _no_forward
        """Who carries what is published here to other processes; must not wait."""
        self.is_connected: Callable[[], bool] = _always_connected
        """Whether what other processes publish is delivered here, at this moment."""

    def publish(self, *events: Event) -> None:
        """Deliver to every subscriber; call it only after the change is durable."""
        self.publish_locally(*events)
        if events:
            self.forward(events)

    def mark_all_lost(self) -> None:
        """Report to every subscriber here that events of other processes may have been lost."""
        for subscription in self._subscriptions:
            subscription.mark_lost()

    def publish_locally(self, *events: Event) -> None:
        """Deliver to the subscribers of this process."""
        for event in events:
            for subscription in self._subscriptions:
                subscription.enqueue(event)

    @contextmanager
    def subscribe(
        self, *topics: Topic, bound: int = MAX_QUEUED_EVENTS
    ) -> Iterator[EventSubscription]:
        """A subscription to these topics for the length of the block."""
        subscription = EventSubscription(frozenset(topics), bound)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)


def _always_connected() -> bool:
    """A single process has no other to be connected to."""
    return True


def _no_forward(_: tuple[Event, ...]) -> None:
    """A single process forwards nothing."""
