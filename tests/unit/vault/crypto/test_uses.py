"""vault.crypto.uses."""

import time
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import CounterClosed, WrapLimitReached
from vault.crypto.uses import (
    BLOCK,
    HARD_STOP,
    MAX_AGE,
    ROTATE_AT,
    ReservationNeeded,
    UseCounter,
)

NOW = 1_700_000_000_000_000_000


def test_bounds_are_those_of_the_design() -> None:
    """2^20 a block, 2^30 for rotation, 2^32 for the end, 90 days."""
    assert (BLOCK, ROTATE_AT, HARD_STOP) == (1 << 20, 1 << 30, 1 << 32)
    assert MAX_AGE == 7_776_000 * 10**9


def test_nothing_is_used_before_it_is_reserved() -> None:
    """A new counter asks for a block, keeps asking, and counts only once it is confirmed."""
    counter = UseCounter(1, NOW)
    needed = counter.take()
    assert needed == ReservationNeeded(1, BLOCK) == counter.take()
    assert counter.used == 0
    counter.confirm(needed)
    assert counter.take() is None
    assert counter.used == 1


def test_a_block_lasts_exactly_its_size() -> None:
    """After 2^20 uses, and not one later, the next block is asked for."""
    counter = UseCounter(1, NOW).confirm(ReservationNeeded(1, BLOCK))
    assert all(counter.take() is None for _ in range(BLOCK))
    assert counter.take() == ReservationNeeded(1, 2 * BLOCK)


@given(st.lists(st.sampled_from(["take", "stop", "crash"]), max_size=60))
def test_a_crash_over_counts_and_never_under_counts(steps: list[str]) -> None:
    """Whatever the order of uses, stops and crashes, at least the uses that happened are counted.

    Without a crash, no more than those.
    """
    persisted = really = 0
    counter = UseCounter(1, NOW, persisted)
    for step in steps:
        if step == "crash":
            counter = UseCounter(1, NOW, persisted)
            continue
        if step == "stop":
            persisted = counter.close()
            counter = UseCounter(1, NOW, persisted)
            assert counter.used >= really
            continue
        needed = counter.take()
        if needed is not None:
            persisted = needed.reserved
            assert counter.confirm(needed).take() is None
        really += 1
        assert counter.used >= really
        assert persisted >= counter.used
    assert counter.used - really <= BLOCK * steps.count("crash")


def test_a_closed_counter_takes_no_use() -> None:
    """Neither before the key is used nor for one that nobody expected; its count is final."""
    counter = UseCounter(1, NOW).confirm(ReservationNeeded(1, BLOCK))
    assert counter.take(3) is None
    counter.owe(2)
    assert (counter.close(), counter.reserved) == (5, BLOCK)
    with pytest.raises(CounterClosed, match="unseal it and repeat"):
        counter.take()
    with pytest.raises(CounterClosed):
        counter.owe(1)
    assert counter.close() == counter.used == 5


def test_the_last_block_ends_at_the_ceiling() -> None:
    """The reservation is cut to 2^32, its last use is given, and then no more."""
    counter = UseCounter(1, NOW, HARD_STOP - 2)
    needed = counter.take()
    assert needed == ReservationNeeded(1, HARD_STOP)
    counter.confirm(needed)
    assert counter.take() is None
    assert counter.take() is None
    with pytest.raises(WrapLimitReached):
        counter.take()
    with pytest.raises(WrapLimitReached):
        UseCounter(1, NOW, HARD_STOP).take()


def test_a_late_or_repeated_confirmation_changes_nothing() -> None:
    """Two tasks that both persisted one reservation do not gain a second block."""
    counter = UseCounter(1, NOW)
    first = counter.take()
    assert first is not None
    counter.confirm(first).confirm(first)
    for _ in range(BLOCK):
        counter.take()
    second = counter.confirm(first).take()
    assert second == ReservationNeeded(1, 2 * BLOCK)
    assert counter.confirm(second).confirm(first).take() is None


def test_a_reservation_nobody_asked_for_is_refused() -> None:
    """Another generation's, and one further ahead than a block."""
    counter = UseCounter(1, NOW)
    for wrong in (ReservationNeeded(2, BLOCK), ReservationNeeded(1, BLOCK + 1)):
        with pytest.raises(ValueError, match="not asked for"):
            counter.confirm(wrong)
    for wrong_start in (-1, HARD_STOP + 1):
        with pytest.raises(ValueError, match="reserved"):
            UseCounter(1, NOW, wrong_start)


def test_rotation_is_due_by_uses_or_by_age() -> None:
    """At 2^30 uses, or at 90 days to the nanosecond; a clock set back makes nothing due."""
    assert not UseCounter(1, NOW, ROTATE_AT - 1).rotation_due(NOW)
    assert UseCounter(1, NOW, ROTATE_AT).rotation_due(NOW)
    assert not UseCounter(1, NOW).rotation_due(NOW + MAX_AGE - 1)
    assert UseCounter(1, NOW).rotation_due(NOW + MAX_AGE)
    assert not UseCounter(1, NOW).rotation_due(NOW - MAX_AGE)


def test_several_are_taken_at_once_or_none() -> None:
    """Who needs more than are left has nothing counted, and all of them once more are reserved."""
    counter = UseCounter(1, NOW).confirm(ReservationNeeded(1, BLOCK))
    assert counter.take(BLOCK - 1) is None
    needed = counter.take(2)
    assert needed == ReservationNeeded(1, 2 * BLOCK)
    assert counter.used == BLOCK - 1
    assert counter.confirm(needed).take(2) is None
    assert counter.used == BLOCK + 1
    near = UseCounter(1, NOW, HARD_STOP - 2).confirm(ReservationNeeded(1, HARD_STOP))
    with pytest.raises(WrapLimitReached):
        near.take(3)
    assert near.take(2) is None


def test_what_is_owed_counts_at_once_and_is_reserved_before_the_next_use() -> None:
    """It has happened: nobody is refused for it, and nobody uses the key before it is on record."""
    counter = UseCounter(1, NOW).confirm(ReservationNeeded(1, BLOCK))
    assert counter.take(BLOCK - 1) is None
    counter.owe(3)
    assert counter.used == BLOCK + 2
    needed = counter.take()
    assert needed == ReservationNeeded(1, 2 * BLOCK)
    assert counter.confirm(needed).take() is None
    assert counter.used == BLOCK + 3


class Slow(int):
    """A number in whose sums other threads have their turn."""

    def __add__(self, other: int) -> "Slow":
        time.sleep(0.001)
        return Slow(int(self) + int(other))


def test_threads_lose_no_use() -> None:
    """Whoever counts at the same time."""
    counter = UseCounter(1, NOW).confirm(ReservationNeeded(1, BLOCK))
    counter._used = Slow(0)
    threads = [Thread(target=lambda: [counter.take(2) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.used == 40
