"""vault.config.caching: each key of the seed's CacheConfig is accepted, or refused with why."""

from typing import Any

import pytest
from pydantic import ValidationError

from vault.config.caching import EVENTS, MIB, Cache


def refusal(**keys: Any) -> str:
    """What is said about these keys."""
    with pytest.raises(ValidationError) as caught:
        Cache.model_validate(keys)
    return str(caught.value)


def test_defaults() -> None:
    """64 MiB, the least recently used makes room, nothing expires, warm at the start."""
    found = Cache()
    assert (found.max_size, found.eviction_policy, found.ttl) == (64 * MIB, "lru", None)
    assert found.warmup_enabled


def test_as_in_the_seed() -> None:
    """All of it, in the seed's spelling."""
    found = Cache.model_validate(
        {
            "ttl": "5m",
            "max_size": "1GiB",
            "eviction_policy": "LFU",
            "invalidation_events": ["seal", *EVENTS[:-1]],
            "warmup_enabled": False,
        }
    )
    assert (found.ttl, found.max_size, found.eviction_policy) == (300 * 10**9, 1 << 30, "lfu")
    assert not found.warmup_enabled


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"invalidation_events": ["write", "delete"]}, "cannot leave out revoke, policy, rotate"),
        ({"invalidation_events": []}, "what is gone would still be served"),
        ({"invalidation_events": [*EVENTS, "full_moon"]}, "invalidation_events.6"),
        ({"eviction_policy": "ttl"}, "needs ttl, such as 5m"),
        ({"eviction_policy": "random"}, "'lru', 'lfu' or 'ttl'"),
        ({"max_size": "1KB"}, "1048576"),
        ({"ttl": "0s"}, "greater than 0"),
        ({"size": 3}, "Extra inputs"),
    ],
)
def test_refused(keys: dict[str, Any], why: str) -> None:
    """The message says what would be right."""
    assert why in refusal(**keys)
