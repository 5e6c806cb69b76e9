"""actors.slewed_clock: no reading of the machine's clock makes anything old by itself."""

from hypothesis import given
from hypothesis import strategies as st

from actors.slewed_clock import EARLY, PLAUSIBLE, SECOND, SLACK, SlewedClock, is_early
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


moves = st.lists(
    st.tuples(
        st.integers(0, 2 * DAY),  # seconds that pass
        st.integers(-500 * DAY, 500 * DAY) | st.just(0),  # the machine's clock is wrong by
        st.booleans(),  # a restart
    ),
    max_size=30,
)


@given(moves)
def test_latest_never_goes_below_a_true_time_that_was_known(steps: list[tuple[int, int, bool]]):
    """For any readings and restarts; and it has gone no faster than twice the time."""
    world = FakeWorld()
    clock, begun, wrong = of(world), world.wall(), 0
    known, passed = clock.value, 0
    for seconds, offset, restarts in steps:
        world.advance(seconds)
        passed += seconds
        world.step_wall(offset - wrong)
        wrong = offset
        now, truth = clock.latest(), begun + passed * SECOND
        assert now >= known
        assert now >= world.wall()
        assert clock.latest() == now
        if not wrong:
            assert truth <= now <= truth + passed * SECOND + SLACK
        assert begun + passed * SECOND // 2 <= clock.value <= begun + 2 * passed * SECOND
        known = min(clock.floor, truth)
        if restarts:
            clock = SlewedClock(world.wall(), world.wall, world.uptime)
            clock.resume(known)


@given(st.lists(st.integers(-500 * DAY, 500 * DAY), max_size=20))
def test_wrong_readings_leave_no_trace(offsets: list[int]) -> None:
    """As soon as the machine's clock is right, so is `latest`."""
    world = FakeWorld()
    for offset in offsets:
        world.step_wall(offset)
        assert world.now() >= world.wall()
        world.step_wall(-offset)
        assert 0 <= world.now() - world.wall() <= SLACK
        world.advance(2)
        assert world.now() == world.wall()


def test_a_clock_that_stands_still_or_runs_back_holds_no_credential() -> None:
    """At least half of the time that passes counts."""
    world = FakeWorld()
    begun = world.now()
    for hours in range(1, 11):
        world.advance(3600)
        world.step_wall(-3600 - 60)
        assert world.now() == begun + hours * 1800 * SECOND


def test_time_that_is_ahead_is_made_up() -> None:
    """The machine's clock was wrong for an hour: two hours later nothing is left of it."""
    world = FakeWorld()
    world.step_wall(DAY)
    world.advance(3600)
    world.now()
    world.step_wall(-DAY)
    assert world.now() == world.wall() + 3600 * SECOND
    world.advance(7200)
    assert world.now() == world.wall()


def test_what_was_read_before_an_earlier_run_is_known_counts_for_nothing() -> None:
    """After that, it does not go back; a process that follows takes what it is told."""
    world = FakeWorld()
    begun = world.now()
    world.clock.resume(begun - DAY * SECOND)
    assert world.clock.value == begun - DAY * SECOND
    assert world.now() == begun
    world.clock.resume(begun - 2 * DAY * SECOND)
    assert world.clock.value == begun - DAY * SECOND
    world.clock.set_to(begun - 2 * DAY * SECOND)
    assert world.clock.value == begun - 2 * DAY * SECOND


def test_a_step_goes_back_too() -> None:
    """Somebody has looked at the machine's clock."""
    world = FakeWorld()
    world.advance(DAY)
    world.now()
    world.step_wall(-DAY)
    assert world.now() > world.wall()
    world.clock.step()
    assert world.now() == world.wall()


def test_what_is_issued_in_the_future_is_early() -> None:
    """By more than processes and machines differ."""
    assert not is_early(EARLY, 0)
    assert is_early(EARLY + 1, 0)
