"""What is due together goes together, within bounds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.model.agents import Life, new_agent
from control.model.notices import (
    INVITATION,
    MAIL_CHANNEL,
    Channel,
    Delivery,
    Kind,
    Notice,
    Quiet,
    State,
)
from control.model.records import Alert, Severity
from control.notify.delivery_schedule import MAX_ATTEMPTS
from control.notify.errors import PermanentDeliveryError, TransientDeliveryError
from control.services import notification_queue
from control.services.notification_queue import (
    DeliveryAttempt,
    fan_out_notices,
    make_batch,
    record_delivered,
    record_undelivered,
)
from control.store import agents, channels, notices
from protocols.instant import SECOND
from protocols.link.signing import channel_digest
from tests.newest import place_control
from tests.unit.control.services.told import Rig, rig

URL = "http://127.0.0.1:1/"
NOON = 1_790_000_000 // 86_400 * 86_400 * SECOND + 12 * 3600 * SECOND
ALERT = Alert("a", "acme", "", "channel_failing", Severity.WARNING, "m", NOON, "", 0)


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """With an agent `v`, tagged `prod`."""
    async with rig(place_control(tmp_path)) as made:
        row = new_agent("acme", "v", Life.ACTIVE, now=1, tags=("prod",))
        await made.store.write(lambda tx: agents.add_agent(tx, row))
        yield made


async def make(there: Rig, channel: str, *, later: int = 0) -> bool:
    """Fan out and bundle once."""
    now, identifier = there.world.now() + later, there.world.new_id()
    await there.store.write(lambda tx: fan_out_notices(tx, now))
    return await there.store.write(lambda tx: make_batch(tx, "acme", channel, identifier, now))


async def test_bounded_messages_and_few_on_their_way(
    there: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest waits as entries, in order."""
    monkeypatch.setattr(notification_queue, "NOTICES", 2)
    held = await there.channel(URL)
    for number in range(12):
        await there.alert(vault=f"v{number:02}")
        there.world.advance(0.001)
    made = [await make(there, held.channel.id) for _ in range(6)]
    assert made == [True] * notification_queue.MAX_OPEN_MESSAGES + [False] * 2
    found = await there.deliveries()
    told = [n.vault for row in sorted(found, key=lambda d: d.id) for n in row.notices]
    assert told == [f"v{number:02}" for number in range(8)]
    count, _ = (await there.store.read(lambda tx: notices.waiting_entries(tx, "acme")))[
        held.channel.id
    ]
    assert count == 4


async def test_what_had_no_place_is_said_once(there: Rig) -> None:
    """With the next message; then the count begins anew."""
    held = await there.channel(URL)
    one = held.channel.id
    await there.store.write(lambda tx: channels.count_omitted(tx, "acme", one, 7))
    await there.alert()
    assert await make(there, one)
    assert [row.omitted for row in await there.deliveries()] == [7]
    assert (await there.row(held)).omitted == 0


async def test_quiet_hours_that_have_begun_meanwhile(there: Rig) -> None:
    """What was due before, and could not go, waits for their end."""
    day = 86_400
    there.world.step_wall(-(there.world.now() / 1e9 % day) + day + 12 * 3600)
    held = await there.channel(URL, quiet=Quiet("12:10", "13:00", "UTC"), urgent=None)
    await there.alert("disk_low", severity=Severity.WARNING)
    await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
    there.world.advance(1200)
    assert not await make(there, held.channel.id)
    there.world.advance(2400)
    assert await make(there, held.channel.id)


async def test_a_channel_that_has_gone_leaves_nothing(there: Rig) -> None:
    """Its entries are forgotten, also those that come of a race."""
    held = await there.channel(URL)
    await there.alert()
    await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
    await there.store.write(lambda tx: channels.delete_channel(tx, "acme", held.channel.id))
    assert not await make(there, held.channel.id)
    assert await there.store.read(lambda tx: notices.waiting_entries(tx, "acme")) == {}


