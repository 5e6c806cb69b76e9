"""What is due together goes together, within bounds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.model.notices import INVITATION, MAIL_CHANNEL, Kind, Notice, Quiet
from control.model.records import Severity
from control.services import notification_batches
from control.services.notification_batches import make_batch
from control.services.notification_fan_out import fan_out_notices
from control.store import channels, notices
from tests.newest import place_control
from tests.unit.control.services.told import Rig, rig

URL = "http://127.0.0.1:1/"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """On SQLite."""
    async with rig(place_control(tmp_path)) as made:
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
    monkeypatch.setattr(notification_batches, "NOTICES", 2)
    held = await there.channel(URL)
    for number in range(12):
        await there.alert(vault=f"v{number:02}")
        there.world.advance(0.001)
    made = [await make(there, held.channel.id) for _ in range(6)]
    assert made == [True] * notification_batches.MAX_OPEN_MESSAGES + [False] * 2
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
