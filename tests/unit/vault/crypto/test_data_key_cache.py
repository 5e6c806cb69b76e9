"""Tests of the data keys that are kept: found by all that they follow from, and bounded."""

from vault.crypto.data_key_cache import (
    ADMIT_ONE_IN,
    SHARD_KEYS,
    DataKeyCache,
    DataKeyId,
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


def test_cleared_means_all() -> None:
    """Nothing is found after it, in whichever part it was."""
    keys = DataKeyCache(most=3 * SHARD_KEYS)
    for number in range(100):
        keys.put(origin(number), b"x")
    keys.clear()
    assert len(keys) == 0
    assert all(keys.get(origin(number)) is None for number in range(100))
