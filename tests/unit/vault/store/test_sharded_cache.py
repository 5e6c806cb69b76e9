"""`ShardedCache`: one bound over all, no large shard, each row in one place."""

import pytest

from vault.store.bounded_cache import (
    MISSING,
    SHARD_BYTES,
    CacheEntry,
    EvictionPolicy,
    ShardedCache,
    Slot,
)

COUNT = 3000


def weight(_: Slot, kept: CacheEntry) -> int:
    """So many bytes of memory as it has letters, times the scale of this test."""
    assert isinstance(kept, bytes)
    return len(kept) * SHARD_BYTES // 512


def filled(shards: int, policy: EvictionPolicy = EvictionPolicy.LRU) -> ShardedCache:
    """Room for 512 small rows on each, of which there are more than fit."""
    made = ShardedCache(shards * SHARD_BYTES, policy, 0, int, weight)
    for number in range(COUNT):
        slot = f"s/{number}"
        made.shard_for(slot).put(slot, b"x")
    return made


@pytest.mark.parametrize("policy", EvictionPolicy)
def test_the_bound_is_of_all(policy: EvictionPolicy) -> None:
    """Most of it is used, nothing beyond; what makes room is counted, whichever it lay on."""
    made = filled(4, policy)
    assert 0.85 * 4 * SHARD_BYTES < made.bytes <= 4 * SHARD_BYTES
    assert len(made) == made.bytes * 512 // SHARD_BYTES
    assert made.evictions == COUNT - len(made)


def test_none_has_many() -> None:
    """However many there are in all: a dict is built anew as a whole."""
    made = filled(64)
    assert len(made) == COUNT
    assert max(len(made.shard_for(f"s/{number}")) for number in range(COUNT)) < 2 * COUNT / 64
    assert made.evictions == 0


def test_a_slot_stays_in_its_shard() -> None:
    """What was put is found, replaced and taken away, and no two are confused."""
    made = filled(64)
    for number in range(0, COUNT, 7):
        slot = f"s/{number}"
        assert made.shard_for(slot).get(slot) == b"x"
        made.shard_for(slot).put(slot, b"y")
        assert made.shard_for(slot).peek(slot) == b"y"
        made.shard_for(slot).remove(slot)
        assert made.shard_for(slot).get(slot) is MISSING
    assert len(made) == COUNT - len(range(0, COUNT, 7))
