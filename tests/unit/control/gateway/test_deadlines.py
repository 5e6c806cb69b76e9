"""What is due by time alone: nobody is forgotten, nobody is woken before his time."""

from collections.abc import AsyncIterator

import pytest
import trio

from actors.testing import FakeWorld
from control.gateway.deadlines import CHECKS_PER_TIMEOUT, Deadlines

DEAD = 30.0
LATE = DEAD / CHECKS_PER_TIMEOUT
NEVER = float("inf")


class Sleeper:
    """Is due when it says, and notes when it was woken."""

    def __init__(self, world: FakeWorld, due: float) -> None:
        self._world = world
        self.due = due
        self.woken: list[float] = []

    def wake(self) -> None:
        """Does nothing about it."""
        self.woken.append(self._world.monotonic())


@pytest.fixture
async def deadlines(world: FakeWorld) -> AsyncIterator[Deadlines]:
    """That run."""
    made = Deadlines(world, DEAD)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


async def pass_(world: FakeWorld, seconds: float) -> None:
    """In steps in which nobody sleeps twice."""
    for _ in range(round(seconds / LATE * 2)):
        await trio.testing.wait_all_tasks_blocked()
        world.advance(LATE / 2)
    await trio.testing.wait_all_tasks_blocked()


async def test_everybody_is_woken_in_time(world: FakeWorld, deadlines: Deadlines) -> None:
    """Not before it is due, and not later than a thirtieth of the time that a silent peer has."""
    sleepers = [Sleeper(world, due) for due in (9.0, 3.5, 3.5, 12.25)]
    for sleeper in sleepers:
        deadlines.add_connection(sleeper)
    await pass_(world, 15)
    for sleeper in sleepers:
        assert sleeper.due <= sleeper.woken[0] <= sleeper.due + LATE


async def test_who_has_more_time_meanwhile_sleeps_on(
    world: FakeWorld, deadlines: Deadlines
) -> None:
    """Something came: the later time counts, and no earlier one is heard of again."""
    sleeper = Sleeper(world, 5.0)
    deadlines.add_connection(sleeper)
    await pass_(world, 4)
    sleeper.due = 11.0
    await pass_(world, 6)
    assert sleeper.woken == []
    await pass_(world, 2)
    assert 11.0 <= sleeper.woken[0] <= 11.0 + LATE


async def test_who_stays_due_is_woken_again(world: FakeWorld, deadlines: Deadlines) -> None:
    """A wake-up that was of no use is not the last one."""
    sleeper = Sleeper(world, 2.0)
    deadlines.add_connection(sleeper)
    await pass_(world, 6)
    assert len(sleeper.woken) >= 3


async def test_who_is_over_is_let_go(world: FakeWorld, deadlines: Deadlines) -> None:
    """Nothing is kept of connections that ended, once they would have been due."""
    sleepers = [Sleeper(world, 3.0) for _ in range(10)]
    for sleeper in sleepers:
        deadlines.add_connection(sleeper)
        sleeper.due = NEVER
    await pass_(world, 5)
    assert len(deadlines) == 0
    assert all(sleeper.woken == [] for sleeper in sleepers)
