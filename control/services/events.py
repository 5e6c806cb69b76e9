"""What changed, told inside the process: locks, revocations, wanted policies, alerts, presence.

A subscriber that does not keep up loses the oldest and is told that it lost some: it then has to
look at the store itself. Publishing never waits.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import trio
from msgspec import Struct

QUEUED: Final = 20_000  # events of one subscriber: one policy for each of 10,000 agents, twice


class Topic(StrEnum):
    """What an event is about."""

    LIFE = "life"
    POLICY = "policy"
    ALERT = "alert"
    PRESENCE = "presence"
    OUTBOX = "outbox"
    TRAIL = "trail"


class Event(Struct, frozen=True):
    """`subject`: the new life or presence, a bundle's version, an alert's or a message's id."""

    topic: Topic
    org: str
    vault: str
    subject: str | int


class Subscription:
    """A bounded queue of events."""

    def __init__(self, topics: frozenset[Topic], bound: int) -> None:
        self._topics = topics
        self._queue: deque[Event] = deque(maxlen=bound)
        self._arrived = trio.Event()
        self._lost = 0

    def offer(self, event: Event) -> None:
        """Queue it if it is of interest."""
        if event.topic not in self._topics:
            return
        if len(self._queue) == self._queue.maxlen:
            self._lost += 1
        self._queue.append(event)
        self._arrived.set()

    async def take(self) -> tuple[list[Event], int]:
        """All events since the last call, at least one, and how many were lost before them."""
        while not self._queue:
            self._arrived = trio.Event()
            await self._arrived.wait()
        events, lost = list(self._queue), self._lost
        self._queue.clear()
        self._lost = 0
        return events, lost


class Bus:
    """One process' events."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    def publish(self, *events: Event) -> None:
        """Tell everybody; only after the change is durable."""
        for event in events:
            for subscription in self._subscriptions:
                subscription.offer(event)

    @contextmanager
    def subscribed(self, *topics: Topic, bound: int = QUEUED) -> Iterator[Subscription]:
        """A subscription to these topics for the length of the block."""
        subscription = Subscription(frozenset(topics), bound)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
