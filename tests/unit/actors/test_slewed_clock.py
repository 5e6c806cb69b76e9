"""actors.slewed_clock: no reading of the machine's clock makes anything old by itself."""

from hypothesis import given
from hypothesis import strategies as st

from actors.slewed_clock import EARLY, MAX_LAG, SECOND, SLACK, STOP, SlewedClock, is_early
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
    assert clock.lag == MAX_LAG
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
    """For any readings and restarts; and it has gone no faster than twice the time.

    But for a reading that is wrong at a restart by no more than `STOP`: that is made up for.
    """
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
            assert truth <= now <= truth + passed * SECOND + STOP + SLACK
        assert begun + passed * SECOND // 2 <= clock.value <= begun + 2 * passed * SECOND
        known = min(clock.floor, truth)
        if restarts:
            clock = SlewedClock(world.wall(), world.wall, world.uptime)
            clock.resume(known)


def stopped(world: FakeWorld, clock: SlewedClock, seconds: int) -> SlewedClock:
    """The clock of the next run, after a stop."""
    start, shown = clock.value, clock.latest()
    world.advance(seconds)
    after = SlewedClock(world.wall(), world.wall, world.uptime)
    after.resume(start, shown)
    return after


@given(st.integers(0, DAY), st.integers(-500 * DAY, 0), st.integers(0, 30 * DAY))
def test_a_stop_of_a_day_revives_nothing(stop: int, back: int, later: int) -> None:
    """The clock is set back right after it, and time goes on by half; also over another start."""
    world = FakeWorld()
    clock = stopped(world, of(world), stop)
    begun = world.wall()
    world.step_wall(back)
    assert clock.latest() >= begun
    world.advance(later)
    assert clock.latest() >= begun + later * SECOND // 2
    assert stopped(world, clock, 0).latest() >= begun + later * SECOND // 2


@given(st.integers(DAY + 1, 7 * DAY), st.integers(-500 * DAY, 0))
def test_a_stop_of_a_week_revives_nothing_once_it_was_shown(stop: int, back: int) -> None:
    """From the next start on; the stop itself nobody can vouch for."""
    world = FakeWorld()
    clock = stopped(world, of(world), stop)
    begun = clock.latest()
    again = stopped(world, clock, 0)
    world.step_wall(back)
    assert again.latest() >= begun
    assert again.value < begun  # what deletes by age goes on at the bounded rate


@given(st.integers(7 * DAY + 1, 500 * DAY))
def test_a_run_with_an_implausible_clock_leaves_no_trace_in_the_next(ahead: int) -> None:
    """Though it had shown that time."""
    world = FakeWorld()
    clock = of(world)
    world.step_wall(ahead)
    clock = stopped(world, clock, 0)
    assert clock.latest() == world.wall()
    world.step_wall(-ahead)
    assert 0 <= clock.latest() - world.wall() <= SLACK
    assert stopped(world, clock, 60).latest() == world.wall()


def test_a_start_with_a_clock_that_is_a_day_ahead_holds_until_it_is_confirmed() -> None:
    """Nothing is deleted for it, and the time goes on by half meanwhile."""
    world = FakeWorld()
    clock, truth = of(world), world.wall()
    world.step_wall(DAY)
    clock = stopped(world, clock, 0)
    world.step_wall(-DAY)
    assert (clock.latest(), clock.now()) == (truth + STOP, truth)
    world.advance(DAY // 2)
    assert clock.latest() == truth + STOP + DAY // 4 * SECOND
    clock.step()
    assert clock.latest() == world.wall()


@given(st.lists(st.booleans(), max_size=40))
def test_wrong_starts_do_not_add_up(days: list[bool]) -> None:
    """Each a day ahead of the one before: never more than a week and a day."""
    world = FakeWorld()
    clock, truth = of(world), world.wall()
    for day in days:
        world.step_wall(DAY * day)
        clock = stopped(world, clock, 0)
        assert truth == clock.value
        assert clock.least <= truth + MAX_LAG + STOP


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
