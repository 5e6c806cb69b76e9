"""Events reach the other processes, and whoever lost one knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from actors import SystemWorld
from actors.testing import FakeWorld
from control.cluster import event_relay as module
from control.cluster.event_relay import SILENCE_TIMEOUT, EventRelay, agree_on_cluster, join_cluster
from control.core import Core
from control.errors import UnavailableError
from control.services.event_bus import Event, EventBus, Topic
from control.store.lease import ExclusiveLease
from tests.support.memory_pubsub import MemoryPubSub

WORLD = SystemWorld()


def event(number: int) -> Event:
    """One of many."""
    return Event(Topic.POLICY, "acme", "v", number)


class Process:
    """A bus and its relay."""

    def __init__(self, wire: MemoryPubSub) -> None:
        self.bus = EventBus()
        self.relay = EventRelay(self.bus, wire, "channel", WORLD)

    async def whole(self, *, is_so: bool = True) -> None:
        """Wait until it is."""
        with trio.fail_after(60):
            while self.relay.is_connected is not is_so:  # noqa: ASYNC110
                await trio.sleep(0.1)


@asynccontextmanager
async def processes(wire: MemoryPubSub, count: int = 2) -> AsyncIterator[list[Process]]:
    """So many, all of them heard."""
    made = [Process(wire) for _ in range(count)]
    async with trio.open_nursery() as nursery:
        for process in made:
            nursery.start_soon(process.relay.run)
        for process in made:
            await process.whole()
        await trio.sleep(2)  # each has met the others
        yield made
        nursery.cancel_scope.cancel()


async def test_what_one_publishes_is_delivered_in_all(autojump_clock: MockClock) -> None:
    """Once, in order, at once; not a second time where it was published."""
    async with processes(MemoryPubSub(), 3) as (one, two, three):
        with (
            one.bus.subscribe(Topic.POLICY) as here,
            two.bus.subscribe(Topic.POLICY) as there,
            three.bus.subscribe(Topic.POLICY) as yonder,
        ):
            events = [event(number) for number in range(1200)]
            one.bus.publish(*events)
            await trio.sleep(0.5)
            for subscription in (here, there, yonder):
                assert await subscription.receive() == (events, 0)
            await trio.sleep(5)
            with trio.move_on_after(1) as nothing_more:
                await there.receive()
            assert nothing_more.cancelled_caught


async def test_who_was_cut_off_looks_at_the_store(autojump_clock: MockClock) -> None:
    """At the cut and when the line is back, for nobody knows what was said in between."""
    wire = MemoryPubSub()
    async with processes(wire) as (one, two):
        with two.bus.subscribe(Topic.POLICY) as there:
            wire.disconnect()
            await two.whole(is_so=False)
            assert await there.receive() == ([], 1)
            one.bus.publish(event(1))
            wire.is_up = True
            await two.whole()
            await one.whole()
            await trio.sleep(2)
            events, lost = await there.receive()
            assert (events, lost > 0) == ([], True)
            one.bus.publish(event(2))
            await trio.sleep(0.5)
            assert await there.receive() == ([event(2)], 0)


async def test_one_lost_message_is_noticed_by_the_next(autojump_clock: MockClock) -> None:
    """Though nobody was cut off: within the second in which there always is a next one."""
    async with processes(MemoryPubSub()) as (one, two):
        with two.bus.subscribe(Topic.POLICY) as there:
            one.relay._number += 1
            with trio.fail_after(1.5):
                assert await there.receive() == ([], 1)


async def test_a_newcomer_costs_nobody_a_look(autojump_clock: MockClock) -> None:
    """Its first message is its number one; one that was met in the middle of its life costs one."""
    wire = MemoryPubSub()
    async with processes(wire, 1) as (one,):
        with one.bus.subscribe(Topic.POLICY) as here:
            async with processes(wire, 1):
                with trio.move_on_after(3) as calm:
                    await here.receive()
                assert calm.cancelled_caught


class MuteLine:
    """It takes everything and says nothing."""

    async def publish(self, _: bytes) -> None:
        """Into the void."""
        await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        """Never."""
        await trio.sleep_forever()
        raise AssertionError


class MuteWire(MemoryPubSub):
    """Half open."""

    opened = 0

    @asynccontextmanager
    async def open_channel(self, _: str) -> AsyncIterator[MuteLine]:  # type: ignore[override]
        """Seems to work."""
        self.opened += 1
        await trio.lowlevel.checkpoint()
        yield MuteLine()


async def test_a_mute_line_is_given_up(autojump_clock: MockClock) -> None:
    """It never counts as heard, and another one is tried."""
    wire = MuteWire()
    process = Process(wire)
    with trio.move_on_after(4 * SILENCE_TIMEOUT):
        await process.relay.run()
    assert not process.relay.is_connected
    assert wire.opened > 1


async def test_too_much_is_dropped_and_told(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is bounded; the others learn that some is missing."""
    monkeypatch.setattr(module, "WAITING", 10)
    async with processes(MemoryPubSub()) as (one, two):
        with two.bus.subscribe(Topic.POLICY) as there:
            one.bus.publish(*(event(number) for number in range(11)))
            await trio.sleep(2)
            assert await there.receive() == ([], 1)


async def test_nonsense_on_the_channel_is_passed_over(autojump_clock: MockClock) -> None:
    """Whoever else speaks there ends nothing."""
    wire = MemoryPubSub()
    async with processes(wire) as (one, two):
        async with wire.open_channel("channel") as line:
            await line.publish(b"\xc1")
        with two.bus.subscribe(Topic.POLICY) as there:
            one.bus.publish(event(1))
            await trio.sleep(0.5)
            assert await there.receive() == ([event(1)], 0)


async def test_all_of_one_database_have_one_channel(core: Core, world: FakeWorld) -> None:
    """And whoever has other keys is none of them."""
    agreed = [
        await core.store.write(lambda tx, fresh=fresh: agree_on_cluster("keys", fresh, tx))
        for fresh in ("first", "second")
    ]
    assert agreed == ["first", "first"]
    with pytest.raises(UnavailableError, match="keys_differ"):
        async with join_cluster(core.store, core.bus, MemoryPubSub(), "others", world):
            pytest.fail("it was let in")


async def test_one_that_is_alone_hears_nobody_and_agrees_with_nobody(
    core: Core, world: FakeWorld
) -> None:
    """Nothing is written."""
    async with join_cluster(core.store, core.bus, None, "keys", world):
        assert core.bus.is_connected()
    assert await core.store.write(lambda tx: agree_on_cluster("others", "x", tx)) == "x"


async def test_others_are_heard(core: Core, world: FakeWorld) -> None:
    """Once the line is open."""
    async with join_cluster(core.store, core.bus, MemoryPubSub(), "keys", world):
        with trio.fail_after(30):
            while not core.bus.is_connected():  # noqa: ASYNC110
                await trio.sleep(0.01)


class Lost(ExclusiveLease):
    """Somebody else has it."""

    async def keep(self) -> None:
        """At once."""
        raise UnavailableError("database_taken", "another process serves this database")


async def test_a_lost_place_ends_the_process(core: Core, world: FakeWorld) -> None:
    """With the error that says so."""
    core.store.lease = Lost()
    with pytest.RaisesGroup(UnavailableError):
        async with join_cluster(core.store, core.bus, None, "keys", world):
            await trio.sleep_forever()
