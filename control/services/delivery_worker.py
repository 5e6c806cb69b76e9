"""The worker of the notification queue: notices → entries → messages → people.

The leader runs it. An outcome is stored after the message was sent: if the process dies in between,
the next leader sends it again with the same id. Each channel with messages has a task of its own,
so that a slow one delays no other.
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
from control.model.notices import MAIL_CHANNEL, Channel, Delivery, State
from control.model.records import Alert, Severity
from control.notify.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from control.notify.message import NotificationMessage
from control.notify.sender import NotificationSender
from control.services.alerts import Alerts
from control.services.channels import Channels
from control.services.hourly_limits import hourly_bucket, set_hourly_rate
from control.services.invitation_mail import InvitationMailer
from control.services.notification_queue import (
    NOTICES_PER_TRANSACTION,
    DeliveryAttempt,
    fan_out_notices,
    make_batch,
    record_delivered,
    record_undelivered,
)
from control.store import channels, notices
from control.store.rows import Tx
from control.store.store import Store
from protocols.errors import TamperedError, locate
from protocols.token_bucket import TokenBucket

DRAIN_SECONDS: Final = 5.0  # seconds for what is being sent when the process ends
BATCH: Final = 500  # messages of one look
BUSY: Final = 64  # channels that send at once
OF_ONE: Final = 16  # of them, of one organization: its slow servers hold up no other's
MAX_CHANNEL_STATES: Final = 10_000  # channels
BREAKER_THRESHOLD: Final = 5  # failures in a row
BREAKER_COOLDOWN: Final = 60.0  # seconds
DEFAULT_PER_HOUR: Final = 3600  # invitations of one organization

ChannelKey = tuple[str, str]
log: Final = logging.getLogger("freehold.control.notifications")


@dataclass
class DeliveryCounters:
    """Totals since the start of the process; `waiting` and `dead` as of the last look."""

    sent: int = 0
    failed: int = 0
    repeated: int = 0
    omitted: int = 0
    tally: dict[State, int] = field(default_factory=dict)


class DueWork(NamedTuple):
    """What is due."""

    notices: bool
    channels: list[ChannelKey]
    deliveries: list[Delivery]
    tally: dict[State, int]


@dataclass
class ChannelState:
    """The state of a channel in this process: rate, breaker, task."""

    breaker: Breaker
    allowance: TokenBucket


class DeliveryWorker:
    """Sends messages while `running` is open."""

    def __init__(
        self,
        store: Store,
        *,
        channels_service: Channels,
        sender: NotificationSender,
        invitation_mail: InvitationMailer,
        alerts: Alerts,
        world: World,
    ) -> None:
        self._store = store
        self._channels = channels_service
        self._sender = sender
        self._welcome = invitation_mail
        self._alerts = alerts
        self._world = world
        self._nursery: trio.Nursery | None = None
        self._busy: set[ChannelKey] = set()
        self._idle = trio.Event()
        self._routes: LRUCache[ChannelKey, ChannelState] = LRUCache(MAX_CHANNEL_STATES)
        self.counters = DeliveryCounters()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the sending tasks for the length of the block."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                with trio.move_on_after(DRAIN_SECONDS, shield=True):
                    await self.wait_idle()
                nursery.cancel_scope.cancel()

    async def wait_idle(self) -> None:
        """Wait until no message is being sent."""
        while self._busy:
            self._idle = trio.Event()
            await self._idle.wait()

    async def deliver_due(self) -> None:
        """Make messages of what is due, and begin to send. Raises what the store raises."""
        now = self._world.now()
        await self._alerts.notify_settled()
        seen = await self._store.read(partial(_find_due, now))
        if seen.notices:
            await self._fan_out(now)
        if seen.notices or seen.channels:
            await self._make_batches(now)
            seen = await self._store.read(partial(_find_due, now))
        self.counters.tally = seen.tally
        self._start_sending(seen.deliveries)

    @property
    def open_breakers(self) -> int:
        """How many channels are not tried for a while."""
        circuits = (route.breaker.state.circuit for route in self._routes.values())
        return sum(circuit is not Circuit.CLOSED for circuit in circuits)

    async def _fan_out(self, now: int) -> None:
        count = NOTICES_PER_TRANSACTION
        while count == NOTICES_PER_TRANSACTION:
            done = await self._store.write(lambda tx: fan_out_notices(tx, now))
            count = done.notices
            self.counters.repeated += done.repeated
            self.counters.omitted += done.omitted

    async def _make_batches(self, now: int) -> None:
        for org, channel in await self._store.read(lambda tx: notices.due_channels(tx, now)):
            made = True
            while made:
                step = partial(
                    make_batch, org=org, channel=channel, identifier=self._world.new_id(), now=now
                )
                made = await self._store.write(step)

    def _start_sending(self, due: list[Delivery]) -> None:
        if self._nursery is None:
            return
        waiting: dict[ChannelKey, list[Delivery]] = {}
        for delivery in due:  # whose first message is the oldest comes first
            waiting.setdefault((delivery.org, delivery.channel), []).append(delivery)
        for key, some in waiting.items():
            if key not in self._busy and self._has_room(key[0]):
                self._busy.add(key)
                self._nursery.start_soon(self._send_channel, key, some)

    def _has_room(self, org: str) -> bool:
        mine = sum(busy == org for busy, _ in self._busy)
        return len(self._busy) < BUSY and mine < OF_ONE

    async def _send_channel(self, key: ChannelKey, some: list[Delivery]) -> None:
        try:
            for delivery in some:
                if not await self._may_try(key, delivery):
                    break
        except Exception as error:  # noqa: BLE001  # it waits as it was: tried again, with the same id
            log.error("channel %s of %s: %s", key[1], key[0], locate(error))  # noqa: TRY400  # its text could hold a secret
        finally:
            self._busy.discard(key)
            self._idle.set()

    async def _may_try(self, key: ChannelKey, delivery: Delivery) -> bool:
        """Whether the channel's next message may be sent now."""
        row = await self._store.read(lambda tx: channels.get_channel(tx, *key))
        if key[1] != MAIL_CHANNEL and (row is None or not row.is_active):
            return False
        route = self._channel_state(key)
        per_hour = DEFAULT_PER_HOUR if row is None else row.terms.per_hour
        now = self._world.monotonic()
        set_hourly_rate(route.allowance, per_hour, now)
        if not route.allowance.try_consume(now):
            return False
        try:
            with route.breaker.guard():
                remark = await self._send_recorded(row, delivery)
        except CircuitOpen:
            return False
        except DeliveryError as error:
            await self._record_failure(row, delivery, error)
            return True
        self.counters.sent += 1
        attempt = self._new_attempt(row, delivery)
        self._alerts.publish_alerts(
            *await self._store.write(lambda tx: record_delivered(tx, attempt, remark))
        )
        return True

    def _channel_state(self, key: ChannelKey) -> ChannelState:
        found = self._routes.get(key)
        if found is None:
            clock = self._world.monotonic
            breaker = Breaker(
                clock,
                threshold=BREAKER_THRESHOLD,
                cooldown=BREAKER_COOLDOWN,
                counts=TransientDeliveryError,
            )
            found = self._routes[key] = ChannelState(
                breaker, hourly_bucket(DEFAULT_PER_HOUR, clock())
            )
        return found

    async def _send_recorded(self, row: Channel | None, delivery: Delivery) -> str:
        """Send, and store the outcome; an unexpected exception counts as a failed attempt."""
        try:
            return await self._send(row, delivery)
        except DeliveryError:
            raise
        except Exception as error:
            log.error("message %s of %s: %s", delivery.id, delivery.org, locate(error))  # noqa: TRY400  # its text could hold a secret
            raise TransientDeliveryError(
                "a fault of the control plane; its log has more"
            ) from error

    async def _send(self, row: Channel | None, delivery: Delivery) -> str:
        if row is None:
            return await self._welcome.send_invitation(delivery)
        letter = NotificationMessage(
            delivery.id,
            delivery.org,
            delivery.created_at,
            delivery.notices,
            delivery.omitted,
            self._channels.url,
        )
        try:
            secrets = self._channels.unseal_secrets(row)
        except TamperedError as error:
            raise PermanentDeliveryError(
                "its stored secrets do not open: enter them anew"
            ) from error
        return await self._sender.send_message(row, secrets, letter)

    async def _record_failure(
        self, row: Channel | None, delivery: Delivery, error: DeliveryError
    ) -> None:
        self.counters.failed += 1
        attempt = self._new_attempt(row, delivery)
        told = (
            error
            if isinstance(error, TransientDeliveryError | PermanentDeliveryError)
            else TransientDeliveryError(error.reason)
        )
        failure = await self._store.write(lambda tx: record_undelivered(tx, attempt, told))
        if failure.dead:
            log.warning("message %s of %s is a dead letter: %s", delivery.id, delivery.org, told)
        if failure.raised:
            self._alerts.publish_alerts(attempt.alert)

    def _new_attempt(self, row: Channel | None, delivery: Delivery) -> DeliveryAttempt:
        name = "" if row is None else row.name
        alert: Alert = self._alerts.new_alert(
            delivery.org,
            "",
            CHANNEL_FAILING,
            Severity.WARNING,
            f"the channel {name} does not deliver: its dead letters can be looked at and replayed",
            subject=delivery.channel,
        )
        return DeliveryAttempt(delivery, self._world.now(), self._world.jitter(), alert)


def _find_due(now: int, tx: Tx) -> DueWork:
    return DueWork(
        bool(notices.oldest_notices(tx, 1)),
        notices.due_channels(tx, now),
        channels.due_deliveries(tx, now, BATCH),
        channels.count_all_by_state(tx),
    )
