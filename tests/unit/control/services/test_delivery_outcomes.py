"""What becomes of a message: once, whoever says so first."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.model.notices import Channel, Delivery, Quiet, State
from control.model.records import Alert, Severity
from control.notify.delivery_schedule import MAX_ATTEMPTS
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.services.delivery_outcomes import DeliveryAttempt, record_delivered, record_undelivered
from control.store import channels
from protocols.instant import SECOND
from tests.newest import place_control
from tests.unit.control.services.told import Rig, rig

NOON = 1_790_000_000 // 86_400 * 86_400 * SECOND + 12 * 3600 * SECOND
ALERT = Alert("a", "acme", "", "channel_failing", Severity.WARNING, "m", NOON, "", 0)


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """On SQLite."""
    async with rig(place_control(tmp_path)) as made:
        yield made


async def attempt(there: Rig, **terms: object) -> tuple[Channel, DeliveryAttempt]:
    """Of a message without notices, at noon."""
    held = await there.channel("http://127.0.0.1:1/", **terms)
    one = held.channel.id
    row = Delivery("acme", "d", one, State.WAITING, 0, "", NOON, NOON, 0, 0, ())
    await there.store.write(lambda tx: channels.add_delivery(tx, row))
    return held.channel, DeliveryAttempt(row, NOON, 0.0, ALERT)


async def stored(there: Rig) -> Delivery:
    """As it is."""
    (row,) = await there.deliveries()
    return row


async def test_the_first_word_counts(there: Rig) -> None:
    """Another process has brought it to an end: what a late one says changes nothing."""
    _, made = await attempt(there)
    await there.store.write(lambda tx: record_delivered(tx, made, "1 of 2 recipients were refused"))
    sent = await stored(there)
    assert (sent.state, sent.reason) == (State.SENT, "1 of 2 recipients were refused")
    late = await there.store.write(
        lambda tx: record_undelivered(tx, made, PermanentDeliveryError("no"))
    )
    assert late == (False, False)
    await there.store.write(lambda tx: record_delivered(tx, made, "again"))
    assert await stored(there) == sent


async def test_next_attempts(there: Rig) -> None:
    """Later each time, as the other side asks, never in quiet hours; at last a dead letter."""
    quiet = Quiet("12:01", "13:00", "UTC")
    channel, made = await attempt(there, quiet=quiet, urgent=None)
    fail = TransientDeliveryError("no")
    first = await there.store.write(lambda tx: record_undelivered(tx, made, fail))
    assert first == (False, False)
    assert (await stored(there)).due_at == NOON + int(2.5 * SECOND)
    asked = TransientDeliveryError("later", retry_after=90.0)
    await there.store.write(lambda tx: record_undelivered(tx, made, asked))
    row = await stored(there)
    assert (row.due_at, row.reason) == (NOON + 3600 * SECOND, "later")
    last = replace(row, attempts=MAX_ATTEMPTS - 1)
    await there.store.write(lambda tx: channels.put_delivery(tx, last))
    final = await there.store.write(lambda tx: record_undelivered(tx, made, fail))
    assert (final.dead, final.raised) == (True, True)
    held = await there.parts.channels.get_channel("acme", channel.id)
    assert (held.dead, held.channel.failures, held.channel.failed_at) == (1, 3, NOON)


async def test_one_that_was_removed(there: Rig) -> None:
    """With its channel: nothing comes back."""
    channel, made = await attempt(there)
    await there.parts.channels.remove_channel("acme", channel.id)
    await there.store.write(lambda tx: record_undelivered(tx, made, PermanentDeliveryError("no")))
    assert not await there.deliveries()
