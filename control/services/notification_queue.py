"""The notification queue: notices become entries of channels, and due entries messages.

Every step is a function of one transaction: a process that dies has done all of it or nothing, and
two that do it at once have done it once. What is due together goes into one message, so that a
storm is a few messages and not a thousand. A message keeps its content and its id, however often it
is tried.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from msgspec.structs import replace

from control.model.conditions import CHANNEL_FAILING
from control.model.notices import (
    MAIL_CHANNEL,
    Channel,
    Delivery,
    Kind,
    LastNotice,
    Notice,
    QueuedNotice,
    State,
)
from control.model.records import Alert
from control.notify.delivery_schedule import (
    MAX_ATTEMPTS,
    due_at,
    is_news,
    is_repeat,
    is_urgent,
    is_wanted,
    not_before,
    retry_delay,
)
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.store import agents, alerts, channels, notices
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.signing import channel_digest

NOTICES: Final = 50  # of one message
MAX_OPEN_MESSAGES: Final = 4  # messages of a channel on their way; more wait as entries
MAX_OPEN_INVITATIONS: Final = 50  # on their way at once, of one organization
NOTICES_PER_TRANSACTION: Final = 200  # notices of one transaction
QUEUE: Final = 1000  # entries of one channel
RESERVE: Final = 1000  # of urgent ones beside them
DEAD: Final = 1000
"""Dead letters of one channel; the oldest makes room. One that refuses all makes 3,600 an hour."""


def make_batch(tx: Tx, org: str, channel: str, identifier: str, now: int) -> bool:
    """Make the next message of a channel; whether there is one. `now`: Unix nanoseconds."""
    if channel == MAIL_CHANNEL:
        return _make_invitation(tx, org, identifier, now)
    row = channels.get_channel(tx, org, channel)
    if row is None:
        notices.delete_channel_entries(tx, org, channel)
        return False
    if not row.is_active or channels.count_waiting(tx, org, channel) >= MAX_OPEN_MESSAGES:
        return False
    some = _ready_notices(tx, row, notices.due_entries(tx, org, channel, now, NOTICES), now)
    if not some:
        return False
    made = replace(_message(org, channel, identifier, some, now), omitted=row.omitted)
    channels.add_delivery(tx, made)
    channels.update_channel(tx, org, channel, omitted=0)
    notices.delete_entries(tx, some)
    return True


def _make_invitation(tx: Tx, org: str, identifier: str, now: int) -> bool:
    """Each invitation is a message of its own."""
    if channels.count_waiting(tx, org, MAIL_CHANNEL) >= MAX_OPEN_INVITATIONS:
        return False
    some = notices.due_entries(tx, org, MAIL_CHANNEL, now, 1)
    if some:
        channels.add_delivery(tx, _message(org, MAIL_CHANNEL, identifier, some, now))
        notices.delete_entries(tx, some)
    return bool(some)


def _ready_notices(tx: Tx, row: Channel, some: list[QueuedNotice], now: int) -> list[QueuedNotice]:
    """Those that are not deferred by quiet hours, which may have begun while they waited."""
    late = {each.notice: not_before(row.terms, (each.body,), now) for each in some}
    held = {notice: due for notice, due in late.items() if due > now}
    notices.defer_entries(tx, row.org, row.id, held)
    return [each for each in some if each.notice not in held]


def _message(
    org: str, channel: str, identifier: str, some: list[QueuedNotice], now: int
) -> Delivery:
    return Delivery(
        org=org,
        id=identifier,
        channel=channel,
        state=State.WAITING,
        attempts=0,
        reason="",
        created_at=now,
        due_at=now,
        finished_at=0,
        omitted=0,
        notices=tuple(each.body for each in some),
    )


class FanOutCounts(NamedTuple):
    """Notices read, entries made, repetitions within a window, drops by a full queue."""

    notices: int
    entries: int
    repeated: int
    omitted: int


def fan_out_notices(tx: Tx, now: int) -> FanOutCounts:
    """Turn the oldest notices into entries of channels. `now`: Unix nanoseconds."""
    found = notices.oldest_notices(tx, NOTICES_PER_TRANSACTION)
    total = FanOutCounts(len(found), 0, 0, 0)
    for org, group in groupby(sorted(found, key=lambda n: (n.org, n.at)), lambda n: n.org):
        total = _add_counts(total, _fan_out_organization(tx, org, list(group), now))
    notices.delete_notices(tx, found)
    return total


def _fan_out_organization(tx: Tx, org: str, some: list[Notice], now: int) -> FanOutCounts:
    invited = [_entry(MAIL_CHANNEL, notice, now) for notice in some if notice.kind is Kind.INVITED]
    notices.put_entries(tx, invited)
    alerts = [notice for notice in some if notice.kind is not Kind.INVITED]
    total = FanOutCounts(0, len(invited), 0, 0)
    waiting, tags = notices.waiting_entries(tx, org), _tags(tx, org, alerts)
    active = [channel for channel in channels.list_channels(tx, org) if channel.is_active]
    digests = {channel.id: channel_digest(channel.name).hex() for channel in active}
    for channel in active:
        wanted = [
            notice
            for notice in alerts
            if (
                digests[channel.id] in notice.channels
                if not {*digests.values()}.isdisjoint(notice.channels)
                else is_wanted(channel.terms, notice, tags.get(notice.vault, frozenset()))
            )
        ]
        count, first = waiting.get(channel.id, (0, None))
        total = _add_counts(total, _ChannelQueue(channel, count, first, now).enqueue(tx, wanted))
    return total


class _ChannelQueue:
    """The queue of one channel while entries are added."""

    def __init__(self, channel: Channel, count: int, first: int | None, now: int) -> None:
        self._channel = channel
        self._count = count
        self._first = first
        self._now = now
        self._known = self._omitted = 0

    def enqueue(self, tx: Tx, wanted: list[Notice]) -> FanOutCounts:
        channel = self._channel
        keys = {notice.key for notice in wanted}
        told = notices.get_last_notices(tx, channel.org, channel.id, keys)
        entries = list(self._entries(wanted, told))
        notices.put_entries(tx, entries)
        notices.put_last_notices(tx, (told[key] for key in sorted(keys & told.keys())))
        if self._omitted:
            channels.count_omitted(tx, channel.org, channel.id, self._omitted)
        return FanOutCounts(0, len(entries), self._known, self._omitted)

    def _entries(
        self, wanted: Iterable[Notice], told: dict[str, LastNotice]
    ) -> Iterator[QueuedNotice]:
        terms, here = self._channel.terms, (self._channel.org, self._channel.id)
        for notice in wanted:
            last = told.get(notice.key)
            if not is_news(terms, last, notice):
                continue
            if last is not None and is_repeat(last, notice, terms.window):
                told[notice.key] = replace(last, count=last.count + 1)
                self._known += 1
                continue
            room = QUEUE + (RESERVE if is_urgent(terms, notice.effective_severity) else 0)
            if self._count >= room:
                self._omitted += 1
                continue
            repeated = 0 if last is None or last.kind is not notice.kind else last.count
            told[notice.key] = LastNotice(*here, notice.key, notice.kind, notice.at, 0)
            due = due_at(terms, notice, self._now, self._first)
            self._first = due if self._first is None else min(self._first, due)
            self._count += 1
            yield _entry(self._channel.id, replace(notice, repeated=repeated), due)


def _entry(channel: str, notice: Notice, due: int) -> QueuedNotice:
    place = f"{notice.kind}/{notice.id}"
    return QueuedNotice(notice.org, channel, place, due, notice.at, notice)


def _tags(tx: Tx, org: str, some: list[Notice]) -> Mapping[str, frozenset[str]]:
    vaults = sorted({notice.vault for notice in some if notice.vault})
    return {row.vault: frozenset(row.tags) for row in agents.get_agents(tx, org, vaults)}


def _add_counts(one: FanOutCounts, other: FanOutCounts) -> FanOutCounts:
    return FanOutCounts(*(a + b for a, b in zip(one, other, strict=True)))


class DeliveryAttempt(NamedTuple):
    """A finished attempt. `random`: in [0, 1). `alert`: raised if it makes a dead letter."""

    delivery: Delivery
    now: int
    random: float
    alert: Alert


class DeliveryFailure(NamedTuple):
    """Whether the message is dead, and whether the alert that its channel fails begins."""

    dead: bool
    raised: bool


def record_delivered(tx: Tx, attempt: DeliveryAttempt, remark: str) -> list[Alert]:
    """Store that the message was accepted; the alerts that end with it."""
    row = _current(tx, attempt)
    if row is None:
        return []
    now = attempt.now
    sent = replace(row, state=State.SENT, attempts=row.attempts + 1, finished_at=now, reason=remark)
    channels.put_delivery(tx, sent)
    channels.update_channel(tx, row.org, row.channel, sent_at=now, failures=0, reason=remark)
    return alerts.resolve_alerts(tx, row.org, [CHANNEL_FAILING], [""], now=now, subject=row.channel)


def record_undelivered(
    tx: Tx, attempt: DeliveryAttempt, error: TransientDeliveryError | PermanentDeliveryError
) -> DeliveryFailure:
    """Store a failed attempt: the message waits for the next one, or is dead."""
    row = _current(tx, attempt)
    if row is None:
        return DeliveryFailure(dead=False, raised=False)
    made = _next_attempt(tx, row, attempt, error)
    dead = made.state is State.DEAD
    counts = channels.count_by_state(tx, row.org) if dead and row.channel != MAIL_CHANNEL else {}
    if counts.get((row.channel, State.DEAD), 0) >= DEAD:
        channels.delete_oldest_dead(tx, row.org, row.channel)
    fails = dead and row.channel != MAIL_CHANNEL
    raised = fails and bool(alerts.fire_alerts(tx, attempt.alert, repeat=False))
    channels.put_delivery(tx, made)
    found = channels.get_channel(tx, row.org, row.channel)
    if found is not None:
        values = {"failed_at": attempt.now, "failures": found.failures + 1, "reason": error.reason}
        channels.update_channel(tx, row.org, row.channel, **values)
    return DeliveryFailure(dead, raised)


def _next_attempt(
    tx: Tx,
    row: Delivery,
    attempt: DeliveryAttempt,
    error: TransientDeliveryError | PermanentDeliveryError,
) -> Delivery:
    tried = replace(row, attempts=row.attempts + 1, reason=error.reason)
    if isinstance(error, PermanentDeliveryError) or tried.attempts >= MAX_ATTEMPTS:
        return replace(tried, state=State.DEAD, finished_at=attempt.now)
    wait = retry_delay(tried.attempts, attempt.random, error.retry_after)
    due = attempt.now + int(wait * SECOND)
    channel = channels.get_channel(tx, row.org, row.channel)
    if channel is not None:
        due = not_before(channel.terms, row.notices, due)
    return replace(tried, due_at=due)


def _current(tx: Tx, attempt: DeliveryAttempt) -> Delivery | None:
    """The message as stored; None if another process has finished it meanwhile."""
    row = channels.get_delivery(tx, attempt.delivery.org, attempt.delivery.id)
    return row if row is not None and row.state is State.WAITING else None
