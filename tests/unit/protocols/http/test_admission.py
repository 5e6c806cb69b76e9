"""The limit of requests in hand: a floor, and above it what the wait allows."""

from protocols.http.admission import Admission
from protocols.http.limits import Limits

LIMITS = Limits(in_hand=10, urgent_in_hand=2, delay_seconds=0.1)


def _filled(admission: Admission, count: int) -> Admission:
    for _ in range(count):
        assert admission.enter()
    return admission


def _done(admission: Admission, count: int) -> None:
    for _ in range(count):
        assert admission.enter()
        admission.leave()


def test_up_to_the_limit_all_are_let_in_and_then_none() -> None:
    """One that leaves makes room for one."""
    admission = _filled(Admission(LIMITS), 10)
    assert admission.room == 0
    assert not admission.enter()
    admission.leave()
    assert admission.enter()
    assert not admission.enter()


def test_the_lane_of_operators_is_bounded_too() -> None:
    """What is urgent gets through beyond the limit, but not without end."""
    admission = _filled(Admission(LIMITS), 10)
    assert [admission.enter_urgently() for _ in range(3)] == [True, True, False]


def test_who_waits_for_his_client_is_in_nobodys_way() -> None:
    """Any number of slow clients takes no place; who was let in once is let on."""
    admission = _filled(Admission(LIMITS), 10)
    admission.step_out()
    assert admission.enter()
    admission.step_in()
    assert (admission.inside, admission.room) == (11, -1)


def test_who_waits_for_a_disk_keeps_no_reader_out() -> None:
    """A quarter of the places is for reads alone, wherever else the others wait meanwhile."""
    admission = Admission(LIMITS)
    assert sum(admission.enter(changes=True) for _ in range(20)) == 8
    assert admission.room == 2
    for _ in range(8):
        admission.step_out(changes=True)  # for their bodies
    assert sum(admission.enter(changes=True) for _ in range(20)) == 8
    for _ in range(8):
        admission.step_in(changes=True)
    assert (admission.inside, admission.room) == (16, 2)
    assert not admission.enter(changes=True)
    assert [admission.enter() for _ in range(3)] == [True, True, False]
    assert [admission.enter_urgently() for _ in range(3)] == [True, True, False]
    for _ in range(16):
        admission.leave(changes=True)
    assert (admission.inside, admission.changing, admission.room) == (4, 0, 6)


def test_cheap_requests_raise_the_limit_to_what_the_wait_allows() -> None:
    """A millisecond each: a hundred of them take the tenth of a second that is allowed."""
    admission = Admission(LIMITS)
    _done(admission, 1000)
    admission.measure(1.0)
    assert admission.limit == 100


def test_dear_requests_do_not_lower_it_below_the_floor() -> None:
    """However much each costs, so many are let in."""
    admission = Admission(LIMITS)
    _done(admission, 100)
    admission.measure(10.0)
    assert admission.limit == 10


def test_one_odd_second_does_not_move_it_far() -> None:
    """The estimate is smoothed; and a few requests say nothing."""
    admission = Admission(LIMITS)
    _done(admission, 1000)
    admission.measure(1.0)
    _done(admission, 1000)
    admission.measure(5.0)
    assert admission.limit == 50  # the mean cost is 2 ms, not 5
    _done(admission, 3)
    admission.measure(1.0)
    assert admission.limit == 50


def test_what_nobody_measured_says_nothing() -> None:
    """The limit stays, and those that ended unwatched are not put down to the next measurement."""
    admission = Admission(LIMITS)
    _done(admission, 1000)
    admission.measure(None)
    _done(admission, 1000)
    admission.measure(1.0)
    assert admission.limit == 100


def test_a_crowd_is_told_before_the_limit() -> None:
    """From a quarter of the floor on it is worth knowing what a request costs."""
    admission = _filled(Admission(LIMITS), 1)
    assert not admission.crowded
    assert _filled(admission, 1).crowded


def test_refusals_are_counted() -> None:
    """For the metric."""
    admission = Admission(LIMITS)
    admission.refuse()
    assert admission.refused == 1
