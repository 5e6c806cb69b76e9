"""The bus: bounded, never waits, tells what was lost."""

import trio
import trio.testing

from control.services.events import Bus, Event, Topic


def event(number: int, topic: Topic = Topic.LIFE) -> Event:
    """One of many."""
    return Event(topic, "acme", "v", number)


async def test_a_subscriber_gets_its_topics() -> None:
    """In order, and nothing else."""
    bus = Bus()
    with bus.subscribed(Topic.LIFE) as mine:
        bus.publish(event(1), event(2, Topic.ALERT), event(3))
        assert await mine.take() == ([event(1), event(3)], 0)
    bus.publish(event(4))
    with trio.move_on_after(0):
        await mine.take()
        raise AssertionError("it is no longer subscribed")


async def test_the_slow_lose_the_oldest_and_hear_of_it() -> None:
    """Publishing does not wait for them."""
    bus = Bus()
    with bus.subscribed(Topic.LIFE, bound=2) as mine:
        bus.publish(*(event(number) for number in range(5)))
        assert await mine.take() == ([event(3), event(4)], 3)
        bus.publish(event(5))
        assert await mine.take() == ([event(5)], 0)


async def test_a_waiting_subscriber_wakes() -> None:
    """By the next event."""
    bus = Bus()
    with bus.subscribed(Topic.LIFE) as mine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine.take)
            await trio.testing.wait_all_tasks_blocked()
            bus.publish(event(1))
