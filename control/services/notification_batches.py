"""From entries that are due to messages: one step for one channel, a function of a transaction.

What is due together goes together, so that a storm is a few messages and not a thousand; a message
stays as it is from then on, with one id, however often it is tried.
"""

from typing import Final

from msgspec.structs import replace

from control.model.notices import MAIL_CHANNEL, Channel, Delivery, QueuedNotice, State
from control.notify.delivery_schedule import not_before
from control.store import channels, notices
from control.store.rows import Tx

NOTICES: Final = 50  # of one message
MAX_OPEN_MESSAGES: Final = 4  # messages of a channel on their way; more wait as entries
MAX_OPEN_INVITATIONS: Final = 50  # on their way at once, of one organization


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
    """Each is for somebody else."""
    if channels.count_waiting(tx, org, MAIL_CHANNEL) >= MAX_OPEN_INVITATIONS:
        return False
    some = notices.due_entries(tx, org, MAIL_CHANNEL, now, 1)
    if some:
        channels.add_delivery(tx, _message(org, MAIL_CHANNEL, identifier, some, now))
        notices.delete_entries(tx, some)
    return bool(some)


def _ready_notices(tx: Tx, row: Channel, some: list[QueuedNotice], now: int) -> list[QueuedNotice]:
    """Without what has come into quiet hours while it waited."""
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
