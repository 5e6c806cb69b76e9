"""vault.store.shelves: one bound over all, no shelf with many entries, each row in one place."""

import pytest

from vault.store.shelf import MISSING, Kept, Policy, Slot
from vault.store.shelves import SHELF_BYTES, Shelves
from vault.store.table import ROW_BYTES

COUNT = 3000


def weight(_: Slot, kept: Kept) -> int:
    """So many bytes of memory as it has letters, times the scale of this test."""
    assert isinstance(kept, bytes)
    return len(kept) * SHELF_BYTES // 512


def filled(shelves: int, policy: Policy = Policy.LRU) -> Shelves:
    """Room for 512 small rows on each, of which there are more than fit."""
    made = Shelves(shelves * SHELF_BYTES, policy, 0, int, weight)
    for number in range(COUNT):
        slot = f"s/{number}"
        made.of(slot).put(slot, b"x")
    return made


@pytest.mark.parametrize("policy", Policy)
def test_the_bound_is_of_all(policy: Policy) -> None:
    """Most of it is used, nothing beyond; what makes room is counted, whichever it lay on."""
    made = filled(4, policy)
    assert 0.85 * 4 * SHELF_BYTES < made.bytes <= 4 * SHELF_BYTES
    assert len(made) == made.bytes * 512 // SHELF_BYTES
    assert made.evictions == COUNT - len(made)


def test_none_has_many() -> None:
    """However many there are in all: a dict is built anew as a whole."""
    made = filled(64)
    assert len(made) == COUNT
    assert max(len(made.of(f"s/{number}")) for number in range(COUNT)) < 2 * COUNT / 64
    assert made.evictions == 0


def test_a_place_stays_on_its_shelf() -> None:
    """What was put is found, replaced and taken away, and no two are confused."""
    made = filled(64)
    for number in range(0, COUNT, 7):
        slot = f"s/{number}"
        assert made.of(slot).find(slot) == b"x"
        made.of(slot).put(slot, b"y")
        assert made.of(slot).peek(slot) == b"y"
        made.of(slot).remove(slot)
        assert made.of(slot).find(slot) is MISSING
    assert len(made) == COUNT - len(range(0, COUNT, 7))


def test_a_look_at_many() -> None:
    """Each in its place, what is not there among them."""
    made = filled(64)
    made.of("s/7").put("s/7", b"y")
    assert made.peek(["s/7", "s/none", "s/8"]) == [b"y", MISSING, b"x"]


def test_a_small_bound_is_one_shelf() -> None:
    """Also one of nothing; any row that a database can hold has room on one of many."""
    assert len(Shelves(0, Policy.LRU, 0, int, weight)._all) == 1
    assert len(Shelves(SHELF_BYTES, Policy.LRU, 0, int, weight)._all) == 1
    assert SHELF_BYTES >= 2 * ROW_BYTES
