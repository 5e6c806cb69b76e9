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
from vault.store.table import ROW_BYTES

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


def test_a_look_at_many() -> None:
    """Each in its place, what is not there among them."""
    made = filled(64)
    made.shard_for("s/7").put("s/7", b"y")
    assert made.peek(["s/7", "s/none", "s/8"]) == [b"y", MISSING, b"x"]


def test_a_small_bound_is_one_shard() -> None:
    """Also one of nothing; any row that a database can hold has room on one of many."""
    assert len(ShardedCache(0, EvictionPolicy.LRU, 0, int, weight)._shards) == 1
    assert len(ShardedCache(SHARD_BYTES, EvictionPolicy.LRU, 0, int, weight)._shards) == 1
    assert SHARD_BYTES >= 2 * ROW_BYTES
