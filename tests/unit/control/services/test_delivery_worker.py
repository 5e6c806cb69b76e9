"""What is raised reaches people at least once, in order of need, and stops where nobody listens."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from control.model.notices import ChannelTerms, Kind, Quiet, State, Type
from control.model.records import Severity
from control.notify.delivery_schedule import MAX_ATTEMPTS
from control.services import delivery_worker, notification_queue
from control.services.channels import ChannelDraft
from control.services.delivery_worker import BREAKER_COOLDOWN, BREAKER_THRESHOLD
from control.store.channels import due_deliveries
from control.store.errors import StoreError
from tests.newest import place_control
from tests.unit.control.notify.receiving import Receiver, receiver, status
from tests.unit.control.services.told import Rig, parts, rig


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A real one."""
    with receiver() as made:
        yield made


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """On SQLite."""
    async with rig(place_control(tmp_path)) as made:
        yield made


def told(hook: Receiver) -> list[list[str]]:
    """Kinds and messages of each request's notices."""
    return [
        [f"{n['kind']} {n['message']}" for n in json.loads(body)["data"]["notices"]]
        for _, _, body in hook.requests
    ]


async def test_an_alert_arrives_and_is_noted(there: Rig, hook: Receiver) -> None:
    """One message with one id; nothing is left waiting, and the channel is well."""
    held = await there.channel(hook.url())
    alert = await there.alert()
    await there.turn()
    await there.turn()
    ((_, headers, body),) = hook.requests
    (sent,) = await there.deliveries()
    assert headers["webhook-id"] == sent.id
    assert json.loads(body)["data"]["notices"][0]["id"] == alert.id
    assert (sent.state, sent.attempts) == (State.SENT, 1)
    assert (await there.row(held)).sent_at == there.world.now()
    assert there.parts.worker.counters.sent == 1


