"""vault.store.shelf: within its bound, under each policy the right row makes room."""

import pytest

from actors.testing import FakeWorld
from tests.contract.store.samples import system
from vault.store.shelf import MISSING, Policy, Shelf, Slot

SECOND = 10**9


def slot(name: str) -> Slot:
    """A place on the shelf."""
    return "system", (name,)


def shelf(policy: Policy, *, ttl: int = 0, world: FakeWorld | None = None) -> Shelf:
    """Room for three rows of 100 bytes."""
    return Shelf(300, policy, ttl, (world or FakeWorld()).now)


def fill(made: Shelf, names: str) -> None:
    """Put a row of 100 bytes under each letter."""
    for name in names:
        made.put(slot(name), system(name), 100)


def held(made: Shelf, names: str = "abcdefgh") -> str:
    """Those of the names that are there. Looks at each: it counts as use."""
    return "".join(name for name in names if made.find(slot(name)) is not MISSING)


class TestPolicies:
    """Who makes room."""

    @pytest.mark.parametrize(
        ("policy", "gone"),
        [(Policy.LRU, "b"), (Policy.LFU, "c"), (Policy.TTL, "a")],
    )
    def test_each(self, policy: Policy, gone: str) -> None:
        """A is the oldest, b was used longest ago, c was used least often: each policy's own."""
        made = shelf(policy)
        fill(made, "abc")
        for name in "aabbac":
            assert made.find(slot(name)) is not MISSING
        for _ in range(9):
            assert made.peek(slot(gone)) == system(gone)  # which is no use of it
        made.put(slot("d"), system("d"), 100)
        assert made.peek(slot(gone)) is MISSING
        assert held(made) == "abcd".replace(gone, "")
        assert made.evictions == 1

    def test_frequency_outlives_a_write(self) -> None:
        """A row that is read often and written now and then is not the least used."""
        made = shelf(Policy.LFU)
        fill(made, "abc")
        for name in "aaabbc":
            made.find(slot(name))
        fill(made, "a")
        fill(made, "d")
        assert held(made) == "abd"

    @pytest.mark.parametrize("policy", Policy)
    def test_bound(self, policy: Policy) -> None:
        """However large the rows, their sum stays within the bound, and evictions are counted."""
        made = shelf(policy)
        for i, size in enumerate([120, 90, 40, 300, 10, 250, 45, 299, 1] * 20):
            made.put(slot(f"{i % 7}"), system("x"), size)
            made.find(slot(f"{i % 3}"))
            assert 0 <= made.bytes <= 300
        assert made.evictions > 20

    @pytest.mark.parametrize("policy", Policy)
    def test_growing_row(self, policy: Policy) -> None:
        """A row that grows pushes others out, or itself where it is too large to stay."""
        made = shelf(policy)
        fill(made, "abc")
        made.put(slot("a"), system("a", b"new"), 250)
        assert made.find(slot("a")) == system("a", b"new")
        assert (len(made), made.evictions, made.bytes) == (1, 2, 250)
        made.put(slot("a"), system("a", b"newer"), 301)
        assert (len(made), made.evictions, made.bytes) == (0, 2, 0)

    @pytest.mark.parametrize("policy", Policy)
    def test_remove(self, policy: Policy) -> None:
        """What is taken away is gone, is no eviction, and may be taken away twice."""
        made = shelf(policy)
        fill(made, "ab")
        made.remove(slot("a"))
        made.remove(slot("a"))
        assert held(made) == "b"
        assert (made.bytes, made.evictions) == (100, 0)


class TestTime:
    """An end for each entry, whatever the policy."""

    @pytest.mark.parametrize("policy", Policy)
    def test_expiry(self, policy: Policy) -> None:
        """At its end a row is not there, however often it was used; one put anew begins anew."""
        world = FakeWorld()
        made = shelf(policy, ttl=10 * SECOND, world=world)
        fill(made, "ab")
        world.advance(9.0)
        assert held(made) == "ab"
        fill(made, "b")
        world.advance(1.0)
        assert [made.peek(slot(name)) for name in "ab"] == [MISSING, system("b")]
        assert held(made) == "b"
        assert (made.bytes, made.evictions) == (100, 1)

    @pytest.mark.parametrize("policy", Policy)
    def test_without(self, policy: Policy) -> None:
        """Without a time a row stays."""
        world = FakeWorld()
        made = shelf(policy, world=world)
        fill(made, "a")
        world.advance(10.0**6)
        assert held(made) == "a"
