"""actors.slewed_clock: no reading of the machine's clock makes anything old by itself."""

from actors.slewed_clock import PLAUSIBLE, SECOND, SlewedClock
from actors.testing import FakeWorld

DAY = 86_400


def of(world: FakeWorld, start: int | None = None) -> SlewedClock:
    """A clock of this world, from where an earlier run ended."""
    return SlewedClock(world.wall() if start is None else start, world.wall, world.uptime)


def test_it_goes_with_the_machines_clock() -> None:
    """As long as nothing is wrong with it."""
    world = FakeWorld()
    clock = of(world)
    for _ in range(3):
        world.advance(DAY)
        assert clock.now() == clock.value == world.wall()
        assert clock.lag == 0


def test_a_jump_ahead_is_made_up_in_as_long_again() -> None:
    """A second of it for each that passes; until it is a week, nothing is to be deleted."""
    world = FakeWorld()
    clock, begun = of(world), world.wall()
    world.step_wall(30 * DAY)
    assert clock.now() == begun
    assert clock.is_suspended
    world.advance(10 * DAY)
    assert clock.now() == begun + 20 * DAY * SECOND
    assert clock.is_suspended
    world.advance(13 * DAY)
    assert clock.lag == PLAUSIBLE
    assert not clock.is_suspended
    world.advance(7 * DAY)
    assert clock.now() == world.wall()


def test_a_jump_that_is_taken_back_leaves_nothing() -> None:
    """One wrong reading is one reading."""
    world = FakeWorld()
    clock = of(world)
    world.step_wall(400 * DAY)
    assert clock.is_suspended
    world.step_wall(-400 * DAY)
    assert not clock.is_suspended
    assert clock.now() == world.wall()


def test_it_is_never_ahead_of_the_machines_clock() -> None:
    """What was once confirmed may be taken back."""
    world = FakeWorld()
    clock = of(world)
    world.step_wall(400 * DAY)
    clock.step()
    assert clock.now() == world.wall()
    kept = clock.value
    world.step_wall(-400 * DAY)
    assert clock.now() == world.wall()
    assert clock.value == kept


def test_the_time_an_agent_was_stopped_is_a_jump_too() -> None:
    """Nobody knows that it passed; a weekend is made up, a month is asked about."""
    world = FakeWorld()
    assert not of(world, world.wall() - 3 * DAY * SECOND).is_suspended
    clock = of(world, world.wall() - 30 * DAY * SECOND)
    assert clock.is_suspended
    clock.step()
    assert not clock.is_suspended
    assert clock.now() == world.wall()


def test_it_takes_over_how_far_another_has_come() -> None:
    """But never goes back for it, nor ahead of the machine's clock."""
    world = FakeWorld()
    clock, begun = of(world, world.wall() - 30 * DAY * SECOND), world.wall()
    clock.advance_to(begun - DAY * SECOND)
    assert clock.now() == begun - DAY * SECOND
    clock.advance_to(begun - 2 * DAY * SECOND)
    assert clock.now() == begun - DAY * SECOND
    clock.advance_to(begun + DAY * SECOND)
    assert clock.now() == begun
