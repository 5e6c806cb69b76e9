"""vault.store.bounded_cache: within its bound, under each policy the right row makes room."""

import pytest

from actors.testing import FakeWorld
from vault.store.bounded_cache import (
    MISSING,
    BoundedCache,
    CacheEntry,
    EvictionPolicy,
    Slot,
    slot_of,
)

SECOND = 10**9


def row(name: str, size: int = 100) -> bytes:
    """A row that weighs so much."""
    return name.encode().ljust(size)


def weight(_: Slot, kept: CacheEntry) -> int:
    """Of one of these rows."""
    assert type(kept) is bytes
    return len(kept)


def shelf(policy: EvictionPolicy, *, ttl: int = 0, world: FakeWorld | None = None) -> BoundedCache:
    """Room for three rows of 100 bytes."""
    return BoundedCache(300, policy, ttl, (world or FakeWorld()).now, weight)


def fill(made: BoundedCache, names: str) -> None:
    """Put a row of 100 bytes under each letter."""
    for name in names:
        made.put(name, row(name))


def held(made: BoundedCache, names: str = "abcdefgh") -> str:
    """Those of the names that are there. Looks at each: it counts as use."""
    return "".join(name for name in names if made.get(name) is not MISSING)


def test_places() -> None:
    """Each row of each table has one of its own; a name may hold whatever it likes."""
    keys = [("a",), ("a/1",), ("a/1/2",), ("secrets/a",), ("",), (1,)]
    keys += [("a", 1), ("a/1", 2), ("a", 12), ("a/1/2", 3)]
    of_one, of_two = keys[:6], keys[6:]
    assert len({slot_of(table, key) for table in ("s", "t") for key in of_one}) == 2 * len(of_one)
    assert len({slot_of("u", key) for key in of_two}) == len(of_two)


class TestPolicies:
    """Who makes room."""

    @pytest.mark.parametrize(
        ("policy", "gone"),
        [(EvictionPolicy.LRU, "b"), (EvictionPolicy.LFU, "c"), (EvictionPolicy.TTL, "a")],
    )
    def test_each(self, policy: EvictionPolicy, gone: str) -> None:
        """A is the oldest, b was used longest ago, c was used least often: each policy's own."""
        made = shelf(policy)
        fill(made, "abc")
        for name in "aabbac":
            assert made.get(name) is not MISSING
        for _ in range(9):
            assert made.peek(gone) == row(gone)  # which is no use of it
        made.put("d", row("d"))
        assert made.peek(gone) is MISSING
        assert held(made) == "abcd".replace(gone, "")
        assert made.evictions == 1

    def test_frequency_outlives_a_write(self) -> None:
        """A row that is read often and written now and then is not the least used."""
        made = shelf(EvictionPolicy.LFU)
        fill(made, "abc")
        for name in "aaabbc":
            made.get(name)
        fill(made, "a")
        fill(made, "d")
        assert held(made) == "abd"

    @pytest.mark.parametrize("policy", EvictionPolicy)
    def test_bound(self, policy: EvictionPolicy) -> None:
        """However large the rows, their sum stays within the bound, and evictions are counted."""
        made = shelf(policy)
        for i, size in enumerate([120, 90, 40, 300, 10, 250, 45, 299, 1] * 20):
            made.put(f"{i % 7}", row("x", size))
            made.get(f"{i % 3}")
            assert 0 <= made.bytes <= 300
        assert made.evictions > 20

    @pytest.mark.parametrize("policy", EvictionPolicy)
    def test_growing_row(self, policy: EvictionPolicy) -> None:
        """A row that grows pushes others out, or itself where it is too large to stay."""
        made = shelf(policy)
        fill(made, "abc")
        made.put("a", row("new", 250))
        assert made.get("a") == row("new", 250)
        assert (len(made), made.evictions, made.bytes) == (1, 2, 250)
        made.put("a", row("newer", 301))
        assert (len(made), made.evictions, made.bytes) == (0, 2, 0)

    @pytest.mark.parametrize("policy", EvictionPolicy)
    def test_remove(self, policy: EvictionPolicy) -> None:
        """What is taken away is gone, is no eviction, and may be taken away twice."""
        made = shelf(policy)
        fill(made, "ab")
        made.remove("a")
        made.remove("a")
        assert held(made) == "b"
        assert (made.bytes, made.evictions) == (100, 0)


class TestTime:
    """An end for each entry, whatever the policy."""

    @pytest.mark.parametrize("policy", EvictionPolicy)
    def test_expiry(self, policy: EvictionPolicy) -> None:
        """At its end a row is not there, however often it was used; one put anew begins anew."""
        world = FakeWorld()
        made = shelf(policy, ttl=10 * SECOND, world=world)
        fill(made, "ab")
        world.advance(9.0)
        assert held(made) == "ab"
        fill(made, "b")
        world.advance(1.0)
        assert [made.peek(name) for name in "ab"] == [MISSING, row("b")]
        assert held(made) == "b"
        assert (made.bytes, made.evictions) == (100, 1)

    @pytest.mark.parametrize("policy", EvictionPolicy)
    def test_without(self, policy: EvictionPolicy) -> None:
        """Without a time a row stays."""
        world = FakeWorld()
        made = shelf(policy, world=world)
        fill(made, "a")
        world.advance(10.0**6)
        assert held(made) == "a"
