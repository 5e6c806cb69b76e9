"""From entries that are due to messages: one step for one channel, a function of a transaction.

What is due together goes together, so that a storm is a few messages and not a thousand; a message
stays as it is from then on, with one id, however often it is tried.
"""

from typing import Final

from msgspec.structs import replace

from control.model.notices import MAIL, Channel, Delivery, Entry, State
from control.notify.schedule import not_before
from control.store import channels, notices
from control.store.rows import Tx

NOTICES: Final = 50  # of one message
OPEN: Final = 4  # messages of a channel on their way; more wait as entries
INVITATIONS: Final = 50  # on their way at once, of one organization


def bundle(tx: Tx, org: str, channel: str, identifier: str, now: int) -> bool:
    """Make the next message of a channel; whether there is one. `now`: Unix nanoseconds."""
    if channel == MAIL:
        return _invitation(tx, org, identifier, now)
    row = channels.channel(tx, org, channel)
    if row is None:
        notices.forget(tx, org, channel)
        return False
    if not row.is_active or channels.count_waiting(tx, org, channel) >= OPEN:
        return False
    some = _ready(tx, row, notices.due(tx, org, channel, now, NOTICES), now)
    if not some:
        return False
    made = replace(_message(org, channel, identifier, some, now), omitted=row.omitted)
    channels.add_delivery(tx, made)
    channels.note(tx, org, channel, omitted=0)
    notices.drop_entries(tx, some)
    return True


def _invitation(tx: Tx, org: str, identifier: str, now: int) -> bool:
    """Each is for somebody else."""
    if channels.count_waiting(tx, org, MAIL) >= INVITATIONS:
        return False
    some = notices.due(tx, org, MAIL, now, 1)
    if some:
        channels.add_delivery(tx, _message(org, MAIL, identifier, some, now))
        notices.drop_entries(tx, some)
    return bool(some)


def _ready(tx: Tx, row: Channel, some: list[Entry], now: int) -> list[Entry]:
    """Without what has come into quiet hours while it waited."""
    late = {each.notice: not_before(row.terms, (each.body,), now) for each in some}
    held = {notice: due for notice, due in late.items() if due > now}
    notices.hold(tx, row.org, row.id, held)
    return [each for each in some if each.notice not in held]


def _message(org: str, channel: str, identifier: str, some: list[Entry], now: int) -> Delivery:
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
