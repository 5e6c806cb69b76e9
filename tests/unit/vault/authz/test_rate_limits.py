"""Token buckets: rate, burst, the wait, and the bound on keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.authz.rate_limits import SKEW, RateLimiter, TokenBuckets
from vault.errors import RateLimitError

SECOND = 10**9


def test_burst_then_rate() -> None:
    """`burst` at once, then one for each step; the wait that is told is exact."""
    buckets = TokenBuckets(rate=10, burst=3)
    assert [buckets.take_token("k", 0) for _ in range(3)] == [0, 0, 0]
    wait = buckets.take_token("k", 0)
    assert wait == SECOND // 10
    assert buckets.take_token("k", wait - 1) == 1
    assert buckets.take_token("k", wait) == 0
    assert buckets.take_token("k", wait) > 0


def test_a_refusal_costs_nothing() -> None:
    """Whoever hammers while refused is not refused for longer."""
    buckets = TokenBuckets(rate=1, burst=1)
    buckets.take_token("k", 0)
    assert {buckets.take_token("k", 0) for _ in range(100)} == {SECOND}
    assert buckets.take_token("k", SECOND) == 0


def test_keys_are_strangers() -> None:
    """One key's use never slows another."""
    buckets = TokenBuckets(rate=1, burst=1)
    assert [buckets.take_token(key, 0) for key in "abcab"] == [0, 0, 0, SECOND, SECOND]


def test_bounded() -> None:
    """At most `max_keys` are kept; the one unused for longest goes first."""
    buckets = TokenBuckets(rate=1, burst=1, max_keys=2)
    for key in ("a", "b", "a", "c"):
        buckets.take_token(key, 0)
    assert len(buckets) == 2
    assert buckets.take_token("a", 0) > 0
    assert buckets.take_token("b", 0) == 0


@given(
    st.integers(1, 50),
    st.integers(1, 20),
    st.lists(st.integers(0, SECOND), min_size=1, max_size=80),
)
def test_never_more_than_allowed(rate: int, burst: int, gaps: list[int]) -> None:
    """In any stretch of time at most burst + rate * time requests pass."""
    buckets, now, passed = TokenBuckets(rate, burst), 0, []
    for gap in gaps:
        now += gap
        if buckets.take_token("k", now) == 0:
            passed.append(now)
    for i, start in enumerate(passed):
        for j, end in enumerate(passed[i:], 1):
            assert j <= burst + (end - start) * rate / SECOND + 1e-6


def test_tokens_of_another_agent_are_charged() -> None:
    """What others granted cannot be taken here; what was granted twice is paid back first."""
    buckets = TokenBuckets(rate=1, burst=3)
    buckets.charge("k", 2, 0)
    assert [buckets.take_token("k", 0) for _ in range(2)] == [0, SECOND]
    buckets.charge("k", 2, 0)
    assert buckets.take_token("k", 0) == 3 * SECOND
    assert buckets.take_token("k", 3 * SECOND) == 0


@pytest.mark.parametrize("rate", [0.01, 1, 50_000])
def test_credit_is_bounded(rate: float) -> None:
    """Whatever is charged: within a minute beyond its usual time the bucket grants again."""
    buckets = TokenBuckets(rate, burst=1)
    for _ in range(3):
        buckets.charge("k", 10**9, 0)
    wait = buckets.take_token("k", 0)
    assert wait <= 60 * SECOND + SECOND / rate
    assert buckets.take_token("k", wait) == 0


def test_a_charged_bucket_counts_among_all() -> None:
    """Of those that are remembered the one unused for longest goes first."""
    buckets = TokenBuckets(rate=1, burst=1, max_keys=2)
    for key in ("a", "b", "a", "c"):
        buckets.charge(key, 1, 0)
    assert len(buckets) == 2
    assert buckets.take_token("a", 0) > 0
    assert buckets.take_token("b", 0) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1)])
def test_senseless_settings(rate: float, burst: int) -> None:
    """A limit that nothing could pass, or none at all, is a fault of the configuration."""
    with pytest.raises(ValueError, match="positive"):
        TokenBuckets(rate, burst)


def test_rate_limits_raise() -> None:
    """At the door a refusal is a 429 that says in whole seconds when to come back."""
    limits = RateLimiter(TokenBuckets(rate=0.4, burst=1), now=lambda: 0)
    limits.acquire("k")
    with pytest.raises(RateLimitError) as caught:
        limits.acquire("k")
    assert caught.value.details["retry_after"] == 3


def test_a_clock_that_was_ahead_closes_no_bucket() -> None:
    """When it is right again; nor does it fill one."""
    buckets = TokenBuckets(rate=1, burst=2)
    for _ in range(3):
        buckets.take_token("k", 10**6 * SECOND)
    taken = [buckets.take_token("k", now) for now in (0, 0, SECOND, SECOND)]
    assert taken == [0, SECOND, 0, SECOND]


@given(
    st.integers(1, 50), st.integers(1, 20), st.lists(st.integers(0, SKEW), min_size=1, max_size=80)
)
def test_a_clock_that_goes_back_fills_no_bucket(rate: int, burst: int, instants: list[int]) -> None:
    """Readings in any order, as of several processes: no more pass than in their whole stretch."""
    buckets = TokenBuckets(rate, burst)
    passed = sum(buckets.take_token("k", now) == 0 for now in instants)
    assert passed <= burst + (max(instants) - min(instants)) * rate / SECOND + 1e-6
