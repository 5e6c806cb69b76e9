"""vault.crypto.kek_uses."""

import time
from itertools import pairwise
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
    BlockNeeded,
    KekUseCounter,
    UseBlock,
)

NOW = 1_700_000_000_000_000_000


def opened(stored: int = 0) -> KekUseCounter:
    """A counter with its first block."""
    counter = KekUseCounter(1, NOW, stored)
    needed = counter.reserve_uses()
    assert needed is not None
    counter.add_block(needed.allocate(stored))
    return counter


class Opening:
    """One process that has the vault open: its counter, and the uses that it has made."""

    def __init__(self, stored: int) -> None:
        self.counter = KekUseCounter(1, NOW, stored)
        self.uses: list[int] = []
        self.blocks: list[UseBlock] = []

    def use(self, stored: int, count: int) -> int:
        """So many uses, in a block where it takes one; what is stored then."""
        if (needed := self.counter.reserve_uses(count)) is not None:
            block = needed.allocate(stored)
            stored = block.end
            self.blocks.append(block)
            self.counter.add_block(block)
            assert self.counter.reserve_uses(count) is None
        self.uses += range(self.counter.used - count, self.counter.used)
        return stored


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["use", "many", "stop", "crash"]), st.integers(min_value=0, max_value=2)
        ),
        max_size=60,
    )
)
def test_no_two_openings_share_a_use(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of uses, stops and crashes of three processes on one stored number.

    No use is made twice, all that were made lie below what is stored, and only what crashed or was
    overtaken is counted too much.
    """
    stored = 0
    openings = [Opening(0) for _ in range(3)]
    all_openings = list(openings)
    for step, number in steps:
        one = openings[number]
        if step in {"use", "many"}:
            stored = one.use(stored, 1 if step == "use" else BLOCK // 3)
        elif step == "stop" and one.counter.close():
            stored = one.counter.final_count(stored)
            assert not one.counter.close()
        if step in {"stop", "crash"}:
            openings[number] = Opening(stored)
            all_openings.append(openings[number])
    made = sorted(use for one in all_openings for use in one.uses)
    assert all(use != other for use, other in pairwise(made))
    assert stored > max(made, default=-1)
    assert len(made) <= stored <= len(made) + BLOCK * (len(all_openings) + len(steps))
    for one in all_openings:
        held = {use for block in one.blocks for use in range(block.start, block.end)}
        assert held.issuperset(one.uses)


@given(st.lists(st.sampled_from(["take", "stop", "crash"]), max_size=60))
def test_a_crash_over_counts_and_never_under_counts(steps: list[str]) -> None:
    """Of one process: without a crash the count is exact."""
    stored = really = 0
    opening = Opening(stored)
    for step in steps:
        if step == "stop" and opening.counter.close():
            stored = opening.counter.final_count(stored)
        if step == "take":
            stored = opening.use(stored, 1)
            really += 1
        else:
            opening = Opening(stored)
        assert really <= opening.counter.used <= stored
    assert opening.counter.used - really <= BLOCK * steps.count("crash")


def test_nothing_is_used_before_it_is_allocated() -> None:
    """A new counter asks for a block, keeps asking, and counts only once it has one."""
    counter = KekUseCounter(1, NOW)
    needed = counter.reserve_uses()
    assert needed == BlockNeeded(1, 0, 1) == counter.reserve_uses()
    assert counter.used == 0
    counter.add_block(needed.allocate(0))
    assert counter.reserve_uses() is None
    assert (counter.used, counter.reserved) == (1, BLOCK)


def test_a_block_lasts_exactly_its_size() -> None:
    """After 2^16 uses, and not one later, the next block is asked for."""
    counter = opened()
    assert all(counter.reserve_uses() is None for _ in range(BLOCK))
    assert counter.reserve_uses() == BlockNeeded(1, BLOCK, 1)


def test_a_block_begins_behind_what_is_stored() -> None:
    """And behind what the counter has had, if somebody has lowered what is stored."""
    assert BlockNeeded(1, 0, 1).allocate(7) == UseBlock(1, 7, 7 + BLOCK)
    assert BlockNeeded(1, 9, 1).allocate(7) == UseBlock(1, 9, 9 + BLOCK)
    assert BlockNeeded(1, 0, 2 * BLOCK).allocate(7) == UseBlock(1, 7, 7 + 2 * BLOCK)


def test_a_block_that_was_overtaken_is_left() -> None:
    """Its rest counts as used, since the block of another one lies between."""
    counter = opened()
    assert counter.reserve_uses(3) is None
    needed = counter.reserve_uses(BLOCK)
    assert needed is not None
    counter.add_block(needed.allocate(5 * BLOCK))
    assert counter.used == 5 * BLOCK
    assert counter.reserve_uses(BLOCK) is None
    assert counter.used == 6 * BLOCK


def test_a_closed_counter_takes_no_use() -> None:
    """Neither before the key is used nor for one that nobody expected; its count is final."""
    counter = opened()
    assert counter.reserve_uses(3) is None
    counter.add_owed_uses(2)
    assert counter.close()
    assert not counter.close()
    assert counter.final_count(BLOCK) == counter.used == 5
    with pytest.raises(CounterClosed, match="unseal it and repeat"):
        counter.reserve_uses()
    with pytest.raises(CounterClosed):
        counter.add_owed_uses(1)


def test_what_is_given_back() -> None:
    """The rest of the last block, unless another one has a block behind it."""
    counter = opened()
    counter.reserve_uses(3)
    assert counter.close()
    assert counter.final_count(BLOCK) == 3
    assert counter.final_count(2 * BLOCK) == 2 * BLOCK
    assert not KekUseCounter(1, NOW, 7).close(), "it has nothing to give back"
    more = opened()
    more.add_owed_uses(BLOCK + 2)
    assert more.close()
    assert more.final_count(BLOCK) == BLOCK + 2
    assert more.final_count(3 * BLOCK) == 3 * BLOCK + 2
    assert more.final_count(HARD_STOP) == HARD_STOP


def test_the_last_block_ends_at_the_ceiling() -> None:
    """It is cut to 2^32, its last use is given, and then no more."""
    counter = KekUseCounter(1, NOW, HARD_STOP - 2)
    needed = counter.reserve_uses(2)
    assert needed is not None
    block = needed.allocate(HARD_STOP - 2)
    assert block == UseBlock(1, HARD_STOP - 2, HARD_STOP)
    counter.add_block(block)
    assert counter.reserve_uses() is None
    assert counter.reserve_uses() is None
    needed = counter.reserve_uses()
    assert needed is not None
    with pytest.raises(WrapLimitReached):
        needed.allocate(HARD_STOP)
    with pytest.raises(WrapLimitReached):
        BlockNeeded(1, 0, 3).allocate(HARD_STOP - 2)


def test_a_block_of_somebody_else_is_refused() -> None:
    """Another generation's, and one that the counter has had."""
    counter = opened()
    for wrong in (UseBlock(2, BLOCK, 2 * BLOCK), UseBlock(1, 0, BLOCK)):
        with pytest.raises(ValueError, match="not allocated for this counter"):
            counter.add_block(wrong)
    for wrong_start in (-1, HARD_STOP + 1):
        with pytest.raises(ValueError, match="uses"):
            KekUseCounter(1, NOW, wrong_start)


def test_rotation_is_due_by_uses_or_by_age() -> None:
    """At 2^30 uses, or at 90 days to the nanosecond; a clock set back makes nothing due."""
    assert not KekUseCounter(1, NOW, ROTATE_AT - 1).rotation_due(NOW)
    assert KekUseCounter(1, NOW, ROTATE_AT).rotation_due(NOW)
    assert not KekUseCounter(1, NOW).rotation_due(NOW + MAX_AGE - 1)
    assert KekUseCounter(1, NOW).rotation_due(NOW + MAX_AGE)
    assert not KekUseCounter(1, NOW).rotation_due(NOW - MAX_AGE)


def test_several_are_taken_at_once_or_none() -> None:
    """Who needs more than are left has nothing counted, and all of them with the next block."""
    counter = opened()
    assert counter.reserve_uses(BLOCK - 1) is None
    needed = counter.reserve_uses(2)
    assert needed == BlockNeeded(1, BLOCK, 2)
    assert counter.used == BLOCK - 1
    counter.add_block(needed.allocate(BLOCK))
    assert counter.reserve_uses(2) is None
    assert counter.used == BLOCK + 1


def test_what_is_owed_counts_at_once_and_is_allocated_before_the_next_use() -> None:
    """It has happened: nobody is refused for it, and nobody uses the key before it is on record."""
    counter = opened()
    assert counter.reserve_uses(BLOCK - 1) is None
    counter.add_owed_uses(3)
    assert counter.used == BLOCK + 2
    needed = counter.reserve_uses()
    assert needed == BlockNeeded(1, BLOCK, 4)
    counter.add_block(needed.allocate(BLOCK))
    assert counter.reserve_uses() is None
    assert counter.used == BLOCK + 3


class Slow(int):
    """A number in whose sums other threads have their turn."""

    def __add__(self, other: int) -> "Slow":
        time.sleep(0.001)
        return Slow(int(self) + int(other))


def test_threads_lose_no_use() -> None:
    """Whoever counts at the same time."""
    counter = opened()
    counter._next = Slow(0)
    threads = [Thread(target=lambda: [counter.reserve_uses(2) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.used == 40
