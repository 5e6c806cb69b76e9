"""Nothing is deleted by age because of a reading of the clock; what was kept is kept by all."""

import logging

import pytest

from actors.testing import FakeWorld
from control.services.deletion_guard import CLOCK_NAME, DeletionGuard, confirm, record_clock
from control.store.shared_values import get_shared_value
from control.store.store import Store
from protocols.instant import SECOND

DAY = 86_400


class Sweeps:
    """A job that deletes, behind the guard of one process."""

    def __init__(self, store: Store, world: FakeWorld) -> None:
        self.guard = DeletionGuard(store, world)
        self.count = 0
        self.run = self.guard.guard(self._sweep)

    async def _sweep(self) -> None:
        self.count += 1


async def test_a_clock_that_jumps_deletes_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The jobs wait, and that is told once; when the clock is right again they go on."""
    world = FakeWorld()
    job = Sweeps(store, world)
    await job.run()
    assert job.count == 1
    world.step_wall(400 * DAY)
    with caplog.at_level(logging.ERROR, "freehold.control"):
        for _ in range(3):
            world.advance(DAY)
            await job.run()
    assert job.count == 1
    assert job.guard.is_suspended
    assert [record.message.count("confirm-clock") for record in caplog.records] == [0, 1]
    assert "jumped" in caplog.records[0].message
    world.step_wall(-400 * DAY)
    await job.run()
    assert job.count == 2
    assert not job.guard.is_suspended


async def test_a_start_with_a_wrong_clock_deletes_nothing(store: Store) -> None:
    """What an earlier run has stored is where the next one goes on from."""
    world = FakeWorld()
    await Sweeps(store, world).run()
    later = FakeWorld(now=world.wall() + 400 * DAY * SECOND)
    job = Sweeps(store, later)
    await job.run()
    assert job.count == 0


async def test_an_operator_confirms_for_all_processes(store: Store) -> None:
    """Beside them, in the database."""
    world = FakeWorld()
    job = Sweeps(store, world)
    await job.run()
    world.step_wall(400 * DAY)
    await job.run()
    assert job.count == 1
    await store.write(lambda tx: confirm(tx, world.wall()))
    await job.run()
    assert job.count == 2
    await store.write(lambda tx: record_clock(tx, 5))  # it never goes back
    assert int(await store.read(lambda tx: get_shared_value(tx, CLOCK_NAME))) == world.wall()


async def test_the_time_outlives_the_process(store: Store) -> None:
    """A clock that is set back meanwhile revives no session; one reading leaves no trace."""
    world = FakeWorld()
    await DeletionGuard(store, world).look()
    world.advance(DAY)
    await DeletionGuard(store, world).look()
    passed = world.now()
    world.step_wall(400 * DAY)
    await DeletionGuard(store, world).look()
    later = FakeWorld(now=passed - 3600 * SECOND)
    await DeletionGuard(store, later).look()
    assert later.now() == passed


async def test_an_operator_confirms_a_clock_that_was_ahead_for_long(store: Store) -> None:
    """Of the processes that run, and of those that start later."""
    world = FakeWorld()
    guard = DeletionGuard(store, world)
    await guard.look()
    world.advance(30 * DAY)
    await guard.look()
    world.step_wall(-30 * DAY)
    assert world.now() > world.wall()
    await store.write(lambda tx: confirm(tx, world.wall()))
    await guard.look()
    assert world.now() == world.wall()
    later = FakeWorld(now=world.wall())
    await DeletionGuard(store, later).look()
    assert later.now() == later.wall()
