"""Telling people, on every database: with the alert or not at all, and once for two at once."""

from functools import partial

import pytest
import trio
from msgspec.structs import replace

from actors import SystemWorld
from control.crypto import Sealer
from control.model.notices import (
    Channel,
    ChannelTerms,
    Kind,
    LastNotice,
    Notice,
    QueuedNotice,
    State,
    Type,
)
from control.model.records import Severity
from control.services.alerts import Alerts
from control.services.channels import ChannelDraft
from control.services.event_bus import EventBus
from control.services.notification_queue import fan_out_notices, make_batch
from control.store import alerts as alert_rows
from control.store import channels, notices
from control.store.rows import Tx
from control.store.store import Store
from tests.support.notifications import Notifications, notifications
from tests.unit.control.notify.receiving import receiver

NOTICE = Notice("n", "acme", Kind.RAISED, "c", Severity.CRITICAL, "v", "s", "m", 5, 1)
CHANNEL = Channel(
    "acme", "ch", "n", Type.SLACK, "h", enabled=True, terms=ChannelTerms(), secret=b"\x00\x01",
    created_at=1, changed_at=2,
)  # fmt: skip


def worker(store: Store) -> Notifications:
    """As each process has one."""
    world = SystemWorld()
    alerts = Alerts(store, EventBus(), world)
    return notifications(store, alerts, world, sealer=Sealer(bytes(32)))


async def test_an_alert_and_its_notice_are_one(store: Store) -> None:
    """Stored together, gone together."""
    alerts = Alerts(store, EventBus(), SystemWorld())
    one = alerts.new_alert("acme", "v", "c", Severity.INFO, "m")

    def halfway(tx: Tx) -> None:
        alert_rows.fire_alerts(tx, one)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(halfway)
    assert await store.read(lambda tx: notices.oldest_notices(tx, 9)) == []
    await alerts.fire_alerts(one)
    (found,) = await store.read(lambda tx: notices.oldest_notices(tx, 9))
    assert (found.id, found.kind) == (one.id, Kind.RAISED)


async def test_rows_are_as_they_were(store: Store) -> None:
    """Channels, entries, what was told: every field comes back."""
    entry = QueuedNotice("acme", "ch", "raised/n", 7, 5, NOTICE)
    told = LastNotice("acme", "ch", NOTICE.key, Kind.RAISED, 5, 2)

    def fill(tx: Tx) -> None:
        channels.add_channel(tx, CHANNEL)
        notices.put_entries(tx, [entry, entry])
        notices.put_last_notices(tx, [told])
        channels.count_omitted(tx, "acme", "ch", 2)
        channels.count_omitted(tx, "acme", "ch", 1)

    await store.write(fill)
    assert await store.read(lambda tx: channels.list_channels(tx, "acme")) == [
        replace(CHANNEL, omitted=3)
    ]
    assert await store.read(lambda tx: notices.due_entries(tx, "acme", "ch", 7, 9)) == [entry]
    assert await store.read(lambda tx: notices.due_entries(tx, "acme", "ch", 6, 9)) == []
    keys = [NOTICE.key, "other"]
    assert await store.read(lambda tx: notices.get_last_notices(tx, "acme", "ch", keys)) == {
        told.key: told
    }
    assert await store.read(lambda tx: notices.waiting_entries(tx, "acme")) == {"ch": (1, 7)}
    assert await store.read(lambda tx: notices.due_channels(tx, 7)) == [("acme", "ch")]
    await store.write(lambda tx: notices.defer_entries(tx, "acme", "ch", {"raised/n": 99}))
    assert await store.read(lambda tx: notices.due_channels(tx, 7)) == []
    assert await store.write(lambda tx: notices.delete_older_last_notices(tx, 6)) == 1


async def test_steps_at_once_are_made_once(store: Store) -> None:
    """Two who believe that they lead: no notice is told twice, no message made twice."""
    await store.write(lambda tx: channels.add_channel(tx, CHANNEL))
    rows = [replace(NOTICE, id=f"n{n}", subject=f"{n}", at=n) for n in range(30)]
    await store.write(lambda tx: notices.enqueue_notices(tx, *rows))
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(store.write, lambda tx: fan_out_notices(tx, 100))
    async with trio.open_nursery() as nursery:
        for number in range(4):
            step = partial(make_batch, org="acme", channel="ch", identifier=f"d{number}", now=100)
            nursery.start_soon(store.write, step)
    found = await store.read(
        lambda tx: channels.list_deliveries(tx, "acme", channel="", state=None, before=0, limit=9)
    )
    assert [notice.id for row in found for notice in row.notices] == [row.id for row in rows]
    assert await store.read(lambda tx: notices.waiting_entries(tx, "acme")) == {}
    assert await store.read(channels.count_all_by_state) == {State.WAITING: 1}


async def test_the_whole_way(store: Store) -> None:
    """An alert arrives, by one of two workers; the other has nothing left to do."""
    one, two = worker(store), worker(store)
    with receiver() as hook:
        draft = ChannelDraft(
            "hook", Type.WEBHOOK, enabled=True, terms=ChannelTerms(), url=hook.url()
        )
        held, _ = await one.channels.create_channel("acme", draft, "acme/ann")
        alerts = Alerts(store, EventBus(), SystemWorld())
        await alerts.fire_alerts(alerts.new_alert("acme", "v", "c", Severity.CRITICAL, "m"))
        async with one.worker.running(), two.worker.running():
            await one.worker.deliver_due()
            await one.worker.wait_idle()
            await two.worker.deliver_due()
            await two.worker.wait_idle()
        assert len(hook.requests) == 1
        assert (await two.channels.get_channel("acme", held.channel.id)).channel.sent_at > 0
        await two.channels.remove_channel("acme", held.channel.id)
    assert await store.read(channels.count_all_by_state) == {}
