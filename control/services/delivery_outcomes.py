"""What becomes of a message that was tried: functions of a transaction."""

from typing import Final, NamedTuple

from msgspec.structs import replace

from control.model.conditions import CHANNEL_FAILING
from control.model.notices import MAIL_CHANNEL, Delivery, State
from control.model.records import Alert
from control.notify.delivery_schedule import MAX_ATTEMPTS, not_before, retry_delay
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.store import alerts, channels
from control.store.rows import Tx
from protocols.instant import SECOND

DEAD: Final = 1000
"""Dead letters of one channel; the oldest makes room. One that refuses all makes 3,600 an hour."""


class DeliveryAttempt(NamedTuple):
    """One that is over. `chance`: in [0, 1). `alert`: raised if it makes a dead letter."""

    delivery: Delivery
    now: int
    random: float
    alert: Alert


class DeliveryFailure(NamedTuple):
    """Whether it is a dead letter, and whether the alert that its channel fails begins with it."""

    dead: bool
    raised: bool


def record_delivered(tx: Tx, attempt: DeliveryAttempt, remark: str) -> list[Alert]:
    """It was taken; the alerts that are over with it."""
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
    """It was not: it waits for its next attempt, or is a dead letter."""
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
    """As it is stored; None if another process has brought it to an end meanwhile."""
    row = channels.get_delivery(tx, attempt.delivery.org, attempt.delivery.id)
    return row if row is not None and row.state is State.WAITING else None
