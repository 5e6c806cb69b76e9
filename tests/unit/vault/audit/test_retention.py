"""What is announced holds for the clock by which it was announced."""

from typing import Final

from actors.slewed_clock import SlewedClock
from actors.testing import FakeWorld
from protocols.instant import SECOND
from vault.audit.record import RetentionBody as Released
from vault.audit.retention import DAY, NOTICE_PERIOD, RetentionSchedule, RetentionStep

OLD: Final = Released(through=3, first=100)
DAY_SECONDS: Final = DAY // SECOND


def made(world: FakeWorld) -> RetentionSchedule:
    """Of a log that is kept for 90 days."""
    return RetentionSchedule(SlewedClock(world.wall(), world.wall, world.uptime), 90)


def looked(retention: RetentionSchedule, world: FakeWorld) -> RetentionStep:
    """A look at a log with old segments; what it has found is made durable."""
    step = retention.plan(lambda _before: OLD, world.new_id)
    retention.notice = step.notice
    return step


def test_a_week_after_it_was_announced() -> None:
    """Not a second sooner."""
    world = FakeWorld()
    retention = made(world)
    assert looked(retention, world).event is not None
    world.advance(7 * DAY_SECONDS - 1)
    assert looked(retention, world).released is None
    world.advance(2)
    assert looked(retention, world).released == OLD


def test_nothing_goes_that_was_not_announced() -> None:
    """What has become old since then waits for a notice of its own."""
    world = FakeWorld()
    retention = made(world)
    looked(retention, world)
    world.advance(8 * DAY_SECONDS)
    more = Released(through=5, first=200)
    assert retention.plan(lambda _before: more, world.new_id).released == OLD


def test_no_step_of_the_clock_shortens_the_notice() -> None:
    """Each begins it anew, however often somebody confirms a later time."""
    world = FakeWorld()
    retention = made(world)
    assert looked(retention, world).event is not None
    for days in (30, 10, 15):
        world.step_wall(days * DAY_SECONDS)
        retention.clock.step()
        assert retention.notice is None
        step = looked(retention, world)
        assert step.released is None
        assert step.event is not None
        assert step.notice is not None
        assert step.notice.due == world.wall() + NOTICE_PERIOD
    world.advance(7 * DAY_SECONDS - 1)
    assert looked(retention, world).released is None
    world.advance(2)
    assert looked(retention, world).released == OLD


def test_a_step_while_somebody_looks() -> None:
    """What he has found is of the clock before."""
    world = FakeWorld()
    retention = made(world)
    step = retention.plan(lambda _before: OLD, world.new_id)
    world.step_wall(30 * DAY_SECONDS)
    retention.clock.step()
    retention.notice = step.notice
    assert retention.notice is None
    assert looked(retention, world).released is None
    assert retention.notice is not None
