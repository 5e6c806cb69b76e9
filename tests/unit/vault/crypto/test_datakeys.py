"""Tests of the data keys that are kept: found by all that they follow from, and bounded."""

import tracemalloc

from vault.crypto.datakeys import MOST, DataKeys, Origin


def origin(number: int) -> Origin:
    """Of one value, with nothing shared between two."""
    return number.to_bytes(65), number.to_bytes(32), f"secret-{number:016}", 1


def test_a_key_is_found_by_all_that_it_follows_from_and_nothing_less() -> None:
    """Another wrap, commitment, secret or version is another key, whatever else is the same."""
    keys = DataKeys()
    keys.keep((b"wrap", b"commitment", "id", 1), b"key")
    assert keys.find((b"wrap", b"commitment", "id", 1)) == b"key"
    for other in (
        (b"Wrap", b"commitment", "id", 1),
        (b"wrap", b"Commitment", "id", 1),
        (b"wrap", b"commitment", "Id", 1),
        (b"wrap", b"commitment", "id", 2),
    ):
        assert keys.find(other) is None


def test_what_is_used_stays_and_the_rest_makes_room() -> None:
    """However many come, at most `most` are kept; one that is asked for meanwhile stays."""
    keys = DataKeys(most=8)
    keys.keep(origin(0), b"0")
    for number in range(1, 100):
        keys.keep(origin(number), b"x")
        assert keys.find(origin(0)) == b"0"
        assert len(keys) <= 8
    assert keys.find(origin(1)) is None


def test_cleared_means_all() -> None:
    """Both generations are empty after it."""
    keys = DataKeys(most=4)
    for number in range(4):
        keys.keep(origin(number), b"x")
    keys.clear()
    assert len(keys) == 0
    assert all(keys.find(origin(number)) is None for number in range(4))


def test_what_a_key_takes() -> None:
    """The bound in bytes that `MOST` tells is true."""
    tracemalloc.start()
    try:
        keys = DataKeys()
        for number in range(MOST):
            keys.keep(origin(number), number.to_bytes(32))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / MOST < 450
