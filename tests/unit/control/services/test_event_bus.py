"""The bus: bounded, never waits, tells what was lost."""

import msgspec
import trio
import trio.testing

from control.services.event_bus import Event, EventBus, Topic


def event(number: int, topic: Topic = Topic.LIFE) -> Event:
    """One of many."""
    return Event(topic, "acme", "v", number)


async def test_a_subscriber_gets_its_topics() -> None:
    """In order, and nothing else."""
    bus = EventBus()
    with bus.subscribe(Topic.LIFE) as mine:
        bus.publish(event(1), event(2, Topic.ALERT), event(3))
        assert await mine.receive() == ([event(1), event(3)], 0)
    bus.publish(event(4))
    with trio.move_on_after(0):
        await mine.receive()
        raise AssertionError("it is no longer subscribed")


async def test_the_slow_lose_the_oldest_and_hear_of_it() -> None:
    """Publishing does not wait for them."""
    bus = EventBus()
    with bus.subscribe(Topic.LIFE, bound=2) as mine:
        bus.publish(*(event(number) for number in range(5)))
        assert await mine.receive() == ([event(3), event(4)], 3)
        bus.publish(event(5))
        assert await mine.receive() == ([event(5)], 0)


async def test_a_waiting_subscriber_wakes() -> None:
    """By the next event."""
    bus = EventBus()
    with bus.subscribe(Topic.LIFE) as mine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine.receive)
            await trio.testing.wait_all_tasks_blocked()
            bus.publish(event(1))


async def test_a_lapse_is_a_loss() -> None:
    """Also for who waits, and without any event."""
    bus = EventBus()
    with bus.subscribe(Topic.LIFE) as mine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine.receive)
            await trio.testing.wait_all_tasks_blocked()
            bus.mark_all_lost()
        bus.mark_all_lost()
        assert await mine.receive() == ([], 1)
        bus.publish(event(1))
        assert await mine.receive() == ([event(1)], 0)


def test_what_came_from_elsewhere_does_not_go_there_again() -> None:
    """Only what is published here is carried to others."""
    bus = EventBus()
    carried: list[tuple[Event, ...]] = []
    bus.forward = carried.append
    bus.publish(event(1), event(2))
    bus.publish_locally(event(3))
    bus.publish()
    assert carried == [(event(1), event(2))]


def test_processes_of_before_and_of_now_read_each_other() -> None:
    """An event without a generation spares nobody; one with it is read by who knows of none."""

    class Before(msgspec.Struct):
        topic: Topic
        org: str
        vault: str
        subject: str | int

    old = msgspec.msgpack.encode(Before(Topic.LIFE, "acme", "v", "replaced"))
    assert msgspec.msgpack.decode(old, type=Event) == Event(Topic.LIFE, "acme", "v", "replaced")
    new = msgspec.msgpack.encode(Event(Topic.LIFE, "acme", "v", "replaced", 7))
    assert msgspec.msgpack.decode(new, type=Before) == Before(Topic.LIFE, "acme", "v", "replaced")
    assert msgspec.msgpack.decode(new, type=Event).generation == 7
