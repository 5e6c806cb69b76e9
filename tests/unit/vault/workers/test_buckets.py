"""vault.workers.buckets: one limit for all processes."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.instant import SECOND
from tests.unit.vault.workers.pages import new_page
from vault.authz.rate_limits import SKEW, TokenBuckets
from vault.workers import page
from vault.workers.buckets import SharedBuckets


def test_one_bucket_for_two_processes() -> None:
    """What one has taken the other cannot take again."""
    memory = new_page()
    one, two = (SharedBuckets(memory, rate=1, burst=4) for _ in range(2))
    assert [bucket.take_token("a", SECOND) for bucket in (one, two, one, two)] == [0] * 4
    assert one.take_token("a", SECOND) == two.take_token("a", SECOND) > 0
    assert two.take_token("b", SECOND) == 0


@given(st.lists(st.integers(0, 3 * SECOND), max_size=60))
def test_as_the_one_of_a_single_process(steps: list[int]) -> None:
    """The same answers as `TokenBuckets` at the same times."""
    shared, single = SharedBuckets(new_page(), 2, 3), TokenBuckets(2, 3)
    now = 1
    for step in steps:
        now += step
        assert shared.take_token("a", now) == single.take_token("a", now)


def test_more_callers_than_places() -> None:
    """None is refused for another's use, and the one who has just been refused still is."""
    shared = SharedBuckets(new_page(), rate=1, burst=1)
    assert all(shared.take_token(f"caller {n}", n + 1) == 0 for n in range(3 * page.BUCKETS))
    last = f"caller {3 * page.BUCKETS - 1}"
    assert shared.take_token(last, 3 * page.BUCKETS) > 0


def test_a_clock_that_was_ahead_closes_no_bucket() -> None:
    """When it is right again; nor does it fill one."""
    shared = SharedBuckets(new_page(), rate=1, burst=2)
    for _ in range(3):
        shared.take_token("a", 10**6 * SECOND)
    taken = [shared.take_token("a", now) for now in (SECOND, SECOND, 2 * SECOND, 2 * SECOND)]
    assert taken == [0, SECOND, 0, SECOND]


@given(st.integers(0, SKEW), st.lists(st.booleans(), min_size=20, max_size=60))
def test_processes_whose_clocks_differ_fill_no_bucket_for_each_other(
    behind: int, turns: list[bool]
) -> None:
    """All at one moment: together they take as much as one of them, and what the clocks differ."""
    memory, now = new_page(), 100 * SECOND
    ahead, late = (SharedBuckets(memory, rate=1, burst=4) for _ in range(2))
    taken = [
        ahead.take_token("a", now) if one else late.take_token("a", now - behind) for one in turns
    ]
    assert taken.count(0) <= 4 + behind // SECOND + 1
