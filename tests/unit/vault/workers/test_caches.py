"""vault.workers.caches: nothing is kept of a row that is being changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.store.samples import system
from tests.unit.vault.workers.pages import new_page
from vault.store.bounded_cache import slot_of
from vault.store.row_cache import MISSING, CacheConfig
from vault.store.tables import AUDIT, SECRETS, SYSTEM
from vault.workers.caches import (
    FencedCache,
    FencingMark,
    LeaderCache,
    WorkerCache,
)
from vault.workers.journal import Fence, JournalReader, JournalWriter, Settled

KEY = ("a",)
SLOT = slot_of(SYSTEM.name, KEY)


@pytest.mark.parametrize("kind", [FencedCache, WorkerCache])
def test_fence(kind: type[FencedCache]) -> None:
    """A fenced row is forgotten, and what is loaded of it is not kept, until the release."""
    cache = kind()
    cache.apply_commit([(SYSTEM, KEY, system("a"))])
    cache.hold([SLOT])
    assert cache.lookup(SYSTEM, KEY) is MISSING
    load = cache.begin_load(SYSTEM, KEY)
    cache.end_load(load, SYSTEM, system("a"))
    assert cache.lookup(SYSTEM, KEY) is MISSING
    cache.release()
    cache.end_load(cache.begin_load(SYSTEM, KEY), SYSTEM, system("a", b"new"))
    assert cache.lookup(SYSTEM, KEY) == system("a", b"new")


@pytest.mark.parametrize("kind", [FencedCache, WorkerCache])
def test_a_load_across_the_fence(kind: type[FencedCache]) -> None:
    """One that began before or behind the fence is not kept after it either."""
    cache = kind()
    before = cache.begin_load(SYSTEM, KEY)
    cache.hold([SLOT])
    behind = cache.begin_load(SYSTEM, KEY)
    cache.release()
    for load in (before, behind):
        cache.end_load(load, SYSTEM, system("a"))
        assert cache.lookup(SYSTEM, KEY) is MISSING


def test_fence_around_everything() -> None:
    """Every row is forgotten, with the loads on their way."""
    cache = WorkerCache(CacheConfig(max_bytes=1 << 20))
    cache.apply_commit([(SYSTEM, KEY, system("a")), (SECRETS, KEY, None)])
    load = cache.begin_load(SYSTEM, ("b",))
    cache.hold_all()
    cache.end_load(load, SYSTEM, system("b"))
    cache.end_load(cache.begin_load(SYSTEM, ("c",)), SYSTEM, system("c"))
    found = [cache.lookup(SYSTEM, (name,)) for name in "abc"]
    assert [*found, cache.lookup(SECRETS, KEY)] == [MISSING] * 4
    cache.release()
    cache.end_load(cache.begin_load(SYSTEM, ("c",)), SYSTEM, system("c"))
    assert cache.lookup(SYSTEM, ("c",)) == system("c")


class Marked:
    """A mark, and a batch that wrote these rows."""

    def __init__(self, *rows: object) -> None:
        self.rows = list(rows)
        self.calls: list[str] = []

    def stamp(self, _batch: object) -> None:
        """Note it."""
        self.calls.append("stamp")

    def on_durable(self) -> None:
        """Note it."""
        self.calls.append("stored")

    def changed_rows(self) -> list[object]:
        """The rows."""
        return self.rows


@pytest.mark.parametrize("ends", ["apply_commit", "invalidate"])
def test_the_leader_announces_and_settles(ends: str) -> None:
    """Before the commit the fence, after it the end, whether it was stored or nobody knows."""
    memory = new_page()
    cache = LeaderCache(JournalWriter(memory))
    reader = JournalReader(memory)
    rows = Marked((SYSTEM, KEY, system("a")), (AUDIT, ("log", 1), None))
    mark = FencingMark(rows, cache)
    mark.stamp(rows)  # type: ignore[arg-type]  # as much of a batch as it asks for
    assert reader.read() == [Fence((SLOT,))]
    assert cache.lookup(SYSTEM, KEY) is MISSING
    mark.on_durable()
    getattr(cache, ends)(rows.rows)
    assert reader.read() == [Settled()]
    assert cache.lookup(SYSTEM, KEY) == (system("a") if ends == "apply_commit" else MISSING)
    assert rows.calls == ["stamp", "stored"]


def test_a_query_is_kept_out_while_the_shelves_are_exchanged() -> None:
    """A query looks in a thread of its own, beside the event loop that may forget everything."""
    cache = WorkerCache()
    cache.apply_commit([(SYSTEM, KEY, system("a"))])
    held: list[str] = []

    @contextmanager
    def guard() -> Iterator[None]:
        held.append("taken")
        yield
        held.append("given back")

    cache._guard = guard()  # type: ignore[assignment]  # what `hold_all` holds meanwhile
    assert cache.peek_rows(SYSTEM, [KEY]) == {KEY: system("a")}
    assert held == ["taken", "given back"]
    cache._guard = guard()  # type: ignore[assignment]
    assert cache.find_uncached(SECRETS, [(KEY, b"m")]) == [(KEY, b"m")]
    assert held == ["taken", "given back"] * 2


def test_a_transaction_has_ended_for_the_workers_though_the_cache_fails() -> None:
    """Else what they hold of its rows would be kept out for good."""

    class Full(LeaderCache):
        def invalidate_slots(self, slots: Any) -> None:
            super().invalidate_slots(slots)
            if self.is_full:
                raise MemoryError

        is_full = False

    memory = new_page()
    cache = Full(JournalWriter(memory))
    reader = JournalReader(memory)
    cache.fence([(SYSTEM, KEY, system("a"))])
    cache.is_full = True
    with pytest.raises(MemoryError):
        cache.invalidate([(SYSTEM, KEY, None)])
    assert reader.read() == [Fence((SLOT,)), Settled()]
