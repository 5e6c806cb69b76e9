"""The queue's worker: notices to entries, entries to messages, messages to people.

The process that leads works it. What is sent is noted afterwards: who dies in between leaves the
message waiting, and the next one sends it again with the same id. Each channel has a task of its
own while it has something to send, so that a slow one holds up nobody else.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import trio
from cachetools import LRUCache

from actors import CircuitOpen, World
from actors.breaker import Breaker, Circuit
from control.model.conditions import CHANNEL_FAILING
from control.model.notices import MAIL, Channel, Delivery, State
from control.model.records import Alert, Severity
from control.notify.errors import FailedError, RefusedError, UndeliveredError
from control.notify.letter import Letter
from control.notify.rate import Allowance
from control.notify.sender import Sender
from control.services.alerts import Alerts
from control.services.bundling import bundle
from control.services.channels import Channels
from control.services.fanning import PIECE, fan_out
from control.services.outcomes import Attempt, delivered, undelivered
from control.services.welcome import Welcome
from control.store import channels, notices
from control.store.rows import Tx
from control.store.store import Store
from protocols.errors import TamperedError, where

GRACE: Final = 5.0  # seconds for what is being sent when the process ends
BATCH: Final = 500  # messages of one look
BUSY: Final = 64  # channels that send at once
OF_ONE: Final = 16  # of them, of one organization: its slow servers hold up no other's
REMEMBERED: Final = 10_000  # channels
THRESHOLD: Final = 5  # failures in a row
COOLDOWN: Final = 60.0  # seconds
PER_HOUR: Final = 3600  # invitations of one organization

Key = tuple[str, str]
log: Final = logging.getLogger("freehold.control.postman")


@dataclass
class Figures:
    """Since this process began; `waiting` and `dead` as of the last look."""

    sent: int = 0
    failed: int = 0
    known: int = 0
    omitted: int = 0
    tally: dict[State, int] = field(default_factory=dict)


class Seen(NamedTuple):
    """What is to be done."""

    notices: bool
    channels: list[Key]
    deliveries: list[Delivery]
    tally: dict[State, int]


@dataclass
class Route:
    """What this process remembers of a channel."""

    breaker: Breaker
    allowance: Allowance


class Postman:
    """Works while `working` is open."""

    def __init__(
        self,
        store: Store,
        *,
        channels_: Channels,
        sender: Sender,
        welcome: Welcome,
        alerts: Alerts,
        world: World,
    ) -> None:
        self._store = store
        self._channels = channels_
        self._sender = sender
        self._welcome = welcome
        self._alerts = alerts
        self._world = world
        self._nursery: trio.Nursery | None = None
        self._busy: set[Key] = set()
        self._idle = trio.Event()
        self._routes: LRUCache[Key, Route] = LRUCache(REMEMBERED)
        self.figures = Figures()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Send in the background for the length of the block."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                with trio.move_on_after(GRACE, shield=True):
                    await self.settled()
                nursery.cancel_scope.cancel()

    async def settled(self) -> None:
        """Once nothing is being sent."""
        while self._busy:
            self._idle = trio.Event()
            await self._idle.wait()

    async def tick(self) -> None:
        """Do what is due, and begin to send. Raises what the store raises."""
        now = self._world.now()
        await self._alerts.settle()
        seen = await self._store.read(partial(_look, now))
        if seen.notices:
            await self._fan_out(now)
        if seen.notices or seen.channels:
            await self._bundle(now)
            seen = await self._store.read(partial(_look, now))
        self.figures.tally = seen.tally
        self._begin(seen.deliveries)

    @property
    def open_circuits(self) -> int:
        """How many channels are not tried for a while."""
        circuits = (route.breaker.state.circuit for route in self._routes.values())
        return sum(circuit is not Circuit.CLOSED for circuit in circuits)

    async def _fan_out(self, now: int) -> None:
        count = PIECE
        while count == PIECE:
            done = await self._store.write(lambda tx: fan_out(tx, now))
            count = done.notices
            self.figures.known += done.known
            self.figures.omitted += done.omitted

    async def _bundle(self, now: int) -> None:
        for org, channel in await self._store.read(lambda tx: notices.due_channels(tx, now)):
            made = True
            while made:
                step = partial(
                    bundle, org=org, channel=channel, identifier=self._world.new_id(), now=now
                )
                made = await self._store.write(step)

    def _begin(self, due: list[Delivery]) -> None:
        if self._nursery is None:
            return
        waiting: dict[Key, list[Delivery]] = {}
        for delivery in due:  # whose first message is the oldest comes first
            waiting.setdefault((delivery.org, delivery.channel), []).append(delivery)
        for key, some in waiting.items():
            if key not in self._busy and self._has_room(key[0]):
                self._busy.add(key)
                self._nursery.start_soon(self._work, key, some)

    def _has_room(self, org: str) -> bool:
        mine = sum(busy == org for busy, _ in self._busy)
        return len(self._busy) < BUSY and mine < OF_ONE

    async def _work(self, key: Key, some: list[Delivery]) -> None:
        try:
            for delivery in some:
                if not await self._try(key, delivery):
                    break
        except Exception as error:  # noqa: BLE001  # it waits as it was: tried again, with the same id
            log.error("channel %s of %s: %s", key[1], key[0], where(error))  # noqa: TRY400  # its text could hold a secret
        finally:
            self._busy.discard(key)
            self._idle.set()

    async def _try(self, key: Key, delivery: Delivery) -> bool:
        """Whether the next one may be tried."""
        row = await self._store.read(lambda tx: channels.channel(tx, *key))
        if key[1] != MAIL and (row is None or not row.is_active):
            return False
        route = self._route(key)
        per_hour = PER_HOUR if row is None else row.terms.per_hour
        if not route.allowance.take(per_hour, self._world.monotonic()):
            return False
        try:
            with route.breaker.guard():
                remark = await self._sent(row, delivery)
        except CircuitOpen:
            return False
        except UndeliveredError as error:
            await self._failed(row, delivery, error)
            return True
        self.figures.sent += 1
        attempt = self._attempt(row, delivery)
        self._alerts.tell(*await self._store.write(lambda tx: delivered(tx, attempt, remark)))
        return True

    def _route(self, key: Key) -> Route:
        found = self._routes.get(key)
        if found is None:
            clock = self._world.monotonic
            breaker = Breaker(clock, threshold=THRESHOLD, cooldown=COOLDOWN, counts=FailedError)
            found = self._routes[key] = Route(breaker, Allowance(clock()))
        return found

    async def _sent(self, row: Channel | None, delivery: Delivery) -> str:
        """As `_send`; a fault of ours is a failure like any other, so that it has an end, too."""
        try:
            return await self._send(row, delivery)
        except UndeliveredError:
            raise
        except Exception as error:
            log.error("message %s of %s: %s", delivery.id, delivery.org, where(error))  # noqa: TRY400  # its text could hold a secret
            raise FailedError("a fault of the control plane; its log has more") from error

    async def _send(self, row: Channel | None, delivery: Delivery) -> str:
        if row is None:
            return await self._welcome.send(delivery)
        letter = Letter(
            delivery.id,
            delivery.org,
            delivery.created_at,
            delivery.notices,
            delivery.omitted,
            self._channels.url,
        )
        try:
            secrets = self._channels.secrets(row)
        except TamperedError as error:
            raise RefusedError("its stored secrets do not open: enter them anew") from error
        return await self._sender.send(row, secrets, letter)

    async def _failed(
        self, row: Channel | None, delivery: Delivery, error: UndeliveredError
    ) -> None:
        self.figures.failed += 1
        attempt = self._attempt(row, delivery)
        told = error if isinstance(error, FailedError | RefusedError) else FailedError(error.reason)
        failure = await self._store.write(lambda tx: undelivered(tx, attempt, told))
        if failure.dead:
            log.warning("message %s of %s is a dead letter: %s", delivery.id, delivery.org, told)
        if failure.raised:
            self._alerts.tell(attempt.alert)

    def _attempt(self, row: Channel | None, delivery: Delivery) -> Attempt:
        name = "" if row is None else row.name
        alert: Alert = self._alerts.make(
            delivery.org,
            "",
            CHANNEL_FAILING,
            Severity.WARNING,
            f"the channel {name} does not deliver: its dead letters can be looked at and replayed",
            subject=delivery.channel,
        )
        return Attempt(delivery, self._world.now(), self._world.jitter(), alert)


def _look(now: int, tx: Tx) -> Seen:
    return Seen(
        bool(notices.oldest(tx, 1)),
        notices.due_channels(tx, now),
        channels.due_deliveries(tx, now, BATCH),
        channels.tally(tx),
    )
