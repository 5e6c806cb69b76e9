"""Tests of the data keys that are kept: found by all that they follow from, and bounded."""

import tracemalloc

import pytest

from vault.crypto.data_key_cache import (
    ADMIT_ONE_IN,
    KEY_BYTES,
    MAX_KEYS,
    MIN_KEYS,
    SHARD_KEYS,
    DataKeyCache,
    DataKeyId,
    capacity_for,
)


def origin(number: int) -> DataKeyId:
    """Of one value, with nothing shared between two."""
    return number.to_bytes(65), number.to_bytes(32), f"secret-{number:016}", 1


def test_a_key_is_found_by_all_that_it_follows_from_and_nothing_less() -> None:
    """Another wrap, commitment, secret or version is another key, whatever else is the same."""
    keys = DataKeyCache()
    keys.put((b"wrap", b"commitment", "id", 1), b"key")
    assert keys.get((b"wrap", b"commitment", "id", 1)) == b"key"
    for other in (
        (b"Wrap", b"commitment", "id", 1),
        (b"wrap", b"Commitment", "id", 1),
        (b"wrap", b"commitment", "Id", 1),
        (b"wrap", b"commitment", "id", 2),
    ):
        assert keys.get(other) is None


def test_what_is_used_stays_and_the_rest_makes_room() -> None:
    """However many come, at most `most` are kept; one that is asked for meanwhile stays."""
    keys = DataKeyCache(most=32)
    keys.put(origin(0), b"0")
    for number in range(1, 32 + 40 * ADMIT_ONE_IN):
        keys.put(origin(number), b"x")
        assert keys.get(origin(0)) == b"0"
        assert len(keys) <= 32
    assert keys.get(origin(1)) is None


def test_of_more_than_there_is_room_for_some_are_found() -> None:
    """Asked for in turn, which an order of use alone finds none of; and none is kept for ever."""
    keys, found = DataKeyCache(most=100), []
    for number in [*range(200)] * 20:
        key = keys.get(origin(number))
        if key is None:
            keys.put(origin(number), b"x")
        else:
            found.append(number)
    assert len(found) > 20 * 200 // 4
    for _ in range(10 * ADMIT_ONE_IN):
        for number in range(1_000, 1_020):
            if keys.get(origin(number)) is None:
                keys.put(origin(number), b"x")
    assert all(keys.get(origin(number)) for number in range(1_000, 1_020))


def test_cleared_means_all() -> None:
    """Nothing is found after it, in whichever part it was."""
    keys = DataKeyCache(most=3 * SHARD_KEYS)
    for number in range(100):
        keys.put(origin(number), b"x")
    keys.clear()
    assert len(keys) == 0
    assert all(keys.get(origin(number)) is None for number in range(100))


def test_nearly_as_many_as_there_is_room_for_are_all_found() -> None:
    """Asked for in turn, too, when an order of use is worst: none of them makes room."""
    keys = DataKeyCache(most=8 * SHARD_KEYS)
    for number in range(7 * SHARD_KEYS):
        keys.put(origin(number), b"x")
    assert all(keys.get(origin(number)) for _ in range(3) for number in range(7 * SHARD_KEYS))


@pytest.mark.parametrize(
    "most", [1, SHARD_KEYS, SHARD_KEYS + 1, 3 * SHARD_KEYS - 1, 8 * SHARD_KEYS]
)
def test_no_part_is_large(most: int) -> None:
    """A dict that is built anew has everybody wait, so each is of `SHARD_KEYS` keys at most."""
    keys = DataKeyCache(most)
    for number in range(most + 2 * SHARD_KEYS):
        keys.put(origin(number), b"x")
    assert max(map(len, keys._shards)) <= SHARD_KEYS
    assert len(keys) <= most


def test_no_more_than_one_key_goes_at_a_time() -> None:
    """So that nobody waits for thousands."""
    keys = DataKeyCache(most=800)
    before = 0
    for number in range(5_000):
        keys.put(origin(number), b"x")
        assert before - len(keys) <= 0
        before = len(keys)
    assert len(keys) == 800


def test_room_is_what_the_cache_has() -> None:
    """An eighth of its bytes, within bounds."""
    assert capacity_for(64 * 2**20) * KEY_BYTES * 8 == pytest.approx(64 * 2**20, rel=0.01)
    assert capacity_for(0) == capacity_for(2**20) == MIN_KEYS
    assert capacity_for(2**40) == MAX_KEYS


@pytest.mark.parametrize("most", [20_000, 46_603])
def test_what_a_key_takes(most: int) -> None:
    """The bytes that `KEY_BYTES` tells, when keys have come and gone for long."""
    tracemalloc.start()
    try:
        keys = DataKeyCache(most)
        for number in range(3 * most):
            keys.put(origin(number), number.to_bytes(32))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / most < KEY_BYTES * 1.15
