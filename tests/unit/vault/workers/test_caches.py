"""vault.workers.caches: nothing is kept of a row that is being changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.store.samples import system
from tests.unit.vault.workers.pages import new_page
from vault.model.path import ResourcePath
from vault.store.bounded_cache import slot_of
from vault.store.row_cache import MISSING, CacheConfig
from vault.store.tables import ALL, AUDIT, MOUNTS, POLICIES, SECRETS, SYSTEM
from vault.workers.caches import (
    KEYRING,
    LEADER,
    UNTOLD,
    WORKER,
    FencedCache,
    FencingMark,
    LeaderCache,
    WorkerCache,
    share,
)
from vault.workers.journal import Fence, JournalReader, JournalWriter, Settled, row_of

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


def test_a_fence_ends_the_epoch() -> None:
    """What is about to be changed, or may have been, does not count as unchanged."""
    cache = WorkerCache()
    epochs = [cache.change_token]
    cache.hold([SLOT])
    epochs.append(cache.change_token)
    cache.hold_all()
    epochs.append(cache.change_token)
    assert len(set(epochs)) == 3


def test_whatever_is_counted_is_not_told() -> None:
    """A fence is around what a transaction writes; what it counts is not in it."""
    assert {table.name for table in ALL if table.counted_subject} <= UNTOLD


def test_a_worker_keeps_nothing_of_what_it_is_not_told() -> None:
    """Not even that a row of such a table is absent."""
    cache = WorkerCache()
    cache.end_load(cache.begin_load(AUDIT, ("log", 1)), AUDIT, None)
    assert cache.lookup(AUDIT, ("log", 1)) is MISSING


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


def test_the_leader_names_the_rows_of_snapshots() -> None:
    """Beside their slots: what a worker reads anew is asked for by its key."""
    memory = new_page()
    cache = LeaderCache(JournalWriter(memory))
    reader = JournalReader(memory)
    gone = [(table, ("a",), None) for table in (SECRETS, POLICIES, MOUNTS, SYSTEM)]
    cache.fence([*gone, (SYSTEM, KEYRING[1], None)])
    [fence] = reader.read()
    assert isinstance(fence, Fence)
    assert fence.snapshots == ((POLICIES.name, ("a",)), (MOUNTS.name, ("a",)), KEYRING)
    assert fence.slots == (*(slot_of(table.name, key) for table, key, _ in gone), "system/keyring")


def test_the_leader_says_nothing_of_audit_rows() -> None:
    """They are as many as all requests."""
    memory = new_page()
    cache = LeaderCache(JournalWriter(memory))
    reader = JournalReader(memory)
    cache.fence([(AUDIT, ("log", 1), None)])
    cache.apply_commit([(AUDIT, ("log", 1), None)])
    assert not reader.is_behind()


def test_share() -> None:
    """All processes together keep to the bound."""
    config = CacheConfig(max_bytes=900)
    worker, leader = share(config, 2, WORKER).max_bytes, share(config, 2, LEADER).max_bytes
    assert 2 * worker + leader == config.max_bytes
    assert worker == 4 * leader


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


def test_the_leader_announces_a_row_whose_key_is_a_path() -> None:
    """A mount is deleted by its path, which is a `str` that msgpack refuses."""
    memory = new_page()
    cache = LeaderCache(JournalWriter(memory))
    reader = JournalReader(memory)
    cache.fence([(MOUNTS, (ResourcePath.parse_folder("app/"),), None)])
    [fence] = reader.read()
    assert fence == Fence((slot_of(MOUNTS.name, ("app/",)),), (row_of(MOUNTS.name, ("app/",)),))


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


def test_the_workers_forget_all_as_well() -> None:
    """They are told that any row may have changed, and that it is over."""
    page = new_page()
    cache, reader = LeaderCache(JournalWriter(page)), JournalReader(page)
    cache.apply_commit([(SYSTEM, KEY, system("a"))])
    cache.clear()
    assert cache.lookup(SYSTEM, KEY) is MISSING
    assert reader.read() == [Fence(None), Settled()]