async def test_each_invitation_is_a_message(there: Rig) -> None:
    """Nobody reads whom else we have invited."""
    first = Notice("1", "acme", Kind.INVITED, INVITATION, Severity.INFO, "", "1", "", 1)
    rows = first, replace(first, id="2", subject="2")
    await there.store.write(lambda tx: notices.enqueue_notices(tx, *rows))
    assert [await make(there, MAIL_CHANNEL) for _ in range(3)] == [True, True, False]
    assert [len(row.notices) for row in await there.deliveries()] == [1, 1]


async def waiting(there: Rig) -> dict[str, int]:
    """How many entries each channel has, by its name."""
    counts = await there.store.read(lambda tx: notices.waiting_entries(tx, "acme"))
    held = await there.parts.channels.list_channels("acme")
    return {each.channel.name: counts.get(each.channel.id, (0, 0))[0] for each in held}


async def test_to_whom_it_matters(there: Rig) -> None:
    """By tag, by severity, by name; an organization's alerts stay its own."""
    await there.channel(URL, "prod", tags=("prod",))
    await there.channel(URL, "test", tags=("test",))
    await there.channel(URL, "all", severity=Severity.INFO)
    await there.channel(URL, "w", vaults=("w",))
    other = there.alerts.new_alert("beta", "v", "agent_offline", Severity.CRITICAL, "theirs")
    await there.alerts.fire_alerts(other)
    await there.alert()
    await there.alert("unknown", "w", Severity.INFO)
    done = await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
    assert done == (3, 3, 0, 0)
    assert await waiting(there) == {"prod": 1, "test": 0, "all": 2, "w": 0}
    assert await there.store.write(lambda tx: fan_out_notices(tx, 1)) == (0, 0, 0, 0)


async def test_a_full_queue_counts_what_it_leaves_out(
    there: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has room for what is urgent, up to a bound as well."""
    monkeypatch.setattr(notification_queue, "QUEUE", 2)
    monkeypatch.setattr(notification_queue, "RESERVE", 1)
    held = await there.channel(URL)
    for vault in ("a", "b", "c"):
        await there.alert("disk_low", vault, Severity.WARNING)
    for vault in ("d", "e"):
        await there.alert("agent_offline", vault)
    done = await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
    assert (done.entries, done.omitted) == (3, 2)
    assert (await there.row(held)).omitted == 2


async def test_a_failure_leaves_all_as_it_was(there: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notice waits until a whole step is done."""
    await there.channel(URL)
    await there.alert()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(notification_queue.notices, "put_last_notices", broken)
    with pytest.raises(ZeroDivisionError):
        await there.store.write(lambda tx: fan_out_notices(tx, 1))
    monkeypatch.undo()
    assert await waiting(there) == {"hook": 0}
    assert (await there.store.write(lambda tx: fan_out_notices(tx, 1))).entries == 1


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


async def test_a_notice_for_named_channels_goes_to_them_alone(there: Rig) -> None:
    """Whatever their terms say; if none of that name sends, to those that want such notices."""
    named = await there.channel(URL, "on call", events=("sealed",))
    other = await there.channel(URL, "other")
    digest = channel_digest("on call").hex()

    async def queued(identifier: str) -> list[str]:
        notice = Notice(
            identifier, "acme", Kind.RAISED, "secret_rotation_stuck", Severity.WARNING, "v",
            identifier, "m", NOON, channels=(digest, "00" * 16),
        )  # fmt: skip
        await there.store.write(lambda tx: notices.enqueue_notices(tx, notice))
        await there.store.write(lambda tx: fan_out_notices(tx, there.world.now()))
        found = await there.store.read(lambda tx: notices.waiting_entries(tx, "acme"))
        return sorted(found)

    assert await queued("one") == [named.channel.id]
    off = replace(named.channel, enabled=False)
    await there.store.write(lambda tx: channels.put_channel(tx, off))
    assert await queued("two") == sorted([named.channel.id, other.channel.id])
