"""Periodic work: each job returns by its period, survives its failures, and ends in order."""

import pytest
import trio
from trio.testing import MockClock

from actors.periodic import LAST_SECONDS, Job, Trigger, run_periodic_jobs
from actors.testing import FakeWorld


class Count:
    """A job that counts its runs, and fails when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.fail = False

    async def __call__(self) -> None:
        """One run."""
        self.runs += 1
        if self.fail:
            self.fail = False
            raise OSError("the disk is away")


async def _pass(world: FakeWorld, seconds: float) -> None:
    """Let the world's clock move, and everybody who waited for it run."""
    await trio.testing.wait_all_tasks_blocked()
    world.advance(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def test_a_job_returns_by_its_period(autojump_clock: MockClock) -> None:
    """A job runs once a period, and never at the very start."""
    world, count = FakeWorld(), Count()
    async with run_periodic_jobs([Job("count", 10.0, count)], world):
        await _pass(world, 10.0)
        assert count.runs <= 1
        before = count.runs
        for _ in range(5):
            await _pass(world, 10.0)
        assert count.runs - before == 5


async def test_a_bell_need_not_wait_for_the_period(autojump_clock: MockClock) -> None:
    """Rung often before anybody hears it, it is heard once; what comes later is heard again."""
    world, count, bell = FakeWorld(), Count(), Trigger()
    async with run_periodic_jobs([Job("count", 10.0, count, trigger=bell)], world):
        for runs in (1, 2):
            bell.fire()
            bell.fire()
            await trio.testing.wait_all_tasks_blocked()
            assert count.runs == runs


async def test_a_failure_does_not_end_the_job(autojump_clock: MockClock) -> None:
    """A job that raised runs again at its next turn."""
    world, count = FakeWorld(), Count()
    count.fail = True
    async with run_periodic_jobs([Job("count", 10.0, count)], world):
        for _ in range(8):
            await _pass(world, 10.0)
    assert count.runs >= 3


async def test_a_job_may_run_at_the_end(autojump_clock: MockClock) -> None:
    """`at_end` runs a job once more when the block ends; without it, it does not."""
    world, kept, plain = FakeWorld(), Count(), Count()
    async with run_periodic_jobs(
        [Job("kept", 10.0, kept, at_end=True), Job("plain", 10.0, plain)], world
    ):
        await trio.testing.wait_all_tasks_blocked()
    assert (kept.runs, plain.runs) == (1, 0)


async def test_a_last_run_that_does_not_end_is_cut_off(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A stop is no failure for it."""
    began = trio.current_time()
    async with run_periodic_jobs(
        [Job("stuck", 10.0, trio.sleep_forever, at_end=True)], FakeWorld()
    ):
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() - began < LAST_SECONDS + 1
    assert "job stuck was cut off" in caplog.text


async def test_the_tree_shows_the_jobs(autojump_clock: MockClock) -> None:
    """Every job is an actor of its own, under its name."""
    async with run_periodic_jobs(
        [Job("one", 1.0, Count()), Job("two", 1.0, Count())], FakeWorld()
    ) as tree:
        names = [node.name for node in tree.snapshot().walk()]
    assert [name.rpartition("/")[2] for name in names] == ["work", "one", "two"]
