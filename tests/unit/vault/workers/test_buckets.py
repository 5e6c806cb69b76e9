"""vault.workers.buckets: one limit, and one lockout, for all processes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.instant import SECOND
from tests.unit.vault.workers.pages import new_page
from vault.authn.lockout import DURATION, FAILURES, Lockout
from vault.authz.rate_limits import SKEW, Limit, TokenBuckets
from vault.workers import page
from vault.workers.buckets import SharedBuckets, SharedLockout

ADDRESSES = ("a", "b")
KEY = ("id", "10.0.0.1")
FINEST = 8  # ns; a failure's time is kept so exactly


def test_one_bucket_for_two_processes() -> None:
    """What one has taken the other cannot take again."""
    memory = new_page()
    one, two = (SharedBuckets(memory, Limit.REQUESTS, rate=1, burst=4) for _ in range(2))
    assert [bucket.take_token("a", SECOND) for bucket in (one, two, one, two)] == [0] * 4
    assert one.take_token("a", SECOND) == two.take_token("a", SECOND) > 0
    assert two.take_token("b", SECOND) == 0


def test_buckets_of_another_name_are_others() -> None:
    """Of one caller too: a burst of requests is no failed login."""
    memory = new_page()
    requests, failures = (
        SharedBuckets(memory, name, rate=1, burst=1) for name in (Limit.REQUESTS, Limit.FAILURES)
    )
    assert requests.take_token("a", SECOND) == 0
    assert requests.take_token("a", SECOND) > 0
    assert failures.take_token("a", SECOND) == 0


@given(st.lists(st.tuples(st.sampled_from(ADDRESSES), st.integers(0, 3 * SECOND)), max_size=60))
def test_as_the_one_of_a_single_process(steps: list[tuple[str, int]]) -> None:
    """The same answers as `TokenBuckets` at the same times, whichever process is asked."""
    memory, single = new_page(), TokenBuckets(2, 3)
    processes = itertools.cycle([SharedBuckets(memory, Limit.REQUESTS, 2, 3) for _ in range(2)])
    now = 1
    for key, step in steps:
        now += step
        assert next(processes).take_token(key, now) == single.take_token(key, now)


def test_more_callers_than_places() -> None:
    """None is refused for another's use, and the one who has just been refused still is."""
    shared = SharedBuckets(new_page(), Limit.REQUESTS, rate=1, burst=1)
    assert all(shared.take_token(f"caller {n}", n + 1) == 0 for n in range(3 * page.BUCKETS))
    last = f"caller {3 * page.BUCKETS - 1}"
    assert shared.take_token(last, 3 * page.BUCKETS) > 0


@pytest.mark.parametrize("flooded", Limit)
def test_a_flood_disturbs_no_other_limit(flooded: Limit) -> None:
    """Many nearly empty buckets of one limit push no bucket of another one out."""
    memory = new_page()
    limits = {
        limit: SharedBuckets(memory, limit, rate=1, burst=10 if limit == flooded else 1)
        for limit in Limit
    }
    others = [buckets for limit, buckets in limits.items() if limit != flooded]
    assert [buckets.take_token("caller", SECOND) for buckets in others] == [0] * len(others)
    for number in range(2 * page.BUCKETS):
        limits[flooded].charge(f"address {number}", 10, SECOND)
    assert all(buckets.take_token("caller", SECOND) for buckets in others)


def test_tokens_of_another_agent_are_charged() -> None:
    """For all processes, as `TokenBuckets.charge` does."""
    memory, single = new_page(), TokenBuckets(1, 4)
    one, two = (SharedBuckets(memory, Limit.FAILURES, rate=1, burst=4) for _ in range(2))
    for buckets in (one, single):
        buckets.charge("a", 3, SECOND)
    for buckets in (two, single):
        assert [buckets.take_token("a", SECOND) for _ in range(2)] == [0, SECOND]


def test_a_clock_that_was_ahead_closes_no_bucket() -> None:
    """When it is right again; nor does it fill one."""
    shared = SharedBuckets(new_page(), Limit.REQUESTS, rate=1, burst=2)
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
    ahead, late = (SharedBuckets(memory, Limit.REQUESTS, rate=1, burst=4) for _ in range(2))
    taken = [
        ahead.take_token("a", now) if one else late.take_token("a", now - behind) for one in turns
    ]
    assert taken.count(0) <= 4 + behind // SECOND + 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["fails", "fails", "fails", "succeeds"]),
            st.sampled_from(ADDRESSES),
            st.sampled_from([0, SECOND, DURATION // 4, DURATION - SECOND, DURATION]),
        ),
        max_size=60,
    )
)
def test_a_lockout_is_as_that_of_a_single_process(steps: list[tuple[str, str, int]]) -> None:
    """The same answers as `Lockout`, whichever process counts and whichever is asked."""
    memory, single = new_page(), Lockout()
    one, two = (SharedLockout(memory) for _ in range(2))
    processes = itertools.cycle([one, two])
    now = 1_800_000_000 * SECOND // FINEST * FINEST
    for what, address, step in steps:
        now += step // FINEST * FINEST
        key = ("id", address)
        shared = next(processes)
        for lockout in (shared, single):
            if what == "fails":
                lockout.record_failure(key, now)
            else:
                lockout.record_success(key)
        for each in ADDRESSES:
            locked = single.is_locked(("id", each), now)
            assert [one.is_locked(("id", each), now), two.is_locked(("id", each), now)] == [
                locked,
                locked,
            ]
        assert one.begun == two.begun == single.begun


def test_failures_beyond_all_places() -> None:
    """Many others that fail cost nobody his right secret, and let him who fails now off nothing."""
    memory = new_page()
    shared, now = SharedLockout(memory), 1_800_000_000 * SECOND
    for number in range(2 * page.FAILURES):
        shared.record_failure((f"id {number}", "10.0.0.2"), now + number * FINEST)
    now += 2 * page.FAILURES * FINEST
    assert not shared.is_locked(KEY, now)
    for number in range(FAILURES):
        shared.record_failure(KEY, now + number * FINEST)
    assert SharedLockout(memory).is_locked(KEY, now + FAILURES * FINEST)


def test_a_lockout_outlives_those_that_were_before_it() -> None:
    """A full table gives up who failed longest ago, and not whoever was locked last."""
    shared, now = SharedLockout(new_page()), 1_800_000_000 * SECOND
    for number in range(2 * page.FAILURES):
        shared.record_failure((f"id {number}", "10.0.0.2"), now)
    for _ in range(FAILURES):
        shared.record_failure(KEY, now + SECOND)
    for number in range(1000):
        shared.record_failure((f"later {number}", "10.0.0.2"), now)
    assert shared.is_locked(KEY, now + SECOND)
