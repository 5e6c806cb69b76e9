"""vault.crypto.kek_uses."""

import time
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto.errors import CounterClosed, WrapLimitReached
from vault.crypto.kek_uses import (
    BLOCK,
    HARD_STOP,
    MAX_AGE,
    ROTATE_AT,
    KekUseCounter,
    ReservationNeeded,
)

NOW = 1_700_000_000_000_000_000


def test_nothing_is_used_before_it_is_reserved() -> None:
    """A new counter asks for a block, keeps asking, and counts only once it is confirmed."""
    counter = KekUseCounter(1, NOW)
    needed = counter.reserve_uses()
    assert needed == ReservationNeeded(1, BLOCK) == counter.reserve_uses()
    assert counter.used == 0
    counter.confirm_reservation(needed)
    assert counter.reserve_uses() is None
    assert counter.used == 1


def test_a_block_lasts_exactly_its_size() -> None:
    """After 2^20 uses, and not one later, the next block is asked for."""
    counter = KekUseCounter(1, NOW).confirm_reservation(ReservationNeeded(1, BLOCK))
    assert all(counter.reserve_uses() is None for _ in range(BLOCK))
    assert counter.reserve_uses() == ReservationNeeded(1, 2 * BLOCK)


@given(st.lists(st.sampled_from(["take", "stop", "crash"]), max_size=60))
def test_a_crash_over_counts_and_never_under_counts(steps: list[str]) -> None:
    """Whatever the order of uses, stops and crashes, at least the uses that happened are counted.

    Without a crash, no more than those.
    """
    persisted = really = 0
    counter = KekUseCounter(1, NOW, persisted)
    for step in steps:
        if step == "crash":
            counter = KekUseCounter(1, NOW, persisted)
            continue
        if step == "stop":
            persisted = counter.close()
            counter = KekUseCounter(1, NOW, persisted)
            assert counter.used >= really
            continue
        needed = counter.reserve_uses()
        if needed is not None:
            persisted = needed.reserved
            assert counter.confirm_reservation(needed).reserve_uses() is None
        really += 1
        assert counter.used >= really
        assert persisted >= counter.used
    assert counter.used - really <= BLOCK * steps.count("crash")


def test_a_closed_counter_takes_no_use() -> None:
    """Neither before the key is used nor for one that nobody expected; its count is final."""
    counter = KekUseCounter(1, NOW).confirm_reservation(ReservationNeeded(1, BLOCK))
    assert counter.reserve_uses(3) is None
    counter.add_owed_uses(2)
    assert (counter.close(), counter.reserved) == (5, BLOCK)
    with pytest.raises(CounterClosed, match="unseal it and repeat"):
        counter.reserve_uses()
    with pytest.raises(CounterClosed):
        counter.add_owed_uses(1)
    assert counter.close() == counter.used == 5


def test_the_last_block_ends_at_the_ceiling() -> None:
    """The reservation is cut to 2^32, its last use is given, and then no more."""
    counter = KekUseCounter(1, NOW, HARD_STOP - 2)
    needed = counter.reserve_uses()
    assert needed == ReservationNeeded(1, HARD_STOP)
    counter.confirm_reservation(needed)
    assert counter.reserve_uses() is None
    assert counter.reserve_uses() is None
    with pytest.raises(WrapLimitReached):
        counter.reserve_uses()
    with pytest.raises(WrapLimitReached):
        KekUseCounter(1, NOW, HARD_STOP).reserve_uses()


def test_a_late_or_repeated_confirmation_changes_nothing() -> None:
    """Two tasks that both persisted one reservation do not gain a second block."""
    counter = KekUseCounter(1, NOW)
    first = counter.reserve_uses()
    assert first is not None
    counter.confirm_reservation(first).confirm_reservation(first)
    for _ in range(BLOCK):
        counter.reserve_uses()
    second = counter.confirm_reservation(first).reserve_uses()
    assert second == ReservationNeeded(1, 2 * BLOCK)
    assert counter.confirm_reservation(second).confirm_reservation(first).reserve_uses() is None


def test_a_reservation_nobody_asked_for_is_refused() -> None:
    """Another generation's, and one further ahead than a block."""
    counter = KekUseCounter(1, NOW)
    for wrong in (ReservationNeeded(2, BLOCK), ReservationNeeded(1, BLOCK + 1)):
        with pytest.raises(ValueError, match="not asked for"):
            counter.confirm_reservation(wrong)
    for wrong_start in (-1, HARD_STOP + 1):
        with pytest.raises(ValueError, match="reserved"):
            KekUseCounter(1, NOW, wrong_start)


def test_rotation_is_due_by_uses_or_by_age() -> None:
    """At 2^30 uses, or at 90 days to the nanosecond; a clock set back makes nothing due."""
    assert not KekUseCounter(1, NOW, ROTATE_AT - 1).rotation_due(NOW)
    assert KekUseCounter(1, NOW, ROTATE_AT).rotation_due(NOW)
    assert not KekUseCounter(1, NOW).rotation_due(NOW + MAX_AGE - 1)
    assert KekUseCounter(1, NOW).rotation_due(NOW + MAX_AGE)
    assert not KekUseCounter(1, NOW).rotation_due(NOW - MAX_AGE)


def test_several_are_taken_at_once_or_none() -> None:
    """Who needs more than are left has nothing counted, and all of them once more are reserved."""
    counter = KekUseCounter(1, NOW).confirm_reservation(ReservationNeeded(1, BLOCK))
    assert counter.reserve_uses(BLOCK - 1) is None
    needed = counter.reserve_uses(2)
    assert needed == ReservationNeeded(1, 2 * BLOCK)
    assert counter.used == BLOCK - 1
    assert counter.confirm_reservation(needed).reserve_uses(2) is None
    assert counter.used == BLOCK + 1
    near = KekUseCounter(1, NOW, HARD_STOP - 2).confirm_reservation(ReservationNeeded(1, HARD_STOP))
    with pytest.raises(WrapLimitReached):
        near.reserve_uses(3)
    assert near.reserve_uses(2) is None


def test_what_is_owed_counts_at_once_and_is_reserved_before_the_next_use() -> None:
    """It has happened: nobody is refused for it, and nobody uses the key before it is on record."""
    counter = KekUseCounter(1, NOW).confirm_reservation(ReservationNeeded(1, BLOCK))
    assert counter.reserve_uses(BLOCK - 1) is None
    counter.add_owed_uses(3)
    assert counter.used == BLOCK + 2
    needed = counter.reserve_uses()
    assert needed == ReservationNeeded(1, 2 * BLOCK)
    assert counter.confirm_reservation(needed).reserve_uses() is None
    assert counter.used == BLOCK + 3


class Slow(int):
    """A number in whose sums other threads have their turn."""

    def __add__(self, other: int) -> "Slow":
        time.sleep(0.001)
        return Slow(int(self) + int(other))


def test_threads_lose_no_use() -> None:
    """Whoever counts at the same time."""
    counter = KekUseCounter(1, NOW).confirm_reservation(ReservationNeeded(1, BLOCK))
    counter._used = Slow(0)
    threads = [Thread(target=lambda: [counter.reserve_uses(2) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.used == 40
