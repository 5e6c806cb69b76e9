"""Failed authentication: a pace for each address and for all, and a count of what was beyond it."""

from collections.abc import Callable

import pytest

from vault.authz.rate_limits import TokenBuckets
from vault.authz.record_limits import (
    MAX_REPORTED,
    FailureLimits,
    TooManyFailuresError,
    address_key,
    is_loopback,
)

SECOND = 10**9


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 0

    def __call__(self) -> int:
        """As set."""
        return self.time


def failure_limits(
    rate: float, burst: int, share: int, now: Callable[[], int], max_keys: int = 1_000
) -> FailureLimits:
    """A limit for each address, and one for all."""
    each = TokenBuckets(rate, burst, max_keys)
    return FailureLimits(each, TokenBuckets(rate * share, burst * share), now)


def fails(limits: FailureLimits, ip: str, count: int) -> int:
    """Fail so often; how many of them were on record."""
    recorded = 0
    for _ in range(count):
        try:
            limits.count_failure(ip)
        except TooManyFailuresError:
            continue
        recorded += 1
    return recorded


def test_burst_then_pace_for_each_address() -> None:
    """One address that hammers costs its neighbours nothing, and hears when to come back."""
    now = Now()
    limits = failure_limits(0.5, 3, 10, now)
    assert fails(limits, "192.0.2.1", 100) == 3
    assert fails(limits, "192.0.2.2", 2) == 2
    with pytest.raises(TooManyFailuresError) as caught:
        limits.count_failure("192.0.2.1")
    assert caught.value.details["retry_after"] == 2
    assert caught.value.status == 429
    now.time = 2 * SECOND
    assert fails(limits, "192.0.2.1", 5) == 1


def test_all_addresses_together_have_a_pace() -> None:
    """Whoever owns very many addresses fills no disk either."""
    now = Now()
    limits = failure_limits(1, 2, 10, now, max_keys=50)
    recorded = sum(fails(limits, f"2001:db8:{i:x}::1", 2) for i in range(500))
    assert recorded == 20
    now.time = SECOND
    assert fails(limits, "192.0.2.1", 2) == 2
    assert sum(fails(limits, f"2001:db8:{i:x}::1", 2) for i in range(500)) == 8


def test_the_table_is_bounded() -> None:
    """However many addresses fail: of buckets and of counts only so many are kept."""
    limits = failure_limits(1, 1, 1, Now(), max_keys=100)
    for i in range(3 * MAX_REPORTED):
        fails(limits, f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", 1)
    refused = limits.drain()
    assert refused is not None
    assert refused.count == 3 * MAX_REPORTED - 1
    assert refused.sources == MAX_REPORTED + 1
    assert refused.most == "others"


def test_what_was_refused_is_told_once() -> None:
    """How often, of how many, and whose most were."""
    limits = failure_limits(1, 1, 100, Now())
    assert limits.drain() is None
    fails(limits, "192.0.2.1", 5)
    fails(limits, "192.0.2.2", 2)
    refused = limits.drain()
    assert refused is not None
    assert (refused.count, refused.sources) == (5, 2)
    assert (refused.most, refused.most_count) == ("192.0.2.1", 4)
    assert limits.drain() is None


@pytest.mark.parametrize(
    ("ip", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_one_subscriber_is_one_address(ip: str, address: str) -> None:
    """However many addresses of its network it uses, in whatever spelling."""
    assert address_key(ip) == address


@pytest.mark.parametrize(
    ("ip", "here"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("10.0.0.1", False), ("2001:db8::1", False), ("fe80::1", False)],
)  # fmt: skip
def test_clients_on_the_same_machine(ip: str, here: bool) -> None:
    """By what stands for the address."""
    assert is_loopback(address_key(ip)) is here