async def test_who_dies_before_noting_it_sends_it_again_with_its_id(
    there: Rig, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: the one who takes over cannot know, and the receiver can tell."""
    await there.channel(hook.url())
    await there.alert()

    async def dead(*_: Any, **__: Any) -> Any:
        raise StoreError("store_unavailable", "gone")

    honest = there.store.write
    monkeypatch.setattr(there.store, "write", mortal(honest, dead))
    await there.turn()
    monkeypatch.setattr(there.store, "write", honest)
    assert [d.state for d in await there.deliveries()] == [State.WAITING]
    heir = parts(there.store, there.world, there.alerts)
    async with heir.worker.running():
        await heir.worker.deliver_due()
        await heir.worker.wait_idle()
    assert len(hook.requests) == 2
    (one, two) = hook.requests
    assert one[1]["webhook-id"] == two[1]["webhook-id"]
    assert one[2] == two[2]
    assert [d.state for d in await there.deliveries()] == [State.SENT]


def mortal(honest: Any, dead: Any) -> Any:
    """A store that dies when it is told that something was delivered."""

    async def write(change: Any, **more: Any) -> Any:
        if "record_delivered" in getattr(change, "__code__", mortal.__code__).co_names:
            return await dead()
        return await honest(change, **more)

    return write


async def test_failures_are_retried_later_and_later_then_dead(there: Rig, hook: Receiver) -> None:
    """Never before its time; the last one makes a dead letter and an alert, and can be replayed."""
    held = await there.channel(hook.url(), per_hour=3600)
    hook.answers = [status(500)] * 100
    await there.alert()
    await there.turn()
    assert len(hook.requests) == 1
    await there.turn(2.0)
    assert len(hook.requests) == 1  # 5 s, half of it chance: not before 2.5 s
    for _ in range(MAX_ATTEMPTS - 1):
        await there.turn(901.0)
    assert len(hook.requests) == MAX_ATTEMPTS
    (dead,) = await there.deliveries(State.DEAD)
    assert (dead.attempts, dead.reason) == (MAX_ATTEMPTS, "it answered 500")
    row = await there.row(held)
    assert (row.failures, row.reason) == (MAX_ATTEMPTS, "it answered 500")
    page = await there.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert page[0].code == "channel_failing"
    hook.answers, hook.requests = [], []
    await there.parts.deliveries.retry_dead_letter("acme", dead.id)
    await there.turn(BREAKER_COOLDOWN)
    assert dead.id in {headers["webhook-id"] for _, headers, _ in hook.requests}
    assert not await there.deliveries(State.DEAD)
    assert (await there.row(held)).failures == 0


async def test_what_is_refused_for_good_is_dead_at_once(there: Rig, hook: Receiver) -> None:
    """Nothing is gained by trying; the first dead letter alone is an alert."""
    await there.channel(hook.url(), per_hour=3600, kinds=(Kind.RAISED,), events=("agent_offline",))
    hook.answers = [status(410)] * 3
    for vault in ("a", "b", "c"):
        await there.alert(vault=vault)
        await there.turn(60)
    assert len(await there.deliveries(State.DEAD)) == 3
    page = await there.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert [alert.code for alert in page].count("channel_failing") == 1


async def test_a_channel_that_fails_again_is_an_alert_again(there: Rig, hook: Receiver) -> None:
    """Whether or not somebody has looked at the dead letters of the last time."""
    await there.channel(hook.url(), per_hour=3600, kinds=(Kind.RAISED,), events=("agent_offline",))
    seen = []
    for vault, answer in (("a", status(410)), ("b", status(200)), ("c", status(410))):
        hook.answers = [answer]
        await there.alert(vault=vault)
        await there.turn(BREAKER_COOLDOWN)
        page = await there.alerts.list_alerts("acme", vault="", before=0, limit=9)
        seen.append([not one.ended_at for one in page if one.code == "channel_failing"])
    assert len(await there.deliveries(State.DEAD)) == 2
    assert seen == [[True], [False], [True]]


@pytest.mark.parametrize("removed", [True, False])
async def test_a_channel_that_sends_nothing_does_not_fail(
    there: Rig, hook: Receiver, removed: bool
) -> None:
    """Removed or switched off: nothing would ever end its alert."""
    held = await there.channel(hook.url(), per_hour=3600, events=("agent_offline",))
    hook.answers = [status(410)]
    await there.alert(vault="a")
    await there.turn(60)
    if removed:
        await there.parts.channels.remove_channel("acme", held.channel.id)
    else:
        off = ChannelDraft("hook", Type.WEBHOOK, enabled=False, terms=held.channel.terms)
        await there.parts.channels.change_channel("acme", held.channel.id, off, "acme/ann")
    (found,) = [
        alert
        for alert in await there.alerts.list_alerts("acme", vault="", before=0, limit=9)
        if alert.code == "channel_failing"
    ]
    assert found.ended_at


async def test_the_circuit_opens_and_closes(there: Rig, hook: Receiver) -> None:
    """After a few failures in a row nothing is tried for a while; one probe then decides."""
    held = await there.channel(hook.url(), per_hour=3600, window=0)
    hook.answers = [status(503)] * (BREAKER_THRESHOLD + 1)
    for number in range(4):
        await there.alert(vault=f"v{number}")
        await there.turn()
    await there.turn(20.0)
    assert len(hook.requests) == BREAKER_THRESHOLD
    assert there.parts.worker.open_breakers == 1
    await there.turn(30.0)
    assert len(hook.requests) == BREAKER_THRESHOLD  # open: what is due is not tried
    await there.turn(BREAKER_COOLDOWN)
    assert len(hook.requests) == BREAKER_THRESHOLD + 1  # the probe fails
    await there.turn(BREAKER_COOLDOWN)
    await there.turn(BREAKER_COOLDOWN)
    assert there.parts.worker.open_breakers == 0
    assert len(await there.deliveries(State.SENT)) == 4
    assert (await there.row(held)).failures == 0


async def test_a_channel_that_rests_does_not_hold_up_others(there: Rig, hook: Receiver) -> None:
    """Each has its own circuit and its own allowance."""
    with receiver() as other:
        await there.channel(hook.url())
        await there.channel(other.url(), "other")
        hook.answers = [status(500)] * 9
        await there.alert()
        await there.turn()
        await there.alert(vault="w")
        await there.turn()
        assert told(other) == [["raised v: agent_offline"], ["raised w: agent_offline"]]


async def test_the_same_is_told_once_in_a_window(there: Rig, hook: Receiver) -> None:
    """Repetitions are counted and said with the next; an end in between is news."""
    await there.channel(hook.url(), window=600)
    for _ in range(3):
        await there.alert("disk_low")
        await there.turn(10)
    assert told(hook) == [["raised v: disk_low"]]
    assert there.parts.worker.counters.repeated == 2
    await there.alert("disk_low", vault="w")
    await there.turn(600)
    await there.alert("disk_low")
    await there.turn()
    assert json.loads(hook.requests[-1][2])["data"]["notices"][-1]["repeated"] == 2
    hook.requests.clear()
    await there.alert("agent_offline")
    await there.turn(10)
    await there.alerts.resolve_alerts("acme", ["agent_offline"], "v")
    await there.turn(10)
    await there.alert("agent_offline")
    await there.turn(10)
    kinds = [line.split()[0] for lines in told(hook) for line in lines]
    assert kinds == ["raised", "resolved", "raised"]


async def test_what_comes_and_goes_is_few_messages(there: Rig, hook: Receiver) -> None:
    """And the last one says that it is over, once that has held for ten minutes."""
    await there.channel(hook.url(), window=0)
    for _ in range(20):
        await there.alert("agent_offline")
        await there.turn(10)
        await there.alerts.resolve_alerts("acme", ["agent_offline"], "v")
        await there.turn(10)
    kinds = [line.split()[0] for lines in told(hook) for line in lines]
    assert kinds == ["raised", "resolved", "raised"]
    await there.turn(600)
    kinds = [line.split()[0] for lines in told(hook) for line in lines]
    assert kinds == ["raised", "resolved", "raised", "resolved"]


async def test_an_end_goes_to_the_channels_that_were_told_the_start(
    there: Rig, hook: Receiver
) -> None:
    """Also if they would not want it any more; to no other."""
    held = await there.channel(hook.url() + "?told", "told")
    await there.alert("agent_offline")
    await there.turn()
    await there.channel(hook.url() + "?late", "late")
    draft = ChannelDraft(
        "told", Type.WEBHOOK, enabled=True, terms=ChannelTerms(events=("disk_low",))
    )
    await there.parts.channels.change_channel("acme", held.channel.id, draft, "acme/ann")
    await there.alerts.resolve_alerts("acme", ["agent_offline"], "v")
    await there.turn()
    assert ["told" in request[0] for request in hook.requests] == [True, True]


async def test_a_digest_is_one_message(there: Rig, hook: Receiver) -> None:
    """What comes within its time comes together; what is urgent comes at once, alone."""
    await there.channel(hook.url(), digest=3600)
    await there.alert("disk_low", "a", Severity.WARNING)
    await there.turn()
    await there.alert("disk_low", "b", Severity.WARNING)
    await there.turn(60)
    assert not hook.requests
    await there.alert("audit_fork", "c", Severity.CRITICAL)
    await there.turn()
    assert told(hook) == [["raised c: audit_fork"]]
    await there.turn(3600 - 61)
    assert len(hook.requests) == 1
    await there.turn(1)
    assert told(hook)[1:] == [["raised a: disk_low", "raised b: disk_low"]]


async def test_quiet_hours_hold_until_their_end(there: Rig, hook: Receiver) -> None:
    """Also a message that is to be tried again meanwhile; urgent ones pass."""
    there.world.step_wall(-(there.world.now() / 1e9 % 86_400) + 86_400 + 21.9 * 3600)
    quiet = Quiet("22:00", "07:00", "UTC")
    await there.channel(hook.url(), quiet=quiet, window=0)
    hook.answers = [status(500), status(500)]
    await there.alert("disk_low", "early", Severity.WARNING)
    await there.turn()
    await there.turn(600)  # 22:04: the second attempt was due before
    count = len(hook.requests)
    await there.alert("disk_low", "late", Severity.WARNING)
    await there.turn(900)
    await there.turn(900)
    assert len(hook.requests) <= count + 1
    hook.requests.clear()
    hook.answers.clear()
    await there.alert("agent_offline", "urgent")
    await there.turn()
    assert told(hook) == [["raised urgent: agent_offline"]]
    await there.turn(6 * 3600)
    assert len(hook.requests) == 1
    await there.turn(3 * 3600)
    lines = [line for lines in told(hook) for line in lines]
    assert set(lines) == {
        "raised urgent: agent_offline", "raised early: disk_low", "raised late: disk_low",
    }  # fmt: skip


async def test_a_storm_is_a_few_messages(there: Rig, hook: Receiver) -> None:
    """A thousand agents gone: so many notices, so few messages, within the channel's rate."""
    await there.channel(hook.url(), per_hour=60)
    made = [
        there.alerts.new_alert("acme", f"v{n}", "agent_offline", Severity.CRITICAL, f"v{n}")
        for n in range(600)
    ]
    await there.alerts.fire_alerts(*made)
    for _ in range(8):
        await there.turn(120)
    lines = [line for lines in told(hook) for line in lines]
    assert sorted(lines) == sorted(f"raised v{n}" for n in range(600))
    assert len(hook.requests) == 12


async def test_a_disabled_channel_keeps_what_waits(there: Rig, hook: Receiver) -> None:
    """Nothing new, nothing lost."""
    held = await there.channel(hook.url(), digest=60, urgent=None)
    await there.alert()
    await there.turn()
    draft = ChannelDraft("hook", held.channel.type, enabled=False, terms=held.channel.terms)
    await there.parts.channels.change_channel("acme", held.channel.id, draft, "acme/ann")
    await there.alert(vault="w")
    await there.turn(120)
    assert not hook.requests
    await there.parts.channels.change_channel(
        "acme", held.channel.id, replace(draft, enabled=True), "acme/ann"
    )
    await there.turn()
    assert told(hook) == [["raised v: agent_offline"]]


async def test_what_is_switched_off_leaves_room_for_others(
    there: Rig, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look takes so many messages: none that wait for a channel that is off."""
    monkeypatch.setattr(delivery_worker, "BATCH", 1)
    with receiver() as other:
        off = await there.channel(other.url(), "off", window=0)
        other.answers = [status(500)] * 9
        for number in range(3):
            await there.alert(vault=f"v{number}")
            await there.turn()
        shut = ChannelDraft("off", Type.WEBHOOK, enabled=False, terms=off.channel.terms)
        await there.parts.channels.change_channel("acme", off.channel.id, shut, "acme/ann")
        asked = len(other.requests)
        await there.channel(hook.url())
        await there.alert(vault="w")
        await there.turn(1000.0)
    assert told(hook) == [["raised w: agent_offline"]]
    assert len(other.requests) == asked
    assert [d.state for d in await there.deliveries()].count(State.WAITING) == 3


async def test_each_channel_has_its_turn(there: Rig, hook: Receiver) -> None:
    """However much waits of one: the first of each comes before the second of any."""
    hook.answers = [status(500)] * 9
    one = await there.channel(hook.url(), "one", window=0, vaults=("a", "b"))
    two = await there.channel(hook.url(), "two", window=0, vaults=("c",))
    for vault in ("a", "b", "c"):
        await there.alert(vault=vault)
        await there.turn()
    far = there.world.now() + 10**13
    found = await there.store.read(lambda tx: due_deliveries(tx, far, 3))
    assert [d.channel for d in found] == [one.channel.id, two.channel.id, one.channel.id]


async def test_one_organization_does_not_take_every_place(
    there: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever waits of it: the places that are left are for others."""
    monkeypatch.setattr(delivery_worker, "OF_ONE", 2)
    monkeypatch.setattr(delivery_worker, "BUSY", 3)
    busy, has_room = there.parts.worker._busy, there.parts.worker._has_room
    busy.update({("acme", "a"), ("acme", "b")})
    assert (has_room("acme"), has_room("other")) == (False, True)
    busy.add(("other", "c"))
    assert not has_room("third")
    busy.clear()


async def test_dead_letters_have_a_bound(
    there: Rig, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of the channel makes room."""
    monkeypatch.setattr(notification_queue, "DEAD", 2)
    await there.channel(hook.url(), per_hour=3600, kinds=(Kind.RAISED,), events=("agent_offline",))
    hook.answers = [status(410)] * 3
    for vault in ("a", "b", "c"):
        await there.alert(vault=vault)
        await there.turn(60)
    dead = await there.deliveries(State.DEAD)
    assert [d.notices[0].vault for d in dead] == ["c", "b"]


async def test_the_allowance_of_a_channel(there: Rig, hook: Receiver) -> None:
    """One an hour means one an hour; what waits comes together."""
    await there.channel(hook.url(), per_hour=1, window=0)
    for number in range(3):
        await there.alert(vault=f"v{number}")
        await there.turn(1)
    assert len(hook.requests) == 1
    await there.turn(3600)
    assert len(hook.requests) == 2
    await there.turn(3600)
    assert len([line for lines in told(hook) for line in lines]) == 3


async def test_an_acknowledgement_is_told_where_it_is_wanted(there: Rig, hook: Receiver) -> None:
    """Once, with who has seen it."""
    await there.channel(hook.url(), kinds=(Kind.ACKNOWLEDGED,))
    alert = await there.alert()
    await there.turn()
    for name in ("ann", "bob"):
        await there.alerts.acknowledge_alert("acme", alert.id, f"acme/{name}")
        await there.turn()
    assert told(hook) == [["acknowledged v: agent_offline (seen by acme/ann)"]]


async def test_terms_have_their_defaults() -> None:
    """Somebody who says nothing hears what matters, and is let sleep by nothing critical."""
    assert ChannelTerms().severity is Severity.WARNING
    assert ChannelTerms().urgent is Severity.CRITICAL
