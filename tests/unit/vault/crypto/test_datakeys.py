"""Tests of the data keys that are kept: found by all that they follow from, and bounded."""

import tracemalloc

import pytest

from vault.crypto.datakeys import (
    KEY_BYTES,
    LEAST,
    MOST,
    PART,
    RARELY,
    DataKeys,
    Origin,
    room_beside,
)


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
    keys = DataKeys(most=32)
    keys.keep(origin(0), b"0")
    for number in range(1, 32 + 40 * RARELY):
        keys.keep(origin(number), b"x")
        assert keys.find(origin(0)) == b"0"
        assert len(keys) <= 32
    assert keys.find(origin(1)) is None


def test_of_more_than_there_is_room_for_some_are_found() -> None:
    """Asked for in turn, which an order of use alone finds none of; and none is kept for ever."""
    keys, found = DataKeys(most=100), []
    for number in [*range(200)] * 20:
        key = keys.find(origin(number))
        if key is None:
            keys.keep(origin(number), b"x")
        else:
            found.append(number)
    assert len(found) > 20 * 200 // 4
    for _ in range(10 * RARELY):
        for number in range(1_000, 1_020):
            if keys.find(origin(number)) is None:
                keys.keep(origin(number), b"x")
    assert all(keys.find(origin(number)) for number in range(1_000, 1_020))


def test_cleared_means_all() -> None:
    """Nothing is found after it, in whichever part it was."""
    keys = DataKeys(most=3 * PART)
    for number in range(100):
        keys.keep(origin(number), b"x")
    keys.clear()
    assert len(keys) == 0
    assert all(keys.find(origin(number)) is None for number in range(100))


def test_nearly_as_many_as_there_is_room_for_are_all_found() -> None:
    """Asked for in turn, too, when an order of use is worst: none of them makes room."""
    keys = DataKeys(most=8 * PART)
    for number in range(7 * PART):
        keys.keep(origin(number), b"x")
    assert all(keys.find(origin(number)) for _ in range(3) for number in range(7 * PART))


@pytest.mark.parametrize("most", [1, PART, PART + 1, 3 * PART - 1, 8 * PART])
def test_no_part_is_large(most: int) -> None:
    """A dict that is built anew has everybody wait, so each is of `PART` keys at most."""
    keys = DataKeys(most)
    for number in range(most + 2 * PART):
        keys.keep(origin(number), b"x")
    assert max(map(len, keys._parts)) <= PART
    assert len(keys) <= most


def test_no_more_than_one_key_goes_at_a_time() -> None:
    """So that nobody waits for thousands."""
    keys = DataKeys(most=800)
    before = 0
    for number in range(5_000):
        keys.keep(origin(number), b"x")
        assert before - len(keys) <= 0
        before = len(keys)
    assert len(keys) == 800


def test_room_is_what_the_cache_has() -> None:
    """An eighth of its bytes, within bounds."""
    assert room_beside(64 * 2**20) * KEY_BYTES * 8 == pytest.approx(64 * 2**20, rel=0.01)
    assert room_beside(0) == room_beside(2**20) == LEAST
    assert room_beside(2**40) == MOST


@pytest.mark.parametrize("most", [20_000, 46_603])
def test_what_a_key_takes(most: int) -> None:
    """The bytes that `KEY_BYTES` tells, when keys have come and gone for long."""
    tracemalloc.start()
    try:
        keys = DataKeys(most)
        for number in range(3 * most):
            keys.keep(origin(number), number.to_bytes(32))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / most < KEY_BYTES * 1.15
