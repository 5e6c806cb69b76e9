"""The limit of requests in hand: a floor, and above it what the wait allows."""

from protocols.http.admission import AdmissionControl
from protocols.http.limits import Limits

LIMITS = Limits(in_hand=10, urgent_in_hand=2, delay_seconds=0.1)


def _filled(admission: AdmissionControl, count: int) -> AdmissionControl:
    for _ in range(count):
        assert admission.try_admit()
    return admission


def _done(admission: AdmissionControl, count: int) -> None:
    for _ in range(count):
        assert admission.try_admit()
        admission.release_slot()


def test_up_to_the_limit_all_are_let_in_and_then_none() -> None:
    """One that leaves makes room for one."""
    admission = _filled(AdmissionControl(LIMITS), 10)
    assert admission.free_slots == 0
    assert not admission.try_admit()
    admission.release_slot()
    assert admission.try_admit()
    assert not admission.try_admit()


def test_the_lane_of_operators_is_bounded_too() -> None:
    """What is urgent gets through beyond the limit, but not without end."""
    admission = _filled(AdmissionControl(LIMITS), 10)
    assert [admission.try_admit_urgent() for _ in range(3)] == [True, True, False]


def test_who_waits_for_his_client_is_in_nobodys_way() -> None:
    """Any number of slow clients takes no place; who was let in once is let on."""
    admission = _filled(AdmissionControl(LIMITS), 10)
    admission.suspend()
    assert admission.try_admit()
    admission.resume()
    assert (admission.in_flight, admission.free_slots) == (11, -1)


def test_who_waits_for_a_disk_keeps_no_reader_out() -> None:
    """A quarter of the places is for reads alone, wherever else the others wait meanwhile."""
    admission = AdmissionControl(LIMITS)
    assert sum(admission.try_admit(mutating=True) for _ in range(20)) == 8
    assert admission.free_slots == 2
    for _ in range(8):
        admission.suspend(mutating=True)  # for their bodies
    assert sum(admission.try_admit(mutating=True) for _ in range(20)) == 8
    for _ in range(8):
        admission.resume(mutating=True)
    assert (admission.in_flight, admission.free_slots) == (16, 2)
    assert not admission.try_admit(mutating=True)
    assert [admission.try_admit() for _ in range(3)] == [True, True, False]
    assert [admission.try_admit_urgent() for _ in range(3)] == [True, True, False]
    for _ in range(16):
        admission.release_slot(mutating=True)
    assert (admission.in_flight, admission.mutating, admission.free_slots) == (4, 0, 6)


def test_cheap_requests_raise_the_limit_to_what_the_wait_allows() -> None:
    """A millisecond each: a hundred of them take the tenth of a second that is allowed."""
    admission = AdmissionControl(LIMITS)
    _done(admission, 1000)
    admission.update_cost(1.0)
    assert admission.limit == 100


def test_dear_requests_do_not_lower_it_below_the_floor() -> None:
    """However much each costs, so many are let in."""
    admission = AdmissionControl(LIMITS)
    _done(admission, 100)
    admission.update_cost(10.0)
    assert admission.limit == 10


def test_one_odd_second_does_not_move_it_far() -> None:
    """The estimate is smoothed; and a few requests say nothing."""
    admission = AdmissionControl(LIMITS)
    _done(admission, 1000)
    admission.update_cost(1.0)
    _done(admission, 1000)
    admission.update_cost(5.0)
    assert admission.limit == 50  # the mean cost is 2 ms, not 5
    _done(admission, 3)
    admission.update_cost(1.0)
    assert admission.limit == 50


def test_what_nobody_measured_says_nothing() -> None:
    """The limit stays, and those that ended unwatched are not put down to the next measurement."""
    admission = AdmissionControl(LIMITS)
    _done(admission, 1000)
    admission.update_cost(None)
    _done(admission, 1000)
    admission.update_cost(1.0)
    assert admission.limit == 100


def test_a_crowd_is_told_before_the_limit() -> None:
    """From a quarter of the floor on it is worth knowing what a request costs."""
    admission = _filled(AdmissionControl(LIMITS), 1)
    assert not admission.is_near_limit
    assert _filled(admission, 1).is_near_limit


def test_refusals_are_counted() -> None:
    """For the metric."""
    admission = AdmissionControl(LIMITS)
    admission.count_refusals()
    assert admission.refusals == 1
