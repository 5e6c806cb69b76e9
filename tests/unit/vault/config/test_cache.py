"""vault.config.cache: each key of the design's CacheConfig is accepted, or refused with why."""

from typing import Any

import pytest
from pydantic import ValidationError

from vault.config import machine_limits
from vault.config.cache import INVALIDATION_EVENTS, MIB, CacheSettings


def refusal(**keys: Any) -> str:
    """What is said about these keys."""
    with pytest.raises(ValidationError) as caught:
        CacheSettings.model_validate(keys)
    return str(caught.value)


def test_defaults() -> None:
    """The least recently used makes room, nothing expires, warm at the start."""
    found = CacheSettings()
    assert (found.eviction_policy, found.ttl) == ("lru", None)
    assert found.warmup_enabled


@pytest.mark.parametrize(("there", "taken"), [(256, 64), (4096, 512), (131_072, 8192)])
def test_an_eighth_of_the_memory(monkeypatch: pytest.MonkeyPatch, there: int, taken: int) -> None:
    """Where nothing is set, within bounds; so much as was set otherwise."""
    monkeypatch.setattr(machine_limits, "memory", lambda: there * MIB)
    assert CacheSettings().max_size == taken * MIB
    assert CacheSettings.model_validate({"max_size": "2MiB"}).max_size == 2 * MIB


def test_as_in_the_seed() -> None:
    """All of it, in the design's spelling."""
    found = CacheSettings.model_validate(
        {
            "ttl": "5m",
            "max_size": "1GiB",
            "eviction_policy": "LFU",
            "invalidation_events": ["seal", *INVALIDATION_EVENTS[:-1]],
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
        ({"invalidation_events": [*INVALIDATION_EVENTS, "full_moon"]}, "invalidation_events.6"),
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


@pytest.mark.parametrize(
    ("redis", "says"),
    [
        ({}, "Field required"),
        ({"url": "http://h"}, "url is none of redis://"),
        ({"url": "redis://u:hunter2@h", "password_file": __file__}, "choose one"),
        ({"url": "redis://h", "tls": {"ca_file": __file__}}, "tls is for rediss://"),
        ({"url": "rediss://h", "tls": {"cert_file": __file__}}, "cert_file and key_file"),
    ],
)
def test_a_redis_that_cannot_be(redis: dict[str, Any], says: str) -> None:
    """With why, and without the password."""
    text = refusal(redis=redis)
    assert says in text
    assert "hunter2" not in text


def test_redis() -> None:
    """With TLS and a password in a file."""
    found = CacheSettings.model_validate(
        {"redis": {"url": "rediss://u@h", "password_file": __file__, "tls": {"ca_file": __file__}}}
    )
    assert found.redis is not None
    assert found.redis.address.tls
    assert found.redis.address.user == "u"
